"""A soak's figures in docs/results/soak.json, and the page that is made from them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_inspect.durable import replace_file
from edge_inspect.errors import OutputError
from edge_inspect.field.device import device_facts
from edge_inspect.field.soak.page import filled

JSON, PAGE = "soak.json", "soak.md"
_CODE = ("edge_inspect", "tools", "systemd", "tests")
"""What a run depends on; the page that it rewrites is not among it."""
_FACTS = ("cpu", "usable_cores", "memory", "kernel", "python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Under which a run began: what was called, where, of which tree, and how busy the machine was."""

    command: str
    device: dict[str, object]
    revision: str
    on: str
    load_before: float

    def with_load_after(self) -> dict[str, object]:
        """As it stands in the JSON; called when the run is over."""
        return {
            "command": self.command,
            "device": self.device,
            "revision": self.revision,
            "on": self.on,
            "load_before": round(self.load_before, 2),
            "load_after": round(os.getloadavg()[0], 2),
        }


def look_around(command: str, root: Path) -> Circumstances:
    """What is to be known before a run.

    Args:
        command: as it was called.
        root: of the checkout.
    """
    facts = device_facts()
    return Circumstances(
        command=command,
        device={name: facts[name] for name in _FACTS},
        revision=_revision(root),
        on=datetime.now(timezone.utc).date().isoformat(),
        load_before=os.getloadavg()[0],
    )


def record_run(results: Path, name: str, run: Mapping[str, object]) -> None:
    """Write a run under its name, in the place of the one before, and the page anew.

    Raises:
        OutputError: a file cannot be read or written, or the JSON is none.
    """
    recorded = load_recorded(results)
    recorded["runs"] = {**recorded.get("runs", {}), name: dict(run)}
    _write(results, recorded)


def record_stops(results: Path, stops: Mapping[str, object]) -> None:
    """Write the times of SIGTERM, in the place of those before, and the page anew.

    Raises:
        OutputError: a file cannot be read or written, or the JSON is none.
    """
    _write(results, {**load_recorded(results), "stops": dict(stops)})


def load_recorded(results: Path) -> dict[str, Any]:
    """What was recorded so far; nothing where there is no file.

    Raises:
        OutputError: the file is no JSON.
    """
    path = results / JSON
    try:
        recorded: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from error
    return recorded


def told_stops(lines: str) -> dict[str, list[float]]:
    """How long each state took to end [s], from what tests/integration/test_sigterm.py told: a JSON object a line."""
    found: dict[str, list[float]] = {}
    for told in map(json.loads, lines.splitlines()):
        found.setdefault(told["state"], []).append(told["stop_s"])
    return found


def _write(results: Path, recorded: Mapping[str, Any]) -> None:
    page = results / PAGE
    try:
        before = page.read_text("utf-8") if page.exists() else ""
        replace_file(results / JSON, (json.dumps(recorded, indent=1) + "\n").encode())
        replace_file(page, filled(before, recorded).encode())
    except OSError as error:
        raise OutputError(f"{results}: cannot be written: {error.strerror}") from error


def _revision(root: Path) -> str:
    """Short hash of the tree, and whether code was changed since."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
        return done.stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--", *_CODE) else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed
