"""The counter as a minimal Python function: the runtime API's loop, boto3, one UpdateItem."""

import json
import os
import time
import urllib.request

import boto3

BASE = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
TABLE = boto3.client("dynamodb")


def count():
    now = int(time.time())
    answer = TABLE.update_item(
        TableName=os.environ["COUNTER_TABLE"],
        Key={"counter_id": {"S": "bench"}},
        UpdateExpression="ADD visit_count :one SET last_updated = :now, ItemExpireTTL = :ttl",
        ExpressionAttributeValues={":one": {"N": "1"}, ":now": {"N": str(now)}, ":ttl": {"N": str(now + 2592000)}},
        ReturnValues="UPDATED_NEW",
    )
    return {"statusCode": 200, "body": json.dumps({"count": int(answer["Attributes"]["visit_count"]["N"])})}


while True:
    with urllib.request.urlopen(f"{BASE}/next") as event:
        request = event.headers["Lambda-Runtime-Aws-Request-Id"]
        event.read()
    body = json.dumps(count()).encode()
    urllib.request.urlopen(urllib.request.Request(f"{BASE}/{request}/response", data=body, method="POST")).read()
