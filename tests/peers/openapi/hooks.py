"""What generated requests and the general checks of schemathesis cannot know about this service."""

import datetime
import itertools
import json
import re
import time

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData, UnsupportedMethodResponse

GATEWAY = "application/json"
PROBLEM = "application/problem+json"
NDJSON = "application/x-ndjson"
# What is wrong with an example because of where it is sent.
NOT_HERE = ("must be the name of an environment variable", "there is no channel", "is no channel of the tenant", "is not an attribute", "is not an IANA time zone")
# What is wrong with members that are generated beside those of an example: they do not go together, or not with the present.
NOT_TOGETHER = ("must be a time from", "must be {\"duration\"", "must be an ISO 8601 duration", "is only for roles.assigned", "is before its current end")


@schemathesis.serializer(NDJSON)
def ndjson(ctx, value):
    """One JSON text a line. A text is taken as it is, so that what is no NDJSON is sent too."""
    if isinstance(value, str):
        return value.encode("utf-8", errors="surrogatepass")
    lines = value if isinstance(value, list) else [value]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


# A second run on the same service sends new ids too.
numbers = itertools.count(time.time_ns())


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.method.upper() == "POST":
        case.body = made_new(case.body)


def made_new(body):
    """A body with a number in its id, where that is valid, since another body with the id of an example is a conflict, and nothing else of
    it is looked at. A valid time of an event becomes the present, since the service takes no event that is older than the retention."""
    if not isinstance(body, dict):
        return body
    changed = dict(body)
    if isinstance(body.get("id"), str) and re.fullmatch("[A-Za-z0-9_-]{1,100}", body["id"]):
        changed["id"] = f"{body['id']}-{next(numbers)}"
    if isinstance(body.get("occurred_at"), str) and re.match("20[0-9]{2}-", body["occurred_at"]):
        try:
            datetime.datetime.fromisoformat(body["occurred_at"])
            changed["occurred_at"] = datetime.datetime.now(datetime.timezone.utc).isoformat()
        except ValueError:
            pass
    if isinstance(body.get("events"), list):
        changed["events"] = [made_new(event) for event in body["events"]]
    return changed


@schemathesis.check
def errors_have_their_shape(ctx, response, case):
    """An error is a problem document that repeats its status, or a refusal of the gateway."""
    if response.status_code < 400:
        return
    kind = response.headers.get("content-type", [""])[0]
    body = json.loads(response.content)
    if kind == PROBLEM:
        assert body["status"] == response.status_code, "the problem document has another status"
        assert body["title"] and body["detail"], "the problem document says nothing"
    else:
        assert kind == GATEWAY and list(body) == ["message"], f"neither a problem nor a refusal of the gateway: {kind} {body}"


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if isinstance(failure, UnsupportedMethodResponse):
        # To a method that a path does not have, the gateway answers as to a path that it does not have.
        return not (response.status_code == 404 and response.content == b'{"message":"Not Found"}')
    if isinstance(failure, RejectedPositiveData) and response.status_code == 422:
        # An example names a secret in AWS, which one machine does not have, or what is not configured. Where an example has some members
        # only, the others are generated.
        errors = json.loads(response.content).get("errors", [])
        return not errors or not all(any(text in error["detail"] for text in NOT_HERE + NOT_TOGETHER) for error in errors)
    if isinstance(failure, AcceptedNegativeData) and response.status_code == 200:
        # Several events or decisions are answered by a result for each, and a bad one does not refuse the others. Whatever is sent as
        # NDJSON is text, so none of it has a wrong type.
        body = json.loads(response.content)
        results = body.get("results") if isinstance(body, dict) else None
        is_judged = any(result.get("status") in ("invalid", "conflict", "refused") for result in results or [])
        return not (is_judged or (case.media_type == NDJSON and results is not None))
    return True
