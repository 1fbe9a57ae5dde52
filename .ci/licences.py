#!/usr/bin/env python3
"""Checks every dependency's licence against the list in deny.toml, for machines without cargo-deny."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def allowed(expression: str, allow: set[str]) -> bool:
    """Whether an SPDX expression can be met with allowed licences. `/` is the old spelling of OR."""
    tokens = re.findall(r"\(|\)|[A-Za-z0-9.+-]+", expression.replace("/", " OR "))

    def disjunction(at: int) -> tuple[bool, int]:
        value, at = conjunction(at)
        while at < len(tokens) and tokens[at] == "OR":
            other, at = conjunction(at + 1)
            value = value or other
        return value, at

    def conjunction(at: int) -> tuple[bool, int]:
        value, at = licence(at)
        while at < len(tokens) and tokens[at] == "AND":
            other, at = licence(at + 1)
            value = value and other
        return value, at

    def licence(at: int) -> tuple[bool, int]:
        if tokens[at] == "(":
            value, at = disjunction(at + 1)
            return value, at + 1
        name, at = tokens[at], at + 1
        if at < len(tokens) and tokens[at] == "WITH":
            name, at = f"{name} WITH {tokens[at + 1]}", at + 2
        return name in allow, at

    return disjunction(0)[0]


def main() -> int:
    rules = tomllib.loads((ROOT / "deny.toml").read_text())["licenses"]
    allow = set(rules["allow"])
    exceptions = {rule["crate"]: set(rule["allow"]) for rule in rules.get("exceptions", [])}
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    refused = [
        f"{package['name']} {package['version']}: {package['license'] or 'no licence given'}"
        for package in metadata["packages"]
        if not (package["license"] and allowed(package["license"], allow | exceptions.get(package["name"], set())))
    ]
    for line in refused:
        print(f"refused: {line}", file=sys.stderr)
    print(f"{len(metadata['packages']) - len(refused)} of {len(metadata['packages'])} packages have an allowed licence")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
