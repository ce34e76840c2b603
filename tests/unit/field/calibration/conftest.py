"""Pictures of the tiny model's part: a grey of 128 scores 0, 128 + n scores n where a square of it lies."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime, timedelta, timezone

import cv2
import numpy as np
import pytest

from edge_inspect.cli.main import main
from edge_inspect.datatypes import Evidence, Frame, Inspection, Latency, Placement, Verdict
from edge_inspect.outputs.database import open_database
from edge_inspect.outputs.images import open_images
from tests.conftest import write_part


def picture(score, number):
    """A part (48, 64, 3) whose score is known; the number makes its frame one of its own."""
    pixels = np.full((48, 64, 3), 128, np.uint8)
    pixels[16:24, 16:24] = 128 + score
    pixels[0, 0] = 127
    pixels[40 + number // 56 % 8, number % 56] = 127  # so faint that no cell's score rises over the square's
    return pixels


def write_pictures(folder, scores):
    folder.mkdir(parents=True, exist_ok=True)
    for number, score in enumerate(scores):
        cv2.imwrite(str(folder / f"{number:03}.png"), picture(score, number))
    return folder


@pytest.fixture
def station(tmp_path, monkeypatch):
    """Folder of a station that keeps everything; 60 good pictures with scores 2 to 12 and ten defective ones from 30 on beside it."""
    monkeypatch.chdir(tmp_path)
    write_part(tmp_path / "cell")
    write_pictures(tmp_path / "good", [2 + number % 11 for number in range(60)])
    write_pictures(tmp_path / "bad" / "dent", [30 + number for number in range(10)])
    (tmp_path / "station.yaml").write_text(
        "name: cell-3\nrecipe: cell/recipe.yaml\ncamera: {kind: folder, path: good, pace: trigger}\nruntime: onnx\ndeadline_ms: 2000\n"
        "outputs:\n  - {kind: database, path: data/inspections.sqlite}\n  - {kind: images, path: data/pictures, keep: [OK, NG]}\n"
    )
    return tmp_path


@pytest.fixture
def said(capsys):
    """Run `edge-inspect calibrate` with these words and --json; (exit code, what it said, what it said on standard error)."""

    def run(*words):
        code = main(["--log", "warning", "calibrate", *map(str, words), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return run


def store(folder, scores, *, keep_frames=True, calibration_id, engine_sha256, age_s=60):
    """Record inspections as the station would; those above 20 are NG."""
    with (
        open_database(station="cell-3", path=folder / "data" / "inspections.sqlite") as database,
        open_images(station="cell-3", path=folder / "data" / "pictures", keep=["OK", "NG"], annotated=False, reserve_mb=0) as images,
    ):
        for sequence, score in enumerate(scores, start=1):
            moment = datetime.now(timezone.utc) - timedelta(seconds=age_s)
            frame = Frame(pixels=picture(score, sequence), sequence=sequence, exposed_ns=0, taken_at=moment, camera="folder")
            affine = np.array([[1.0, 0, 0], [0, 1.0, 0]])
            inspection = Inspection(
                sequence=sequence,
                acquisition=0,
                part_id="",
                taken_at=moment,
                verdict=Verdict.NG if score > 20 else Verdict.OK,
                reason="said by a test",
                score=float(score),
                threshold=20.0,
                regions=(),
                recipe="cell",
                engine_sha256=engine_sha256,
                calibration_id=calibration_id,
                latency=Latency(),
                evidence=Evidence(
                    frame=frame, score_map=np.zeros((8, 8), np.float32), placement=Placement(affine=affine, width=64, height=48, channels=3)
                ),
            )
            database.emit(inspection)
            if keep_frames:
                images.emit(inspection)


def lines_in(path):
    """How many inspections stand in a database, read as another program would."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM inspections").fetchone()[0]
    finally:
        connection.close()
