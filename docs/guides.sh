# Variables for the guides. Source it from the root of the checkout: . docs/guides.sh
#
# AUDIT is the address of the service on this machine. The others are tokens of the development
# issuer, one for each role. That issuer asks for no password and exists on one machine only.

AUDIT=${AUDIT:-http://127.0.0.1:8787}

# Prints one member of the JSON on standard input: `field window.id`, `field findings.0.id`.
field() {
  python3 -c '
import functools, json, sys

try:
    value = json.load(sys.stdin)
except ValueError:
    sys.exit("The response is not JSON. Is the service running?")
try:
    path = [int(name) if name.isdigit() else name for name in sys.argv[1].split(".")]
    print(functools.reduce(lambda value, name: value[name], path, value))
except (IndexError, KeyError, TypeError):
    sys.exit(f"The response has no {sys.argv[1]}: {json.dumps(value)}")' "$1"
}

# Prints a token with the given claims.
token() {
  curl -s "$AUDIT/dev/token" --json "$1" | field access_token
}

# A portal that writes events.
PORTAL=$(token '{"tenant": "acme", "client_id": "portal", "scope": "audit:write"}')
# An auditor who reads.
AUDITOR=$(token '{"tenant": "acme", "email": "auditor@acme.example", "scope": "audit:read"}')
# An administrator.
IT=$(token '{"tenant": "acme", "email": "it@acme.example", "scope": "audit:read audit:operate audit:admin"}')
# A reviewer.
ANN=$(token '{"tenant": "acme", "email": "ann@acme.example", "scope": "audit:read audit:operate"}')
