#!/usr/bin/env python3
"""What advisories.py must find, with advisories and locks made for it."""

import contextlib
import datetime
import io
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import advisories as subject

TODAY = datetime.date(2026, 11, 27)
OLD = {
    "date": "2026-11-01",
    "advisories": [
        {"id": "RUSTSEC-0000-0001", "crate": "loose", "patched": [">= 1.4.2"], "unaffected": ["< 1.2.0"]},
        {"id": "RUSTSEC-0000-0002", "crate": "never", "patched": [], "unaffected": []},
        {"id": "RUSTSEC-0000-0003", "crate": "lines", "patched": ["^0.3.26", ">= 0.4.4"], "unaffected": []},
    ],
}


def lock(*packages: tuple[str, str]) -> Path:
    text = "version = 4\n" + "".join(
        f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = "registry+https://example.com/index"\n'
        for name, version in packages
    )
    with tempfile.NamedTemporaryFile("w", suffix=".lock", delete=False) as file:
        file.write(text)
    return Path(file.name)


class Advisories(unittest.TestCase):
    def check(self, *packages, found=OLD, ignored={}) -> tuple[int, str]:
        path, said = lock(*packages), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = subject.check(path, found, TODAY, ignored)
        path.unlink()
        return code, said.getvalue()

    def test_ranges(self):
        for version, requirement, expected in [
            ("1.4.2", ">= 1.4.2", True), ("1.4.1", ">= 1.4.2", False), ("1.10.0", ">= 1.9.0", True),
            ("1.0.0-alpha.1", ">= 1.0.0", False), ("1.0.0-alpha.2", ">= 1.0.0-alpha.1", True), ("1.0.0-rc.10", "> 1.0.0-rc.9", True),
            ("0.3.27", "^0.3.26", True), ("0.4.0", "^0.3.26", False), ("0.0.4", "^0.0.3", False), ("1.9.0", "^1.2", True),
            ("2.0.0", "^1.2", False), ("0.9.5", ">= 0.9.3, < 0.10.0", True), ("0.10.0", ">= 0.9.3, < 0.10.0", False),
            ("1.0.1", "<1.0.0-0", False), ("0.2.1", "0.2.1", True), ("1.2.3+build", "=1.2.3", True), ("1.2.9", "~1.2.3", True),
        ]:
            self.assertEqual(subject.meets(version, requirement), expected, f"{version} {requirement}")
        with self.assertRaises(ValueError):
            subject.meets("1.0.0", "latest")

    def test_a_version_with_an_advisory_fails_and_is_named(self):
        code, said = self.check(("loose", "1.4.1"), ("fine", "1.0.0"))
        self.assertEqual(code, 1)
        self.assertIn("error: loose 1.4.1 has RUSTSEC-0000-0001; fixed in: >= 1.4.2", said)
        self.assertIn("cargo update -p loose@1.4.1", said)
        self.assertEqual(self.check(("never", "9.9.9"))[0], 1)
        self.assertEqual(self.check(("lines", "0.4.3"))[0], 1)

    def test_other_versions_pass_and_the_age_is_said(self):
        code, said = self.check(("loose", "1.4.2"), ("loose", "1.1.9"), ("lines", "0.3.26"), ("lines", "0.4.4"))
        self.assertEqual((code, said), (0, "4 packages, 3 advisories of 2026-11-01 (26 days old): 0 found\n"))

    def test_an_old_snapshot_warns_and_passes(self):
        code, said = self.check(("loose", "1.4.2"), found={**OLD, "date": "2026-05-01"})
        self.assertEqual(code, 0)
        self.assertIn("warning: the advisories are 210 days old", said)

    def test_what_is_ignored_must_still_be_there(self):
        reason = {"RUSTSEC-0000-0001": "not called"}
        self.assertEqual(self.check(("loose", "1.4.1"), ignored=reason)[0], 0)
        self.assertEqual(self.check(("loose", "1.4.2"), ignored=reason)[0], 1)

    def test_a_clone_is_read_and_may_be_kept_as_a_snapshot(self):
        with tempfile.TemporaryDirectory() as folder:
            def git(*arguments):
                name = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
                subprocess.run(["git", "-C", folder, *name, *arguments], check=True, capture_output=True)

            git("init", "-q")
            for id, extra in [("RUSTSEC-0000-0001", ""), ("RUSTSEC-0000-0004", 'informational = "unmaintained"'),
                              ("RUSTSEC-0000-0005", 'withdrawn = "2026-01-01"'), ("RUSTSEC-0000-0006", 'informational = "unsound"')]:
                path = Path(folder, "crates/loose", f"{id}.md")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f'```toml\n[advisory]\nid = "{id}"\npackage = "loose"\ndate = "2026-01-01"\n{extra}\n'
                                '[versions]\npatched = [">= 2.0.0"]\n```\n\n# Ümlaut\n')
            git("add", "."), git("commit", "-qm", "all")
            found = subject.read(Path(folder))
            self.assertEqual([advisory["id"] for advisory in found["advisories"]], ["RUSTSEC-0000-0001", "RUSTSEC-0000-0006"])
            self.assertEqual(self.check(("loose", "1.0.0"), found=found)[0], 1)
            script = subject.__file__
            snapshot = Path(folder, "advisories.json")
            snapshot.write_bytes(subprocess.run([sys.executable, script, "snapshot", folder], check=True, capture_output=True).stdout)
            bad = lock(("loose", "1.0.0"))
            run = subprocess.run([sys.executable, script, "check", bad], env={**os.environ, "TASKCTL_ADVISORIES": str(snapshot)}, capture_output=True, text=True)
            bad.unlink()
            self.assertEqual(run.returncode, 1, run.stderr)
            self.assertIn("RUSTSEC-0000-0006", run.stderr)


if __name__ == "__main__":
    unittest.main()
