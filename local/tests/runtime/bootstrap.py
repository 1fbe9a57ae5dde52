#!/usr/bin/env python3
"""A small runtime for tests: what it does is said by the event, or for its start by START in its environment."""
import http.client, json, os, signal, subprocess, sys, time

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
BASE = "/2018-06-01/runtime/"
connection = http.client.HTTPConnection(API)


def call(method, path, body=None, headers={}):
    connection.request(method, BASE + path, body, headers)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def error(path, kind, message):
    body = json.dumps({"errorType": kind, "errorMessage": message, "stackTrace": []})
    return call("POST", path, body, {"Lambda-Runtime-Function-Error-Type": kind})


start = os.environ.get("START", "")
if start == "exit":
    print("going down early", flush=True)
    sys.exit(3)
if start == "error":
    error("init/error", "Test.NoConfiguration", "nothing to start with")
    sys.exit(1)
if start == "slow":
    time.sleep(float(os.environ["START_SECONDS"]))
if start == "once":
    # Fails the first time only.
    marker = os.environ["MARKER"]
    if not os.path.exists(marker):
        open(marker, "w").close()
        sys.exit(3)

runs = 0
while True:
    status, headers, body = call("GET", "invocation/next")
    request = headers["Lambda-Runtime-Aws-Request-Id"]
    event = json.loads(body)
    if "requestContext" in event:
        order = json.loads(event.get("queryStringParameters", {}).get("order", "{}"))
    else:
        order = event
    runs += 1
    if "write_pid" in order:
        with open(order["write_pid"] + ".new", "w") as noted:
            noted.write(str(os.getpid()))
        os.rename(order["write_pid"] + ".new", order["write_pid"])
    if "print" in order:
        print(order["print"], flush=True)
    if "touch_first" in order:
        open(order["touch_first"], "w").close()
    if "wait_for" in order:
        while not os.path.exists(order["wait_for"]):
            time.sleep(0.002)
    if "touch" in order:
        open(order["touch"], "w").close()
    action = order.get("do", "describe")
    if action == "exit":
        sys.exit(order["code"])
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "hang":
        time.sleep(600)
    if action == "child":
        child = subprocess.Popen(["sleep", "600"])
        answer = {"pid": os.getpid(), "child": child.pid}
    elif action == "fail":
        error("invocation/%s/error" % request, "Test.Failed", "as told")
        continue
    elif action == "big":
        answer = "x" * order["bytes"]
    elif action == "respond":
        answer = order["response"]
    elif action == "raw":
        call("POST", "invocation/%s/response" % request, order["text"])
        continue
    elif action == "event":
        answer = {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}
    else:
        answer = {
            "pid": os.getpid(),
            "runs": runs,
            "request": request,
            "arn": headers["Lambda-Runtime-Invoked-Function-Arn"],
            "trace": headers["Lambda-Runtime-Trace-Id"],
            "left": int(headers["Lambda-Runtime-Deadline-Ms"]) - int(time.time() * 1000),
            "context": headers.get("Lambda-Runtime-Client-Context"),
            "environment": dict(os.environ),
            "directory": os.getcwd(),
            "event": event,
        }
    status, _, body = call("POST", "invocation/%s/response" % request, json.dumps(answer))
    if status == 413:
        error("invocation/%s/error" % request, "Test.TooLarge", body.decode())
