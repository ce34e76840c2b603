"""Lays out a whole line in one folder, starts its station as the operator would, and plays its PLC."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from edge_inspect.demo.parts import Part
from edge_inspect.errors import ConfigError, EdgeInspectError
from edge_inspect.field.fake_plc import Answer, FakePlc
from edge_inspect.service.live import STATUS_FILE, read_status

MARK = ".edge-inspect-demo"
READY_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0
OURS = ("calibration", "engines", "data", "parts", "station.yaml", "station.log")


def lay_out(folder: Path, name: str, parts: Sequence[Part], *, port: int, deadline_ms: float) -> Path:
    """Write recipe, station file and the row of parts that its camera will see; the station file's path.

    Raises:
        ConfigError: the folder holds something that is not an earlier demo.
    """
    _clear(folder)
    _put_on_the_belt(folder / "parts", parts)
    recipe = folder / "calibration" / name / "recipe.yaml"
    _write(recipe, {"part": name, "engine": f"../../engines/{name}"})
    station = folder / "station.yaml"
    _write(
        station,
        {
            "name": "demo",
            "recipe": f"calibration/{name}/recipe.yaml",
            "camera": {"kind": "folder", "path": "parts", "pace": "trigger"},
            "trigger": "plc",
            "deadline_ms": deadline_ms,
            "plc": {"kind": "modbus", "host": "127.0.0.1", "port": port},
            "outputs": [
                {"kind": "jsonl", "path": "data/log"},
                {"kind": "database", "path": "data/inspections.sqlite"},
                {"kind": "images", "path": "data/pictures", "keep": ["OK", "NG", "FAULT"], "quota_mb": 500, "background": {"queue": 64}},
            ],
        },
    )
    return station


@contextmanager
def running_station(station_file: Path) -> Iterator[None]:
    """Run `edge-inspect run` in a process of its own; Ready when this gives way, stopped by SIGTERM at the end.

    Raises:
        EdgeInspectError: it did not become ready, with what it said.
    """
    log_file = station_file.parent / "station.log"
    with log_file.open("w", encoding="utf-8") as log:
        command = [sys.executable, "-m", "edge_inspect", "run", "--station", str(station_file)]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - our own command
    try:
        _wait_until_ready(process, station_file.parent / "data" / STATUS_FILE, log_file)
        yield
    finally:
        process.terminate()
        process.wait(STOP_WITHIN_S)


def play_plc(parts: Sequence[Part], *, port: int, interval_s: float, tell: Callable[[Part, Answer], None]) -> list[Answer]:
    """Trigger every part at line pace and hand each answer to `tell`.

    Raises:
        PlcError: the station does not answer the handshake.
    """
    answers = []
    with FakePlc(host="127.0.0.1", port=port) as plc:
        for part in parts:
            started = time.monotonic()
            answers.append(plc.inspect_one())
            tell(part, answers[-1])
            time.sleep(max(0.0, started + interval_s - time.monotonic()))
    return answers


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The station's own records, in order."""
    lines = [line for path in sorted((folder / "data" / "log").glob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted(map(json.loads, lines), key=lambda record: int(record["sequence"]))


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _clear(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise ConfigError(f"{folder}: holds something that is not an earlier demo; give --out an empty or new folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    for name in OURS:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _put_on_the_belt(folder: Path, parts: Sequence[Part]) -> None:
    folder.mkdir()
    for number, part in enumerate(parts, start=1):
        name = f"{number:05d}_{part.label}_{part.picture.stem}{part.picture.suffix}".replace(" ", "_")
        (folder / name).symlink_to(part.picture.resolve())


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _wait_until_ready(process: subprocess.Popen[bytes], status_file: Path, log_file: Path) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        if status_file.exists() and read_status(status_file)["state"] == "ready":
            return
        time.sleep(0.05)
    said = log_file.read_text(encoding="utf-8").strip().splitlines()[-3:]
    raise EdgeInspectError(f"the station did not become ready; it said: {' | '.join(said)}")
