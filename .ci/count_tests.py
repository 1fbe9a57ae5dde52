#!/usr/bin/env python3
"""Counts tests, assertions and snapshots of two commits, per file, so that a restructuring can show that it lost none.

    .ci/count_tests.py BEFORE [AFTER]      AFTER: a commit; without it, the working tree

Prints the files whose counts differ, the tests that are gone by their names (renamed ones among them), and the totals. Exit
code 1 when a total is lower than before.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

TEST = re.compile(r"#\[(?:tokio::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)")
PYTHON_TEST = re.compile(r"^\s+def (test_\w+)", re.MULTILINE)
ASSERTION = re.compile(r"\b(?:debug_)?(?:prop_)?assert(?:_eq|_ne|_matches|_snapshot|_debug_snapshot|_json_snapshot)?!|\.expect\(\d|self\.assert\w+\(|\.refused\(|check_error\(")
SNAPSHOT = re.compile(r"assert_(?:debug_|json_)?snapshot!")


def git(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def sources(commit):
    """Paths and texts of the files that hold tests."""
    if commit is None:
        names = git("ls-files", "--cached", "--others", "--exclude-standard").splitlines()
        read = lambda name: Path(name).read_text() if Path(name).exists() else ""
    else:
        names = git("ls-tree", "-r", "--name-only", commit).splitlines()
        read = lambda name: git("show", f"{commit}:{name}")
    for name in names:
        if name.endswith((".rs", "_test.py")):
            yield name, read(name)
        elif name.endswith(".snap"):
            yield name, ""


def count(commit):
    """Per file: tests, assertions, snapshots; and how often each test name stands."""
    files, names = {}, Counter()
    for path, text in sources(commit):
        found = TEST.findall(text) + PYTHON_TEST.findall(text)
        names.update(found)
        counts = (len(found), len(ASSERTION.findall(text)), len(SNAPSHOT.findall(text)) + path.endswith(".snap"))
        if any(counts):
            files[path] = counts
    return files, names


def main():
    before, names_before = count(sys.argv[1])
    after, names_after = count(sys.argv[2] if len(sys.argv) > 2 else None)
    line = "{:72} {:>5} {:>5}  {:>6} {:>6}  {:>5} {:>5}"
    print(line.format("file", "tests", "", "assert", "", "snaps", ""))
    for path in sorted(before.keys() | after.keys()):
        was, now = before.get(path, (0, 0, 0)), after.get(path, (0, 0, 0))
        if was != now:
            print(line.format(path, *(number for pair in zip(was, now) for number in pair)))
    for name in sorted((names_before - names_after).elements()):
        print("gone or renamed:", name)
    totals = [[sum(counts[column] for counts in files.values()) for files in (before, after)] for column in range(3)]
    print(line.format("all", *(number for pair in totals for number in pair)))
    sys.exit(any(now < was for was, now in totals))


main()
