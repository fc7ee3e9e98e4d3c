"""The time that boto3 needs to read a request of events, make items and send them, with a network without delay."""

import json
import sys
import time

import boto3
from botocore.awsrequest import AWSResponse

given = json.load(open(sys.argv[1]))
times = int(sys.argv[2])
answer = json.dumps({"Responses": [{"TableName": "events"}] * 25}).encode()


class Raw:
    def stream(self, *_, **__):
        yield answer


def stored(request, **_):
    response = AWSResponse(request.url, 200, {"content-type": "application/x-amz-json-1.0"}, Raw())
    response._content = answer
    return response


client = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret")
client.meta.events.register("before-send.dynamodb.BatchExecuteStatement", stored)


def ingest():
    events = json.loads(given["body"])["events"]
    items = given["items"]
    assert len(events) == len(items)
    for start in range(0, len(items), 25):
        statements = []
        for item in items[start : start + 25]:
            places = ", ".join(f"'{name}': ?" for name in item)
            statements.append({"Statement": f'INSERT INTO "events" VALUE {{{places}}}', "Parameters": list(item.values())})
        client.batch_execute_statement(Statements=statements)


ingest()
rounds = []
for _ in range(times):
    begun = time.perf_counter()
    ingest()
    rounds.append((time.perf_counter() - begun) / len(given["items"]))
print(sorted(rounds)[len(rounds) // 2])
