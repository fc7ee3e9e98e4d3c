"""Checks the description of the API: validate.py URL-OR-FILE

It must be valid OpenAPI. Every member of a schema has a description, every JSON answer of a successful call an example, all examples
fit their schemas, and there is what generated clients take names from.
"""

import functools
import operator
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

import description as source


def pointer(*steps):
    """A JSON Pointer (RFC 6901), with `#` so that it is a reference too."""
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def examples(value, path=()):
    """Every example with its schema: where the schema is, where the example is, and the example."""
    if isinstance(value, list):
        for place, member in enumerate(value):
            yield from examples(member, (*path, place))
    if not isinstance(value, dict):
        return
    # A media type or a parameter has a schema beside its examples. In a schema, `examples` is a list of values.
    if "schema" in value:
        schema = (*path, "schema")
        if "example" in value:
            yield schema, (*path, "example"), value["example"]
        for name, example in value.get("examples", {}).items():
            if "value" in example:
                yield schema, (*path, "examples", name), example["value"]
    elif isinstance(value.get("examples"), list) and ("type" in value or "$ref" in value):
        for place, example in enumerate(value["examples"]):
            yield path, (*path, "examples", place), example
    for name, member in value.items():
        if name not in source.VALUES:
            yield from examples(member, (*path, name))


def unfit_examples(description):
    exact = source.exact(description)
    for path, place, example in examples(description):
        schema = functools.reduce(operator.getitem, path, exact)
        for error in source.validator(exact, schema).iter_errors(example):
            yield f"{pointer(*place)}: {pointer(*error.instance_path)}: {error.message[:300]}"


def missing_examples(description):
    for name, operation in source.operations(description):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if status.startswith("2") and content is not None and not content.keys() & {"example", "examples"}:
                yield f"{name}: the answer {status} has no example"


def undescribed_members(value, schemas, path=()):
    """A member is described where it stands, or by its type alone."""
    if isinstance(value, list):
        for place, member in enumerate(value):
            yield from undescribed_members(member, schemas, (*path, place))
    if not isinstance(value, dict):
        return
    members = value.get("properties")
    for name, member in members.items() if isinstance(members, dict) else ():
        described = schemas.get(member["$ref"].rsplit("/", 1)[1], {}) if list(member) == ["$ref"] else member
        if not described.get("description"):
            yield f"{pointer(*path, 'properties', name)}: has no description"
    for name, member in value.items():
        if name not in source.VALUES:
            yield from undescribed_members(member, schemas, (*path, name))


def unfit_for_clients(description):
    """A generated client names a function after the operation and its module after the tag."""
    tags = {tag["name"] for tag in description.get("tags", [])}
    schemes = description.get("components", {}).get("securitySchemes", {})
    for name, operation in source.operations(description):
        identifier = operation.get("operationId", "")
        if not identifier.isidentifier() or identifier != identifier.lower():
            yield f"{name}: the operationId {identifier!r} is no name in snake_case"
        if len(operation.get("tags", [])) != 1 or not tags.issuperset(operation["tags"]):
            yield f"{name}: has one tag that the description lists, not {operation.get('tags')}"
        if not operation.get("summary"):
            yield f"{name}: has no summary"
        responses = operation["responses"]
        if "default" in responses:
            yield f"{name}: names its statuses, because anything fits a default"
        security = operation.get("security", description.get("security"))
        if security is None:
            yield f"{name}: says whether it needs a token; `security: []` says that it does not"
        elif security and "401" not in responses:
            yield f"{name}: needs a token and has no 401"
        for requirement in security or []:
            if not schemes.keys() >= requirement.keys():
                yield f"{name}: {requirement} is no security scheme"


def main(location):
    description = source.load(location)
    problems = [f"{pointer(*error.path)}: {error.message}" for error in OpenAPIV31SpecValidator(description).iter_errors()]
    # Other checks would fail on a description that is not valid.
    if not problems:
        problems = [
            *unfit_examples(description),
            *missing_examples(description),
            *undescribed_members(description, description["components"]["schemas"]),
            *unfit_for_clients(description),
        ]
    for problem in problems:
        print(problem)
    count = sum(1 for _ in source.operations(description))
    print(f"{count} operations, {sum(1 for _ in examples(description))} examples, {len(problems)} problems")
    return 1 if problems or not count else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
