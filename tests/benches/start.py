"""The least that a Python function does at its start: boto3, a client, the first poll."""

import os
import urllib.request

import boto3

client = boto3.client("dynamodb")
urllib.request.urlopen(f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation/next")
