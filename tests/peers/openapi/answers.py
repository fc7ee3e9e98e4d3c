"""Checks that what the API answered to other tests is as described: answers.py URL-OR-FILE OF THE DESCRIPTION, FILE OF ANSWERS

A line of the file is one answer: {"method", "path", "status", "type", "body"}.
"""

import collections
import json
import re
import sys

import description as source

# The gateway's answer to a path or a method that no route has.
NO_ROUTE = (404, '{"message":"Not Found"}')
NO_BODY = object()


class Operation:
    def __init__(self, name, operation, description):
        self.name, self.operation, self.description = name, operation, description
        self.method, self.path = name.split(" ", 1)
        self.pattern = re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(self.path)))
        self.validators = {}

    def validator(self, status, kind):
        """The validator of an answer, or what is not described."""
        response = self.operation["responses"].get(status)
        if response is None:
            raise LookupError(f"{status} is not described")
        if "$ref" in response:
            response = self.description["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
        content = response.get("content")
        # The gateway gives a type to an answer without a body too.
        if not content:
            return NO_BODY
        if kind not in content:
            raise LookupError(f"{status} is described as {', '.join(content)}, not as {kind or 'nothing'}")
        return source.validator(self.description, content[kind].get("schema", {}))

    def problems(self, answer):
        kind = answer["type"].split(";")[0].strip()
        key = (str(answer["status"]), kind)
        if key not in self.validators:
            try:
                self.validators[key] = self.validator(*key)
            except LookupError as error:
                self.validators[key] = error
        validator = self.validators[key]
        if isinstance(validator, LookupError):
            yield str(validator)
        elif validator is NO_BODY:
            if answer["body"]:
                yield f"{answer['status']} is described without a body"
        elif kind.endswith("json"):
            for error in validator.iter_errors(json.loads(answer["body"])):
                place = "/".join("0" if isinstance(step, int) else step for step in error.instance_path)
                yield f"{answer['status']}: /{place}: {error.message[:300]}"


def main(location, recorded):
    description = source.exact(source.load(location))
    operations = [Operation(name, operation, description) for name, operation in source.operations(description)]
    # `/v1/events/search` comes before `/v1/events/{id}`.
    operations.sort(key=lambda operation: operation.path.count("{"))
    seen, found, count = collections.Counter(), collections.Counter(), 0
    examples, known = {}, set()
    with open(recorded, encoding="utf-8") as lines:
        for line in lines:
            # Many tests make the same call. The line itself would be kept for nothing.
            if hash(line) in known:
                continue
            known.add(hash(line))
            answer = json.loads(line)
            count += 1
            method, path = answer["method"], answer["path"]
            operation = next((it for it in operations if it.method == method and it.pattern.fullmatch(path)), None)
            if operation is None:
                problems = [] if (answer["status"], answer["body"]) == NO_ROUTE else ["is not described"]
                name = f"{method} {path}"
            else:
                problems, name = operation.problems(answer), operation.name
                seen[name] += answer["status"] < 400
            for problem in problems:
                found[f"{name}: {problem}"] += 1
                examples.setdefault(f"{name}: {problem}", path)
    for problem, times in found.most_common():
        print(f"{problem} ({times} times, first at {examples[problem]})")
    def is_split(operation):
        """Whether there are operations for single values of its parameter, as for each report."""
        return any(operation.method == it.method and it is not operation and operation.pattern.fullmatch(it.path) for it in operations)

    unseen = [it.name for it in operations if it.path.startswith("/v1/") and not seen[it.name] and not is_split(it)]
    for name in unseen:
        print(f"{name}: no test has a successful answer of it")
    print(f"{count} answers of {len(seen)} operations, {len(found)} problems")
    return 1 if found or unseen or not count else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
