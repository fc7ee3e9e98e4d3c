"""The description of the API, and tokens for callers of it."""

import json
import urllib.request

import jsonschema_rs

# The service is on this machine, so a proxy of the environment must not be used.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# The members of a schema that hold schemas of the same value.
COMBINED = ("allOf", "anyOf", "oneOf")
# The members of a schema that hold values.
VALUES = ("const", "default", "enum", "example", "examples")
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


def partial(value, is_part=False):
    """The names of the schemas that describe a part of an object, because a schema with members of its own refers to them."""
    if isinstance(value, list):
        for member in value:
            yield from partial(member, is_part)
    elif isinstance(value, dict):
        is_part = is_part or isinstance(value.get("properties"), dict)
        if is_part and isinstance(value.get("$ref"), str):
            yield value["$ref"].rsplit("/", 1)[1]
        for name, member in value.items():
            if name not in VALUES:
                yield from partial(member, is_part and name in COMBINED)


def exact(description):
    """The description for tests: an object may have no member that is not described, although a client has to ignore such a member."""
    parts = set(partial(description))

    def closed(schema, is_part=False):
        if isinstance(schema, list):
            return [closed(member, is_part) for member in schema]
        if not isinstance(schema, dict):
            return schema
        has_members = isinstance(schema.get("properties"), dict)
        changed = {}
        for name, member in schema.items():
            if name in VALUES:
                changed[name] = member
            elif name == "properties":
                changed[name] = {key: closed(value) for key, value in member.items()}
            else:
                changed[name] = closed(member, name in COMBINED and (is_part or has_members))
        if has_members and not is_part and "additionalProperties" not in schema:
            changed["unevaluatedProperties"] = False
        return changed

    schemas = description["components"]["schemas"]
    schemas = {name: closed(schema, name in parts) for name, schema in schemas.items()}
    return {**closed(description), "components": {**description["components"], "schemas": schemas}}


def validator(description, schema):
    """Validates values by a schema of the description."""
    # The schema's references are into the description, so it is the validated document's root.
    schema = {**schema, "components": description.get("components", {})}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def operations(description):
    """Every operation: its name in messages, and its object."""
    methods = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
    for path, item in description["paths"].items():
        for method in methods:
            if method in item:
                yield f"{method.upper()} {path}", item[method]
