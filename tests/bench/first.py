#!/usr/bin/env python3
"""How long a newcomer waits: README's first command in a fresh clone, the second command, a deploy after one function has
changed, and `dev` from save to answer; for this commit and an older one, in one run.

    python3 tests/bench/first.py --before COMMIT [--folder DIR] [--saves N]

Clones both below DIR (a temporary folder unless it is given) and runs the command that each README shows. A clone that is there
and built is measured without the first command. From nothing it takes as long as the two builds. Only Python's standard
library is needed; compare within one run.
"""

import argparse
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from stack import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = re.compile(r"^\$ (cargo run .*-- deploy --local.*)$", re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", required=True, metavar="COMMIT")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--saves", type=int, default=3, help="changes that `dev` sees; the median counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="taskctl-first-") as name:
        folder = (options.folder or Path(name)).resolve()
        found = {}
        for label, commit in (("now", "HEAD"), ("before", options.before)):
            found[label] = Clone(folder / label, commit).measure(options.saves)
            for what, figure in found[label].items():
                print(f"{label}: {what}: {figure['wall']:.1f} s", file=sys.stderr)
    show(found)


class Clone:
    def __init__(self, directory: Path, commit: str):
        self.directory = directory
        self.is_built = (directory / "target").exists()
        if not directory.exists():
            subprocess.run(["git", "clone", "-q", ROOT, directory], check=True)
            hash_of = subprocess.run(["git", "rev-parse", commit], cwd=ROOT, check=True, capture_output=True, text=True)
            subprocess.run(["git", "checkout", "-q", hash_of.stdout.strip()], cwd=directory, check=True)
        own = directory.with_name(directory.name + "-local")
        own.mkdir(exist_ok=True)
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("CARGO_TARGET")} | {
            "TASKCTL_LOCAL_ROOT": str(own),
            "TASKCTL_CACHE": str(own / "cache"),
            "TASKCTL_LOCAL_PORT": str(free_port()),
            "TASKCTL_LOCAL_WEBSITE_PORT": str(free_port()),
            "NO_COLOR": "1",
        }
        self.first = COMMAND.search((directory / "README.md").read_text())[1]

    def command(self, words: str) -> list[str]:
        return shlex.split(self.first.replace("deploy --local", words))

    def run(self, words: str, codes=(0,)) -> dict:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        done = subprocess.run(self.command(words), cwd=self.directory, env=self.environment, capture_output=True, text=True)
        wall = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode not in codes:
            sys.exit(f"{words} in {self.directory} ended with {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"wall": wall, "cpu": cpu, "out": done.stdout, "built": "Compiling" in done.stderr}

    def change(self):
        source = self.directory / "handlers/src/bin/health.rs"
        # An item that is never removed: another number is another binary.
        mark = f"#[used]\nstatic SAVED: u64 = {time.time_ns()};\n"
        source.write_text(source.read_text().split("#[used]")[0] + mark)

    def measure(self, saves: int) -> dict:
        figures = {}
        if not self.is_built:
            figures["first command"] = self.run("deploy --local")
        else:
            self.run("deploy --local")
        figures["second command (plan)"] = self.run("plan --local", codes=(0, 2))
        if figures["second command (plan)"]["built"]:
            sys.exit("the second command has built something")
        self.change()
        figures["deploy of one changed function"] = self.run("deploy --local")
        figures["dev, save to answer"] = {"wall": self.dev(saves), "cpu": float("nan")}
        self.run("local down")
        return figures

    def dev(self, saves: int) -> float:
        status = json.loads(self.run("status --local --output json")["out"])
        url = status["endpoints"]["live"] + "/health"
        log = (self.directory.with_name(self.directory.name + "-dev.log")).open("w+")
        command = self.command("dev --output json --no-logs")
        process = subprocess.Popen(command, cwd=self.directory, env=self.environment, stdout=log, stderr=log)
        path = Path(log.name)
        try:
            taken = []
            for number in range(1, saves + 1):
                self.until(process, path, lambda: path.read_text().count('"event":"finished"') >= number)
                before = release(url)
                self.change()
                saved = time.monotonic()
                self.until(process, path, lambda: release(url) not in (None, before))
                taken.append(time.monotonic() - saved)
            return sorted(taken)[len(taken) // 2]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()

    @staticmethod
    def until(process, log, is_so):
        began = time.monotonic()
        while not is_so():
            if time.monotonic() - began > 900 or process.poll() is not None:
                sys.exit(log.read_text()[-3000:])
            time.sleep(0.02)


def release(url: str) -> str | None:
    try:
        return urllib.request.urlopen(url).headers["x-release"]
    except urllib.error.URLError:
        return None


def show(found):
    print("| | now: wall s | CPU s | before: wall s | CPU s | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for what, now in found["now"].items():
        before = found["before"].get(what)
        if before:
            ratio = now["wall"] / before["wall"]
            print(
                f"| {what} | {now['wall']:.1f} | {now['cpu']:.0f} | {before['wall']:.1f} | {before['cpu']:.0f} | {ratio:.2f} |"
            )


if __name__ == "__main__":
    main()
