"""The built-in outputs keep the promises that third parties are held to."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import partial

from edge_inspect.outputs.background import run_in_background
from edge_inspect.plugins import load_factory
from edge_inspect.testing import check_output, sample_inspections


def logged(path):
    lines = (path / "inspections.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["sequence"] for line in lines]


def tabled(path):
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT sequence FROM inspections")]


def test_the_log_keeps_its_promises(tmp_path):
    check_output(partial(load_factory("outputs", "jsonl"), station="line 1", path=tmp_path), read_back=lambda: logged(tmp_path))


def test_the_database_keeps_its_promises(tmp_path):
    path = tmp_path / "inspections.db"
    check_output(partial(load_factory("outputs", "database"), station="line 1", path=path), read_back=lambda: tabled(path))


def test_the_archive_keeps_its_promises_and_one_picture_of_each_kind_for_each_part_with_a_frame(tmp_path):
    options = {"station": "line 1", "path": tmp_path, "keep": ("OK", "NG", "FAULT"), "reserve_mb": 0}
    check_output(partial(load_factory("outputs", "images"), **options))
    pictures = [path for path in tmp_path.rglob("*") if path.suffix in {".png", ".jpg", ".jpeg", ".webp"}]
    assert len(pictures) == 2 * sum(sample.evidence is not None for sample in sample_inspections())


def test_an_output_in_the_background_keeps_the_promises_of_the_one_in_front(tmp_path):
    def opened():
        log = load_factory("outputs", "jsonl")(station="line 1", path=tmp_path)
        return run_in_background(log, queue=32, name="log")

    check_output(opened, read_back=lambda: logged(tmp_path))
