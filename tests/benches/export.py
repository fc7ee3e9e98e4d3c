"""Reads the events of some days with boto3 and writes them with csv. Prints the number of rows and the seconds."""
import csv, json, sys, tempfile, time
import boto3
from boto3.dynamodb.conditions import Key

url, name, days = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
table = boto3.resource("dynamodb", endpoint_url=url, region_name="us-east-1").Table(name)
columns = ["pk", "at", "recorded", "action", "actor_type", "actor_id", "actor_name", "actor_email", "subject_name", "account_name", "target_type",
           "target_id", "target_name", "session_id", "request_id", "session_scope", "justification", "reason", "by_sub", "digest", "details"]
begun, rows = time.perf_counter(), 0
with tempfile.TemporaryFile("w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow(columns)
    for day in days:
        start = {}
        while start is not None:
            page = table.query(IndexName="by_time", KeyConditionExpression=Key("day").eq(day), ScanIndexForward=False, **start)
            for item in page["Items"]:
                item["digest"] = item["digest"].value.hex()
                writer.writerow([item.get(column, "") for column in columns])
            rows += len(page["Items"])
            last = page.get("LastEvaluatedKey")
            start = {"ExclusiveStartKey": last} if last else None
print(rows, time.perf_counter() - begun)
