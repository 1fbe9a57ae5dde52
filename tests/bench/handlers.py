#!/usr/bin/env python3
"""What the functions cost before they do anything: start to first request, warm answer without an AWS call, memory, zip.

Builds the functions as `taskctl package` does and runs each on the local runtime host (`local/examples/bench.rs`).

    python3 tests/bench/handlers.py [--cold N] [--warm N]
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FUNCTIONS = ["tasks", "users", "assets", "counter", "health"]
VARIABLES = ["TASKS_TABLE=t", "USERS_TABLE=t", "ASSETS_TABLE=t", "COUNTER_TABLE=t", "ASSETS_BUCKET=b"]

# A path that no function has: answered without a call to AWS.
EVENT = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/nowhere",
    "rawQueryString": "",
    "headers": {"host": "localhost"},
    "stageVariables": {"release": "1", "color": "blue"},
    "requestContext": {
        "accountId": "000000000000",
        "apiId": "bench",
        "domainName": "localhost",
        "domainPrefix": "bench",
        "http": {"method": "GET", "path": "/nowhere", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "bench"},
        "requestId": "bench",
        "routeKey": "$default",
        "stage": "$default",
        "time": "21/Nov/2026:00:00:00 +0000",
        "timeEpoch": 1795219200000,
    },
    "isBase64Encoded": False,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cold", type=int, default=30)
    parser.add_argument("--warm", type=int, default=3000)
    options = parser.parse_args()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    cargo = ["cargo", "build", "--release", "--quiet", "--package"]
    subprocess.run([*cargo, "taskctl-local", "--examples"], cwd=ROOT, check=True)
    subprocess.run([*cargo, "taskctl"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder:
        dist, event = Path(folder) / "dist", Path(folder) / "event.json"
        event.write_text(json.dumps(EVENT))
        package = [target / "release/taskctl", "package", "--local", "--release", "-f", "platform", "--out", dist]
        subprocess.run(package, cwd=ROOT, check=True, capture_output=True)
        print("| function | init ms: median, worst | warm ms: median, p99 | MiB | zip MiB |")
        print("|---|---:|---:|---:|---:|")
        for function in FUNCTIONS:
            command = [target / "release/examples/bench", "--bootstrap", target / "handlers" / function]
            command += ["--event-file", event, "--path", "/nowhere", "--cold", options.cold, "--warm", options.warm, "--seconds", 1]
            for variable in VARIABLES:
                command += ["--env", variable]
            run = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
            figures = json.loads(run.stdout)
            show(function, figures, (dist / f"{function}.zip").stat().st_size)


def show(function, figures, size):
    init, warm = figures["cold"]["initMs"], figures["warm"]["durationMs"]
    memory = figures["cold"]["maxMemoryMiB"]
    print(
        f"| `{function}` | {init['p50']:.1f}, {init['max']:.1f} | {warm['p50']:.2f}, {warm['p99']:.2f} "
        f"| {memory['max']:.0f} | {size / 2**20:.2f} |"
    )


if __name__ == "__main__":
    main()
