#!/usr/bin/env python3
"""How long taskctl takes for the platform stack, with how many calls, next to Terraform for the same stack.

Builds taskctl in release, starts the local target of its own in a scratch folder, and measures first deploy, plan without
changes, change of one function's code, deploy into preview, promote, rollback, and destroy: once straight, once with every byte sent to AWS delayed (100 ms a
round trip). Terraform runs the same stack (tests/bench/terraform) against the same endpoint when `terraform` is on PATH and
its AWS provider can be installed; TF_CLI_CONFIG_FILE may name a mirror.

    python3 tests/bench/stack.py [--runs N] [--delay MS] [--no-terraform] [--json FILE]

Only Python's standard library is needed. Absolute times depend on the machine; compare within one run.
"""

import argparse
import asyncio
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
REQUEST = re.compile(rb"^(?:GET|HEAD|POST|PUT|PATCH|DELETE) \S+ HTTP/1\.1\r\n")


class DelayLine:
    """A TCP relay that holds back what clients send, and counts the requests that begin in it."""

    def __init__(self, upstream: int, delay: float):
        self.upstream, self.delay, self.requests = upstream, delay, 0
        self.port, ready = 0, threading.Event()
        self.loop = asyncio.new_event_loop()

        async def serve():
            server = await asyncio.start_server(self.relay, "127.0.0.1", 0, limit=1 << 22)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await server.serve_forever()

        threading.Thread(target=lambda: self.loop.run_until_complete(serve()), daemon=True).start()
        ready.wait()

    async def relay(self, reader, writer):
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream, limit=1 << 22)
        queue = asyncio.Queue()

        async def take():
            while data := await reader.read(1 << 20):
                if REQUEST.match(data):
                    self.requests += 1
                await queue.put((time.monotonic() + self.delay, data))
            await queue.put((0, None))

        async def give():
            while True:
                at, data = await queue.get()
                if data is None:
                    up_writer.write_eof()
                    return
                await asyncio.sleep(max(0.0, at - time.monotonic()))
                up_writer.write(data)
                await up_writer.drain()

        async def answer():
            while data := await up_reader.read(1 << 20):
                writer.write(data)
                await writer.drain()
            writer.close()

        try:
            await asyncio.gather(take(), give(), answer())
        except (ConnectionError, OSError):
            writer.close()
        finally:
            up_writer.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peak(threading.Thread):
    """Peak resident memory of a process and of those it starts, the largest single one, in MiB."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.pid, self.over, self.peak = pid, threading.Event(), 0

    def run(self):
        while not self.over.wait(0.02):
            for pid in self.family(self.pid):
                try:
                    text = Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue
                if found := re.search(r"VmHWM:\s+(\d+)", text):
                    self.peak = max(self.peak, int(found[1]))

    def family(self, pid: int):
        yield pid
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                for child in task.read_text().split():
                    yield from self.family(int(child))
            except OSError:
                continue


def measured(command, cwd, env, codes=(0,)):
    """Runs a command: wall, CPU, peak memory and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = Peak(process.pid)
    watch.start()
    out, err = process.communicate()
    wall = time.monotonic() - began
    watch.over.set()
    watch.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode not in codes:
        sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}\n{out[-3000:]}\n{err[-3000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "mib": watch.peak / 1024, "out": out}


def depth(events) -> int:
    """The longest run of calls of which each began after the one before had ended: round trips in a row."""
    calls = []
    for event in events:
        if event["event"] == "call":
            end = time_of(event["time"])
            calls.append((end, end - event["millis"] / 1000))
    row, free = 0, float("-inf")
    for end, start in sorted(calls):
        if start >= free - 0.0015:
            row, free = row + 1, end
    return row


def time_of(text: str) -> float:
    hours, minutes, seconds = re.search(r"T(\d+):(\d+):([\d.]+)", text).groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


class Taskctl:
    name = "taskctl"

    def __init__(self, binary: Path, scratch: Path, dist: Path, changed: Path, credentials: dict):
        self.binary, self.dist, self.changed, self.credentials = binary, dist, changed, credentials
        self.project = scratch / "project"
        self.project.mkdir()
        template = (ROOT / "templates/platform.yaml").read_text()
        shutil.copytree(ROOT / "templates/site", self.project / "site")
        (self.project / "taskctl.yaml").write_text(template.replace("app: platform", "app: bench", 1))

    def run(self, endpoint, *arguments, codes=(0,)):
        env = os.environ | self.credentials | {"NO_COLOR": "1"}
        command = [self.binary, *arguments, "--endpoint-url", endpoint, "--output", "json", "--trace"]
        run = measured(command, self.project, env, codes)
        events = [json.loads(line) for line in run.pop("out").splitlines()]
        finished = next(event for event in events if event["event"] == "finished")
        return run | {"calls": finished["calls"], "depth": depth(events)}

    def first(self, endpoint):
        return self.run(endpoint, "deploy", "--yes", "--artifacts", self.dist)

    def nothing(self, endpoint):
        return self.run(endpoint, "plan", "--artifacts", self.dist)

    def code(self, endpoint):
        return self.run(endpoint, "deploy", "--yes", "--artifacts", self.changed)

    def waiting(self, endpoint):
        return self.run(endpoint, "deploy", "--yes", "--no-promote", "--artifacts", self.dist)

    def promote(self, endpoint):
        return self.run(endpoint, "promote", "--yes")

    def rollback(self, endpoint):
        return self.run(endpoint, "rollback", "--yes")

    def destroy(self, endpoint):
        return self.run(endpoint, "destroy", "--yes", "--delete-data", "all")


class Terraform:
    name = "Terraform"

    def __init__(self, scratch: Path, dist: Path, changed: Path, credentials: dict):
        self.dist, self.changed, self.credentials = dist, changed, credentials
        self.project = scratch / "terraform"
        shutil.copytree(ROOT / "tests/bench/terraform", self.project)

    def init(self) -> str | None:
        """Why it cannot run, if so."""
        if not shutil.which("terraform"):
            return "terraform is not on PATH"
        made = subprocess.run(
            ["terraform", "init", "-no-color", "-input=false"], cwd=self.project, capture_output=True, text=True
        )
        return None if made.returncode == 0 else made.stderr.strip().splitlines()[0]

    def run(self, endpoint, *arguments, codes=(0,)):
        variables = ["-var", f"endpoint={endpoint}", "-var", f"packages={self.dist}", "-no-color", "-input=false"]
        run = measured(["terraform", *arguments, *variables], self.project, os.environ | self.credentials, codes)
        run.pop("out")
        return run

    def first(self, endpoint):
        return self.run(endpoint, "apply", "-auto-approve")

    def nothing(self, endpoint):
        return self.run(endpoint, "plan", "-detailed-exitcode", codes=(0, 2))

    def code(self, endpoint):
        return self.run(endpoint, "apply", "-auto-approve", "-var", f"changed={self.changed}/tasks.zip")

    def destroy(self, endpoint):
        return self.run(endpoint, "destroy", "-auto-approve")


STEPS = [
    ("first", "first deploy"),
    ("nothing", "plan, no change"),
    ("code", "code of one function"),
    ("waiting", "deploy into preview"),
    ("promote", "promote, 46 checks and 20 confirmations included"),
    ("rollback", "rollback, 20 confirmations included"),
    ("destroy", "destroy"),
]


def change(dist: Path, changed: Path, binary: Path, scratch: Path):
    """Packages in which one function differs: the other function's executable under its name."""
    shutil.copytree(dist, changed)
    index = json.loads((changed / "packages.json").read_text())
    text = json.dumps(index)
    import base64, hashlib

    old = base64.b64encode(hashlib.sha256((changed / "tasks.zip").read_bytes()).digest()).decode()
    with zipfile.ZipFile(changed / "tasks.zip", "a") as archive:
        archive.writestr("changed", b"1")
    new = base64.b64encode(hashlib.sha256((changed / "tasks.zip").read_bytes()).digest()).decode()
    size = (changed / "tasks.zip").stat().st_size
    assert old in text, "packages.json names no CodeSha256 of tasks"
    text = text.replace(old, new).replace(str((dist / "tasks.zip").stat().st_size), str(size))
    (changed / "packages.json").write_text(text)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--delay", type=int, default=100, help="milliseconds a call")
    arguments.add_argument("--no-terraform", action="store_true")
    arguments.add_argument("--json", type=Path, help="write every figure there")
    options = arguments.parse_args()

    subprocess.run(["cargo", "build", "--release", "--quiet", "--package", "taskctl"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binary = target / "release/taskctl"
    with tempfile.TemporaryDirectory(prefix="taskctl-bench-") as folder:
        scratch = Path(folder)
        dist, changed = scratch / "dist", scratch / "changed"
        subprocess.run([binary, "package", "--local", "--release", "-f", "platform", "--out", dist], cwd=ROOT, check=True, capture_output=True)
        change(dist, changed, binary, scratch)
        port = free_port()
        local = os.environ | {
            "TASKCTL_LOCAL_ROOT": str(scratch / "local"),
            "TASKCTL_LOCAL_PORT": str(port),
            "TASKCTL_LOCAL_WEBSITE_PORT": str(free_port()),
        }
        subprocess.run([binary, "local", "up"], env=local, check=True, capture_output=True)
        try:
            printed = subprocess.run([binary, "local", "env", "--output", "json"], env=local, check=True, capture_output=True)
            key = json.loads(printed.stdout)
            credentials = {"AWS_ACCESS_KEY_ID": key["accessKeyId"], "AWS_SECRET_ACCESS_KEY": key["secretAccessKey"]}
            peers = [Taskctl(binary, scratch, dist, changed, credentials)]
            if not options.no_terraform:
                terraform = Terraform(scratch, dist, changed, credentials)
                reason = terraform.init()
                if reason:
                    print(f"Terraform is left out: {reason}")
                else:
                    peers.append(terraform)
            figures = measure(peers, port, options)
        finally:
            subprocess.run([binary, "local", "down"], env=local, check=False, capture_output=True)
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def measure(peers, port, options):
    figures = []
    for delay in (0, options.delay):
        line = DelayLine(port, delay / 1000)
        endpoint = f"http://127.0.0.1:{line.port}"
        for run in range(options.runs):
            for peer in peers:
                for step, title in STEPS:
                    if not hasattr(peer, step):
                        continue
                    line.requests = 0
                    figure = getattr(peer, step)(endpoint)
                    figure |= {"peer": peer.name, "step": title, "delay": delay, "run": run, "requests": line.requests}
                    figures.append(figure)
                    print(f"+{delay} ms, {peer.name}, {title}: {figure['wall']:.2f} s", file=sys.stderr, flush=True)
    return figures


def show(figures):
    print("| | | wall s | CPU s | MiB | requests | round trips in a row |")
    print("|---|---|---:|---:|---:|---:|---:|")
    groups = {}
    for figure in figures:
        groups.setdefault((figure["delay"], figure["step"], figure["peer"]), []).append(figure)
    for (delay, step, peer), group in groups.items():
        middle = lambda key: statistics.median(figure[key] for figure in group)
        row = f"{middle('depth'):.0f}" if "depth" in group[0] else ""
        print(
            f"| {step} at +{delay} ms | {peer} | {middle('wall'):.2f} | {middle('cpu'):.2f} | {middle('mib'):.0f} "
            f"| {middle('requests'):.0f} | {row} |"
        )


if __name__ == "__main__":
    main()
