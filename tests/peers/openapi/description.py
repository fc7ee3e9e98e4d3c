"""The description of the API, and tokens for callers of it."""

import json
import urllib.request

# The service is on this machine, so a proxy of the environment must not be used.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# Longer than the longest run.
LIFETIME = 24 * 60 * 60


def load(location):
    """The description at a URL or in a file."""
    if location.startswith("http"):
        with OPENER.open(location) as answer:
            return json.load(answer)
    with open(location, encoding="utf-8") as file:
        return json.load(file)


def token(service, tenant, scope, **claims):
    """A token of the development issuer, which exists on one machine only."""
    claims = {"tenant": tenant, "scope": scope, "expires_in": LIFETIME, **claims}
    body = json.dumps(claims).encode()
    request = urllib.request.Request(f"{service}/dev/token", body, {"Content-Type": "application/json"})
    with OPENER.open(request) as answer:
        return json.load(answer)["access_token"]


def operations(description):
    """Every operation: its name in messages, and its object."""
    methods = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
    for path, item in description["paths"].items():
        for method in methods:
            if method in item:
                yield f"{method.upper()} {path}", item[method]
