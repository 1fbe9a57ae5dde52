#!/usr/bin/env python3
"""What operators wait for: what commands cost beside their AWS calls, how soon `logs --follow` shows a line, how soon `dev`
serves what was saved.

Builds taskctl in release and stands the platform stack up on a local target of its own. The first part runs every command
with `--trace` and subtracts the time in which at least one AWS call was under way; the second asks a function a hundred times
and compares when its log line was written with when it was shown; the third saves a change of a function's source and waits
until the API answers with it, less the time of the build.

    python3 tests/bench/operate.py [--runs N] [--no-dev]

Only Python's standard library is needed. The exit code is 1 when a bound of docs/performance.md is missed.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from datetime import datetime
from pathlib import Path

from api import ROOT, Stack

COMMANDS = [
    ["plan"],
    ["status"],
    ["metrics"],
    ["alarms"],
    ["releases"],
    ["logs", "--since", "5m"],
    ["logs", "--query", "latency"],
    ["check"],
    ["check", "--security", "--folder", "security"],
    ["invoke", "counter", "--route", "GET /counter"],
    ["dashboard"],
    ["unlock"],
    ["prune", "--yes"],
    ["export", "policy"],
    ["export", "openapi"],
    ["templates"],
    ["schema", "status"],
    ["completions", "bash"],
    ["man"],
    ["--help"],
]
# What a command may cost beside its AWS calls, and what `dev` may beside the build.
BESIDE_CALLS = 0.300
BESIDE_BUILD = 1.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-dev", action="store_true", help="leave out the third part, which builds functions")
    options = parser.parse_args()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run(["cargo", "build", "--release", "--quiet", "--package", "taskctl"], cwd=ROOT, check=True)
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder), target)
        try:
            stack.up()
            missed += beside_calls(stack, options.runs)
            follow(stack)
            if not options.no_dev:
                missed += dev(stack, Path(folder))
        finally:
            stack.down()
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    sys.exit(1 if missed else 0)


def at(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def called(lines):
    """Seconds in which at least one call was under way."""
    calls = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") == "call":
            end = at(event["time"])
            calls.append((end - event["millis"] / 1000, end))
    total, until = 0.0, 0.0
    for begin, end in sorted(calls):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total, len(calls)


def beside_calls(stack, runs):
    print(f"## Commands, median of {runs} runs\n")
    print("| command | wall s | calls | beside calls s |")
    print("|---|---:|---:|---:|")
    missed = []
    for command in COMMANDS:
        walls, besides, calls = [], [], 0
        extra = ["--local", "--file", "platform", "--trace", "--output", "json"] if command != ["--help"] else []
        for _ in range(runs):
            began = time.monotonic()
            run = subprocess.run(
                [stack.taskctl, *command, *extra], cwd=ROOT, env=stack.environment, capture_output=True, text=True
            )
            wall = time.monotonic() - began
            if run.returncode not in (0, 2):
                sys.exit(f"{command} failed:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
            in_calls, calls = called(run.stdout.splitlines() + run.stderr.splitlines())
            walls.append(wall)
            besides.append(wall - in_calls)
        beside = statistics.median(besides)
        note = ""
        # Checks are requests to the API, which are no AWS calls.
        if beside > BESIDE_CALLS and command[0] != "check":
            missed.append(f"{' '.join(command)} costs {beside:.3f} s beside its calls")
            note = " !"
        print(f"| `{' '.join(command)}` | {statistics.median(walls):.3f} | {calls} | {beside:.3f}{note} |")
    return missed


def live(stack):
    return json.loads(stack.run("status", "--output", "json"))["endpoints"]["live"]


def follow(stack):
    url = live(stack) + "/health"
    command = [stack.taskctl, "logs", "health", "--follow", "--since", "1s", "--format", "json", "--local", "--file", "platform"]
    process = subprocess.Popen(command, cwd=ROOT, env=stack.environment, stdout=subprocess.PIPE, text=True)
    late = []

    def read():
        for line in process.stdout:
            message = json.loads(line)["message"]
            if isinstance(message, dict) and "route" in message:
                late.append(time.time() - at(json.loads(line)["time"]))

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(2)
    for _ in range(100):
        urllib.request.urlopen(url).read()
        time.sleep(0.11)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    reader.join()
    process.wait()
    late.sort()
    rank = lambda percent: late[min(len(late) - 1, len(late) * percent // 100)]
    print("\n## From written to shown by `logs --follow`\n")
    print("| lines | p50 s | p90 s | p99 s | max s |")
    print("|---:|---:|---:|---:|---:|")
    print(f"| {len(late)} of 100 | {rank(50):.2f} | {rank(90):.2f} | {rank(99):.2f} | {late[-1]:.2f} |")
    if len(late) != 100:
        sys.exit("lines were lost")


def dev(stack, folder):
    project = folder / "project"
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, files):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    source = project / "handlers/src/bin/health.rs"
    template = project / "taskctl.yaml"
    shutil.copy(project / "templates/platform.yaml", template)
    shutil.copytree(project / "templates/site", project / "site", dirs_exist_ok=True)
    environment = {**stack.environment, "CARGO_TARGET_DIR": str(folder / "target")}
    log = (folder / "dev.jsonl").open("w+")
    command = [stack.taskctl, "dev", "--output", "json", "--no-logs"]
    process = subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True)

    def events(name):
        lines = (folder / "dev.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def waits():
        return len(events("finished"))

    def until(is_so):
        began = time.monotonic()
        while not is_so():
            if time.monotonic() - began > 900 or process.poll() is not None:
                sys.exit((folder / "dev.jsonl").read_text()[-3000:])
            time.sleep(0.005)

    print("\n## From save to live with `dev`\n")
    print("| change | build s | save to live s | beside the build s |")
    print("|---|---:|---:|---:|")
    missed = []
    try:
        until(lambda: waits() == 1)
        url = live(stack) + "/health"
        for number in range(1, 4):
            before = urllib.request.urlopen(url).headers["x-release"]
            builds, settled = len(events("build-finished")), waits()
            text = source.read_text()
            # An item that is never removed: another number is another binary.
            mark = f"#[used]\nstatic SAVED: u64 = {time.time_ns()};\n"
            source.write_text(text.split("#[used]")[0] + mark)
            saved = time.monotonic()
            until(lambda: urllib.request.urlopen(url).headers["x-release"] != before)
            taken = time.monotonic() - saved
            until(lambda: waits() > settled)
            build = events("build-finished")[builds]["millis"] / 1000
            beside = taken - build
            if beside > BESIDE_BUILD:
                missed.append(f"dev takes {beside:.2f} s beside the build")
            print(f"| {number} | {build:.2f} | {taken:.2f} | {beside:.2f} |")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
    return missed


if __name__ == "__main__":
    main()
