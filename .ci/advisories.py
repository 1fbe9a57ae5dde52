#!/usr/bin/env python3
"""Compares Cargo.lock with the advisories of RustSec, offline.

The database is the first of: the path in TASKCTL_ADVISORIES; `advisories.json` beside this script or in a folder `shared` beside
the clone; what `cargo audit` or `cargo deny` keep in Cargo's home. It is a clone of the database, or a snapshot of one that
`advisories.py snapshot DATABASE > advisories.json` wrote.

A locked version with an advisory fails. A database older than MAX_AGE_DAYS warns: what was found later is not in it. Without a
database nothing is compared, and that is said; with --required it fails.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_AGE_DAYS = 120
# Advisories that do not concern this program, with the reason. Each must still match, else the list has to be shortened.
IGNORED: dict[str, str] = {}


def parse(version: str) -> tuple:
    """A version in its order: https://semver.org/#spec-item-11. Parts that are left out are zero."""
    core, _, pre = version.strip().split("+")[0].partition("-")
    numbers = [int(number) for number in core.split(".")]
    numbers += [0] * (3 - len(numbers))
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")] if pre else []
    return (*numbers, not pre, parts)


def caret(version: str) -> tuple:
    """The first version that `^version` does not take."""
    numbers = [int(number) for number in version.split("-")[0].split("+")[0].split(".")]
    at = next((index for index, number in enumerate(numbers) if number), len(numbers) - 1)
    above = [*numbers[:at], numbers[at] + 1]
    # Its pre-releases are above as well.
    return (*above, *[0] * (3 - len(above)), False, [])


def meets(version: str, requirement: str) -> bool:
    """Whether a version is in a range such as `>= 0.9.3, < 0.10.0` or `^0.3.24`."""
    found = parse(version)
    for comparator in requirement.split(","):
        match = re.fullmatch(r"\s*(>=|<=|>|<|=|\^|~)?\s*([0-9][0-9A-Za-z.+-]*)\s*", comparator)
        if not match:
            raise ValueError(f"the range `{requirement}` is not understood")
        sign, bound = match[1] or "^", match[2]
        at = parse(bound)
        held = {
            ">=": lambda: found >= at,
            "<=": lambda: found <= at,
            ">": lambda: found > at,
            "<": lambda: found < at,
            "=": lambda: found == at,
            "^": lambda: at <= found < caret(bound),
            "~": lambda: at <= found and found[:2] == at[:2],
        }[sign]()
        if not held:
            return False
    return True


def affects(advisory: dict, version: str) -> bool:
    ranges = [*advisory["patched"], *advisory["unaffected"]]
    return not any(meets(version, requirement) for requirement in ranges)


def read_clone(path: Path) -> dict:
    """https://github.com/RustSec/advisory-db: one Markdown file an advisory, which begins with TOML."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    names = [name for name in git("ls-tree", "-r", "--name-only", "HEAD", "crates/").splitlines() if name.endswith(".md")]
    wanted = "".join(f"HEAD:{name}\n" for name in names)
    command = ["git", "-C", str(path), "cat-file", "--batch"]
    answer = subprocess.run(command, input=wanted.encode(), check=True, capture_output=True).stdout
    advisories = []
    at = 0
    for _ in names:
        end = answer.index(b"\n", at)
        size = int(answer[at:end].split()[2])
        text = answer[end + 1 : end + 1 + size].decode()
        at = end + size + 2
        data = tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
        about, versions = data["advisory"], data.get("versions", {})
        # What is only of note (unmaintained) is no fault of a version; unsound code is.
        if about.get("withdrawn") or about.get("informational") not in (None, "unsound"):
            continue
        advisories.append(
            {
                "id": about["id"],
                "crate": about["package"],
                "patched": versions.get("patched", []),
                "unaffected": versions.get("unaffected", []),
            }
        )
    return {"date": git("log", "-1", "--format=%cs").strip(), "commit": git("rev-parse", "HEAD").strip(), "advisories": advisories}


def database() -> Path | None:
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    named = os.environ.get("TASKCTL_ADVISORIES")
    places = [Path(named)] if named else []
    places += [Path(__file__).with_name("advisories.json"), ROOT.parent / "shared/advisories.json", home / "advisory-db"]
    places += sorted((home / "advisory-dbs").glob("*"))
    return next((place for place in places if place.exists()), None)


def read(path: Path) -> dict:
    return read_clone(path) if path.is_dir() else json.loads(path.read_text())


def packages(lock: Path) -> list[tuple[str, str]]:
    locked = tomllib.loads(lock.read_text())["package"]
    # Those without a source are our own.
    return [(package["name"], package["version"]) for package in locked if "source" in package]


def check(lock: Path, found: dict, today: datetime.date, ignored: dict[str, str]) -> int:
    age = (today - datetime.date.fromisoformat(found["date"])).days
    by_crate: dict[str, list[dict]] = {}
    for advisory in found["advisories"]:
        by_crate.setdefault(advisory["crate"], []).append(advisory)
    locked = packages(lock)
    hits = [
        (advisory, name, version)
        for name, version in locked
        for advisory in by_crate.get(name, [])
        if affects(advisory, version)
    ]
    for advisory, name, version in hits:
        if advisory["id"] not in ignored:
            fixed = ", ".join(advisory["patched"]) or "no version"
            print(f"error: {name} {version} has {advisory['id']}; fixed in: {fixed}", file=sys.stderr)
            print(f"help: cargo update -p {name}@{version}; cargo tree -i {name}@{version}", file=sys.stderr)
    unused = set(ignored) - {advisory["id"] for advisory, _, _ in hits}
    for name in sorted(unused):
        print(f"error: {name} is ignored and concerns nothing any more; remove it from IGNORED", file=sys.stderr)
    if age > MAX_AGE_DAYS:
        print(f"warning: the advisories are {age} days old; newer ones are not known here", file=sys.stderr)
    open_hits = [hit for hit in hits if hit[0]["id"] not in ignored]
    print(f"{len(locked)} packages, {len(found['advisories'])} advisories of {found['date']} ({age} days old): {len(open_hits)} found")
    return 1 if open_hits or unused else 0


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("command", nargs="?", choices=["check", "snapshot"], default="check")
    arguments.add_argument("path", nargs="?", type=Path, help="check: a Cargo.lock; snapshot: a clone of the database")
    arguments.add_argument("--required", action="store_true", help="fail where there is no database")
    given = arguments.parse_args()
    if given.command == "snapshot":
        if not given.path:
            arguments.error("name a clone of the database: advisories.py snapshot DIR")
        json.dump(read_clone(given.path), sys.stdout, separators=(",", ":"), sort_keys=True)
        print()
        return 0
    path = database()
    if not path:
        said = "no advisories here (TASKCTL_ADVISORIES, cargo audit, cargo deny): Cargo.lock is not compared with any"
        print(f"{'error' if given.required else 'warning'}: {said}", file=sys.stderr)
        return 1 if given.required else 0
    return check(given.path or ROOT / "Cargo.lock", read(path), datetime.date.today(), IGNORED)


if __name__ == "__main__":
    sys.exit(main())
