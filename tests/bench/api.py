#!/usr/bin/env python3
"""The API under load, and its counter next to the same function in Python and in Node.

Stands the platform stack up on a local target of its own and asks three routes with many clients at once (`taskctl load`).
Then runs the counter of this project, a minimal Python function (boto3) and a minimal Node function (AWS SDK 3), which do the
same UpdateItem, one after another on the same runtime host and table (`local/examples/bench.rs`).

    python3 tests/bench/api.py [--clients N] [--seconds N]

Needs pip and npm for the other two; what is missing is left out, and said.
"""

import argparse
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PEERS = ROOT / "tests/bench/peers"
# The list comes before the creates: a query of the emulator costs more the more items the table has. One of DynamoDB does not.
ROUTES = ["GET /counter", "GET /tasks?limit=20", "POST /tasks"]
CREATE = """
checks:
  - name: create a task
    folder: performance
    writes: true
    request: {method: POST, path: /tasks, json: {title: "Load {{uuid}}"}}
    expect: {status: 201}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=15)
    options = parser.parse_args()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    build = ["cargo", "build", "--release", "--quiet", "--package"]
    subprocess.run([*build, "taskctl"], cwd=ROOT, check=True)
    subprocess.run([*build, "taskctl-local", "--examples"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder), target)
        try:
            stack.up()
            routes(stack, options)
            peers(stack, options)
        finally:
            stack.down()


class Stack:
    """The platform stack on a local target of its own."""

    def __init__(self, folder, target):
        self.folder, self.target = folder, target
        self.taskctl = target / "release/taskctl"
        self.port = free_port()
        self.environment = {
            **os.environ,
            "TASKCTL_LOCAL_ROOT": str(folder / "local"),
            "TASKCTL_LOCAL_PORT": str(self.port),
            "TASKCTL_LOCAL_WEBSITE_PORT": str(free_port()),
        }

    def run(self, *arguments):
        command = [self.taskctl, *arguments, "--local", "-f", "platform"]
        run = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"{command} failed:\n{run.stdout}{run.stderr}")
        return run.stdout

    def up(self):
        self.run("deploy", "--release")

    def down(self):
        subprocess.run([self.taskctl, "local", "down"], env=self.environment, capture_output=True)

    def load(self, *arguments):
        return json.loads(self.run("load", *arguments, "--output", "json"))


def routes(stack, options):
    create = stack.folder / "create.yaml"
    create.write_text(CREATE)
    stack.load("--scenario", str(create), "--users", "4", "--rps", "100", "--duration", "2s", "--warm-up", "0s")
    print(f"## {options.clients} clients, {options.seconds} s each, through the HTTP API of the local target\n")
    print("| route | requests/s | p50 ms | p99 ms | errors | environments | MiB each |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for route in ROUTES:
        aim = ["--scenario", str(create)] if route.startswith("POST") else ["--request", route]
        report = stack.load(*aim, "--users", str(options.clients), "--duration", f"{options.seconds}s")
        memory = environments(stack.folder)
        latency = report["latency"]
        print(
            f"| `{route}` | {report['rps']:.0f} | {latency['p50']:.0f} | {latency['p99']:.0f} "
            f"| {sum(report['errors'].values())} | {len(memory)} | {max(memory, default=0):.0f} |"
        )
        if report["errors"]:
            print(f"  {report['errors']}", file=sys.stderr)


def environments(folder):
    """Resident MiB of the function processes that run now."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if str(folder) in os.readlink(process / "exe") and (process / "exe").resolve().name == "bootstrap":
                pages = int((process / "statm").read_text().split()[1])
                found.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        except (OSError, IndexError, ValueError):
            continue
    return found


def peers(stack, options):
    print("\n## The counter next to the same function in Python and Node, on the same host and table\n")
    print("| function | init ms: median, worst | warm ms: median, p99 | MiB | requests/s | p50 ms | p99 ms | errors |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    bootstraps = {
        "taskctl (Rust)": stack.target / "handlers/counter",
        "Python, boto3": python(stack.folder / "python"),
        "Node, AWS SDK 3": node(stack.folder / "node"),
    }
    for name, bootstrap in bootstraps.items():
        if bootstrap is None:
            print(f"| {name} | not installed here |")
            continue
        measure(stack, name, bootstrap, options)


def measure(stack, name, bootstrap, options):
    event = stack.folder / "event.json"
    event.write_text(json.dumps(EVENT))
    command = [stack.target / "release/examples/bench", "--bootstrap", bootstrap, "--event-file", event]
    command += ["--endpoint-url", f"http://127.0.0.1:{stack.port}", "--path", "/counter"]
    command += ["--local-root", stack.folder / "local"]
    command += ["--env", "COUNTER_TABLE=platform-dev-counter", "--cold", 10, "--warm", 500]
    # The function of the stack itself, in all three languages.
    command += ["--role", "arn:aws:iam::000000000000:role/taskctl/platform/dev/platform-dev-counter-eu-central-1"]
    command += ["--clients", options.clients, "--seconds", options.seconds, "--environments", 16]
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{name}: {run.stderr}")
    figures = json.loads(run.stdout)
    init, warm, load = figures["cold"]["initMs"], figures["warm"]["durationMs"], figures["gateway"]
    latency, memory = load["latencyMs"], figures["cold"]["maxMemoryMiB"]["max"]
    print(
        f"| {name} | {init['p50']:.1f}, {init['max']:.1f} | {warm['p50']:.2f}, {warm['p99']:.2f} "
        f"| {memory:.0f} | {load['requestsPerSecond']:.0f} | {latency['p50']:.0f} "
        f"| {latency['p99']:.0f} | {load['errors']} |",
        flush=True,
    )


def python(folder):
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
        pip = [folder / "bin/pip", "install", "--quiet", "boto3"]
        subprocess.run(pip, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return script(folder / "bootstrap", f"{folder}/bin/python {PEERS}/counter.py")


def node(folder):
    if not shutil.which("node") or not shutil.which("npm"):
        return None
    folder.mkdir()
    npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "@aws-sdk/client-dynamodb@3"]
    if subprocess.run(npm, cwd=folder, capture_output=True).returncode != 0:
        return None
    shutil.copy(PEERS / "counter.mjs", folder)
    return script(folder / "bootstrap", f"{shutil.which('node')} {folder}/counter.mjs")


def script(path, command):
    path.write_text(f"#!/bin/sh\nexec {command}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


EVENT = {
    "version": "2.0",
    "routeKey": "GET /counter",
    "rawPath": "/counter",
    "rawQueryString": "",
    "headers": {"host": "localhost"},
    "stageVariables": {"release": "1", "color": "blue"},
    "requestContext": {
        "accountId": "000000000000",
        "apiId": "bench",
        "domainName": "localhost",
        "domainPrefix": "bench",
        "http": {"method": "GET", "path": "/counter", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "bench"},
        "requestId": "bench",
        "routeKey": "GET /counter",
        "stage": "$default",
        "time": "21/Nov/2026:00:00:00 +0000",
        "timeEpoch": 1795219200000,
    },
    "isBase64Encoded": False,
}


if __name__ == "__main__":
    main()
