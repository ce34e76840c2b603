"""The folder of a station to soak: recipe, thresholds that parts fall on both sides of, records, one small disk of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edge_inspect import __version__
from edge_inspect.cameras.simulated import open_simulated
from edge_inspect.config import PluginBlock, load_recipe
from edge_inspect.inspector import open_inspector
from edge_inspect.model_folder import open_model_folder
from edge_inspect.thresholds import Sample, Thresholds, read_thresholds, save_thresholds

JOBS = (1, 2)
"""Jobs of the station, the same recipe twice: a job change opens its engine anew."""
_DRAWN = 60
_GOOD_SHARE = 90
_SIDE_PX = 64
_BYTES_A_PART = 2_000
_SMALLEST_DISK = 160_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where everything of the station lies.

    Attributes:
        folder: holds `station.yaml`.
        data: the folder it writes to; a disk of its own where `is_disk`.
        port: of its Modbus server.
        thresholds: `thresholds.json` of both jobs.
        higher: thresholds to take over in the place of the first ones.
        is_disk: whether the data folder can be filled up without filling the machine's disk.
    """

    folder: Path
    data: Path
    port: int
    thresholds: tuple[Path, ...]
    higher: Thresholds
    is_disk: bool

    @property
    def database(self) -> Path:
        """The database."""
        return self.data / "inspections.sqlite"

    @property
    def log(self) -> Path:
        """Folder of the log."""
        return self.data / "log"


@contextmanager
def open_setting(
    folder: Path, *, engine: Path, recipe: Path | None, parts: int, rate: float, trigger: str, own_disk: bool
) -> Iterator[Setting]:
    """Write the station's folder; its disk is unmounted at the end.

    Args:
        folder: an empty folder.
        engine: model folder to inspect with where no recipe is named; its threshold is then laid between drawn parts.
        recipe: a taught part to inspect instead.
        parts: how many are expected: the disk must hold their records.
        rate: of a camera that sees its parts by itself [1/s]; 0 as fast as they are taken.
        trigger: `plc` or `camera`.
        own_disk: mount a small disk of memory for the records, where the user may.

    Raises:
        EdgeInspectError: the recipe or the engine cannot be opened.
    """
    data, port = folder / "data", _free_port()
    data.mkdir()
    for job in JOBS:
        _write_recipe(folder / f"job-{job}", engine=engine, recipe=recipe)
    is_disk = own_disk and _mounted(data, _SMALLEST_DISK + _BYTES_A_PART * parts)
    frame = load_recipe(folder / "job-1/recipe.yaml").frame
    size = (_SIDE_PX, _SIDE_PX) if frame is None else (frame.width, frame.height)
    (folder / "station.yaml").write_text(yaml.safe_dump(_station(port, trigger, _camera(size, trigger, parts, rate)), sort_keys=False))
    thresholds = tuple(folder / f"job-{job}/thresholds.json" for job in JOBS)
    try:
        yield Setting(folder=folder, data=data, port=port, thresholds=thresholds, higher=_higher(thresholds[0]), is_disk=is_disk)
    finally:
        if is_disk:
            subprocess.run(["umount", "-l", str(data)], check=False)  # noqa: S603, S607 - our own mount


def _camera(size: tuple[int, int], trigger: str, parts: int, rate: float) -> dict[str, Any]:
    drawn = {"kind": "simulated", "width": size[0], "height": size[1], "defect_rate": 0.1}
    if trigger == "plc":
        return drawn | {"isolated": {"hang_ms": 300}}
    return drawn | {"parts": parts} | ({"fps": rate} if rate else {})


def _station(port: int, trigger: str, camera: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "soak",
        "recipe": "job-1/recipe.yaml",
        "jobs": {job: f"job-{job}/recipe.yaml" for job in JOBS},
        "camera": camera,
        "runtime": "onnx",
        "trigger": trigger,
        "deadline_ms": 1000,
        "plc": {"kind": "modbus", "port": port},
        "outputs": [
            {"kind": "jsonl", "path": "data/log", "rotate_mb": 50, "keep": 1000},
            {"kind": "database", "path": "data/inspections.sqlite"},
            {"kind": "images", "path": "data/pictures", "quota_mb": 20, "reserve_mb": 8, "background": {"queue": 32}},
        ],
    }


def _write_recipe(folder: Path, *, engine: Path, recipe: Path | None) -> None:
    """A copy of the recipe with paths that hold here, and its thresholds."""
    folder.mkdir()
    loaded = None if recipe is None else load_recipe(recipe)
    written: dict[str, Any] = {"part": "drawn"} if recipe is None else yaml.safe_load(recipe.read_text(encoding="utf-8"))
    written["engine"] = str(engine.resolve() if loaded is None else loaded.engine)
    if loaded is not None and loaded.masks.png is not None:
        written["masks"]["png"] = str(loaded.masks.png)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(written), encoding="utf-8")
    if loaded is None:
        _lay_between_drawn_parts(path)
    else:
        shutil.copy(loaded.thresholds, folder)


def _lay_between_drawn_parts(recipe_file: Path) -> None:
    """Thresholds below a tenth of what drawn parts score, whatever the engine: nine are OK, one is NG."""
    recipe = load_recipe(recipe_file)
    made = Thresholds(
        image_threshold=0.0,
        pixel_threshold=0.0,
        engine_sha256=open_model_folder(recipe.engine).engine_sha256,
        recipe_sha256=recipe.sha256,
        rule="between drawn parts",
        promise="none: made to soak a station",
        sample=Sample(images=_DRAWN, fingerprint="", minimum=0, median=0, maximum=0),
        made_at=datetime.now(timezone.utc),
        software=f"edge-inspect {__version__}",
    )
    save_thresholds(recipe.thresholds, made)
    between = float(np.percentile(_drawn_scores(recipe_file), _GOOD_SHARE))
    save_thresholds(recipe.thresholds, made.model_copy(update={"image_threshold": between, "pixel_threshold": between}))


def _drawn_scores(recipe_file: Path) -> list[float]:
    opened = open_simulated(name="drawn", width=_SIDE_PX, height=_SIDE_PX, seed=1)
    with open_inspector(recipe_file, PluginBlock(kind="onnx"), base=recipe_file.parent) as inspector, opened as camera:
        frames = (camera.grab(1.0) for _ in range(_DRAWN))
        return [inspector.inspect(frame).score or 0.0 for frame in frames if frame is not None]


def _higher(path: Path) -> Thresholds:
    before = read_thresholds(path)
    more = 1e-3 + 0.02 * abs(before.image_threshold)
    return before.model_copy(
        update={"image_threshold": before.image_threshold + more, "pixel_threshold": before.pixel_threshold + more, "rule": "soak"}
    )


def _mounted(folder: Path, size: int) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return shutil.which("mount") is not None and subprocess.run(words, capture_output=True, check=False).returncode == 0  # noqa: S603


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
