"""Recomputes the digest of each event of a listing on standard input; exits with 1 if one differs.

The digest is the SHA-256 of "jit-audit/event/v1", a line feed, and the facts as canonical JSON (RFC 8785).
"""
import decimal, hashlib, json, sys

DERIVED = ["digest", "label", "category", "state", "request_status", "message", "sent_username", "recorded_at",
           "recorded_by", "late"]


def facts(event):
    """What the source sent: the event without the fields that the service added."""
    sent_username = event.get("sent_username")
    event = {key: value for key, value in event.items() if key not in DERIVED}
    if "window" in event:
        window = event.pop("window")
        if "asked" in window:
            event["window"] = window["asked"]
    session = event.get("session", {})
    if session.get("username") == "TBD":
        event["session"] = {key: value for key, value in session.items() if key != "username"}
        if sent_username is not None:
            event["session"]["username"] = sent_username
    return event


def canonical(value):
    """RFC 8785: members ordered by UTF-16 code units, numbers as ECMAScript writes them."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(canonical(key) + ":" + canonical(value[key]) for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        return number(value)
    return json.dumps(value, ensure_ascii=False)


def number(value):
    if value.is_integer():
        return str(int(value))
    if abs(value) >= 1e-6:
        return format(decimal.Decimal(repr(value)), "f")
    mantissa, exponent = repr(value).split("e")
    return f"{mantissa}e{int(exponent)}"


is_wrong = False
for event in json.load(sys.stdin)["events"]:
    digest = hashlib.sha256(b"jit-audit/event/v1\n" + canonical(facts(event)).encode()).hexdigest()
    if digest != event["digest"]:
        print(event["id"] + ": DIFFERENT")
        is_wrong = True
print("at least one digest differs" if is_wrong else "all digests match")
sys.exit(is_wrong)
