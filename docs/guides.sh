# Variables for the guides. Source it from the root of the checkout: . docs/guides.sh
#
# AUDIT is the address of the service on this machine. The others are tokens of the development
# issuer, one for each role. That issuer asks for no password and exists on one machine only.

AUDIT=${AUDIT:-http://127.0.0.1:8787}

# Prints one member of the JSON on standard input: `field window.id`, `field findings.0.id`.
field() {
  python3 -c 'import functools, json, sys
print(functools.reduce(lambda value, key: value[int(key) if isinstance(value, list) else key],
    sys.argv[1].split("."), json.load(sys.stdin)))' "$1"
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
