"""Checks the description of the API: validate.py URL-OR-FILE

It must be valid OpenAPI, its examples must fit its schemas, and it must have what generated clients take names from.
"""

import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

import description as source

HERE = "urn:description"


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
        if name not in ("example", "examples", "default", "const", "enum"):
            yield from examples(member, (*path, name))


def unfit_examples(description):
    resource = Resource.from_contents(description, default_specification=DRAFT202012)
    registry = Registry().with_resource(HERE, resource)
    for schema, place, example in examples(description):
        reference = {"$ref": HERE + pointer(*schema)}
        validator = Draft202012Validator(reference, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)
        for error in validator.iter_errors(example):
            yield f"{pointer(*place)}: {error.json_path}: {error.message}"


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
        problems = [*unfit_examples(description), *unfit_for_clients(description)]
    for problem in problems:
        print(problem)
    count = sum(1 for _ in source.operations(description))
    print(f"{count} operations, {sum(1 for _ in examples(description))} examples, {len(problems)} problems")
    return 1 if problems or not count else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
