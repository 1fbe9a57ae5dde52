#!/usr/bin/env python3
"""How plan, memory and calls grow with the stack: n functions, 3n routes and n/2 tables, for several n, in one run.

    python3 tests/bench/scale.py [--binary target/debug/taskctl] [--sizes 25,50,100] [--runs N]

Deploys each stack on a local target of its own and plans it again; a plan beside a relay that holds every byte back (100 ms a
round trip) shows that the round trips in a row do not grow. Only Python's standard library is needed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from stack import ROOT, DelayLine, depth, free_port, measured


# Answers 404 to everything, without the SDK.
BOOTSTRAP = """#!/usr/bin/env python3
import json, os, urllib.request
base = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
while True:
    with urllib.request.urlopen(f"{base}/next") as event:
        number = event.headers["Lambda-Runtime-Aws-Request-Id"]
    answer = json.dumps({"statusCode": 404, "body": "{}"}).encode()
    urllib.request.urlopen(f"{base}/{number}/response", data=answer).read()
"""


def template(functions: int) -> str:
    tables = functions // 2
    lines = ["app: scale", "region: eu-central-1", "stages: {dev: {release: immediate}}", "tables:"]
    lines += [f"  t{number:03}: {{partition_key: id}}" for number in range(tables)]
    lines += ["functions:"]
    for number in range(functions):
        grant = f"grants: [{{table: t{number % tables:03}, access: [read, write]}}]"
        lines += [f"  f{number:03}: {{code: code, runtime: provided.al2023, {grant}}}"]
    lines += ["api:", "  routes:"]
    for number in range(functions):
        for method in ("GET", "PUT", "DELETE"):
            lines += [f"    {method} /f{number:03}/{{id}}: f{number:03}"]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=ROOT / "target/debug/taskctl")
    parser.add_argument("--sizes", default="25,50,100")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = [measure(options.binary.resolve(), int(size), options.runs) for size in options.sizes.split(",")]
    heads = ["functions", "routes", "tables", "first deploy", "calls", "plan", "MiB", "calls", "in a row", "plan at +100 ms"]
    print(" | ".join(heads))
    for one in figures:
        print(
            f"{one['functions']:9} | {one['routes']:6} | {one['tables']:6} | {one['deploy']['wall']:10.1f} s | "
            f"{one['deploy']['calls']:5} | {one['plan']['wall']:.2f} s | {one['plan']['mib']:3.0f} | {one['plan']['calls']:5} | "
            f"{one['far']['depth']:8} | {one['far']['wall']:.2f} s"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


def measure(binary: Path, functions: int, runs: int) -> dict:
    with tempfile.TemporaryDirectory(prefix="taskctl-scale-") as name:
        project = Path(name)
        (project / "code").mkdir()
        bootstrap = project / "code/bootstrap"
        bootstrap.write_text(BOOTSTRAP)
        bootstrap.chmod(0o755)
        (project / "taskctl.yaml").write_text(template(functions))
        port = free_port()
        local = os.environ | {
            "TASKCTL_LOCAL_ROOT": str(project / "local"),
            "TASKCTL_LOCAL_PORT": str(port),
            "TASKCTL_LOCAL_WEBSITE_PORT": str(free_port()),
            "NO_COLOR": "1",
        }
        up = subprocess.run([binary, "local", "up"], env=local, capture_output=True, text=True)
        if up.returncode != 0:
            sys.exit(up.stderr)
        try:
            answer = subprocess.run([binary, "local", "env", "--output", "json"], env=local, capture_output=True, text=True)
            key = json.loads(answer.stdout)
            keys = {"AWS_ACCESS_KEY_ID": key["accessKeyId"], "AWS_SECRET_ACCESS_KEY": key["secretAccessKey"]}
            relay = DelayLine(port, 0.1)

            def run(endpoint, *arguments):
                command = [binary, *arguments, "--endpoint-url", endpoint, "--output", "json", "--trace"]
                made = measured(command, project, local | keys)
                events = [json.loads(line) for line in made.pop("out").splitlines()]
                finished = next(event for event in events if event["event"] == "finished")
                return made | {"calls": finished["calls"], "depth": depth(events)}

            near = f"http://127.0.0.1:{port}"
            deploy = run(near, "deploy", "--yes")
            plans = [run(near, "plan") for _ in range(runs)]
            plan = {field: statistics.median(one[field] for one in plans) for field in plans[0] if field != "out"}
            far = run(f"http://127.0.0.1:{relay.port}", "plan")
            run(near, "destroy", "--yes", "--delete-data", "all")
        finally:
            subprocess.run([binary, "local", "down"], env=local, capture_output=True)
    return {
        "functions": functions,
        "routes": 3 * functions,
        "tables": functions // 2,
        "deploy": deploy,
        "plan": plan,
        "far": far,
    }


if __name__ == "__main__":
    main()
