"""`tools/audit-dependencies`: a known hole fails, a service that cannot be reached is told and does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[3] / "tools" / "audit-dependencies"
HOLE = {"id": "PYSEC-2026-1", "fix_versions": ["2.0"]}


def known(name, *holes):
    return {"name": name, "version": "1.0", "vulns": list(holes)}


def unknown(name):
    return {"name": name, "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("dependencies", "code", "said"),
    [
        ([known("a"), unknown("b")], 0, "1 dependencies audited, 0 known holes; not known there: b"),
        ([known("a", HOLE)], 1, "audit: a 1.0: PYSEC-2026-1, mended in 2.0"),
        ([known("a", {**HOLE, "fix_versions": []})], 1, "mended in no version yet"),
        ([unknown("a")], 0, "was not audited; run it where there is a network"),
        (None, 0, "was not audited"),
    ],
)
def test_what_pip_audit_says_becomes_an_exit_code_and_a_sentence(tmp_path, dependencies, code, said):
    program = tmp_path / "pip-audit"
    answer = "no network" if dependencies is None else json.dumps({"dependencies": dependencies, "fixes": []})
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    program.chmod(0o755)
    done = subprocess.run([sys.executable, str(TOOL), str(program), "constraints.txt"], capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stdout) == (code, True), done.stdout + done.stderr


def test_without_pip_audit_nothing_was_audited_and_that_is_said(tmp_path):
    done = subprocess.run([sys.executable, str(TOOL), str(tmp_path / "none"), "c.txt"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "c.txt was not audited" in done.stdout
