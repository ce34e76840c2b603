"""Frames for whoever calibrates beside the line: only while asked, only of the recipe asked for, and never more than fit."""

from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_inspect.datatypes import Verdict
from edge_inspect.errors import OutputError
from edge_inspect.service import sampling
from edge_inspect.service.asked import Request
from edge_inspect.service.sampling import ASKED_FILE, SAMPLE_FOLDER, UNTAKEN, Sampler
from edge_inspect.testing.samples import sample_inspections


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(sampling, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(sampling, "SPACING_S", 0.0)


@pytest.fixture
def inspection():
    """One with a frame."""
    found = next(one for one in sample_inspections() if one.evidence is not None)
    return replace(found, verdict=Verdict.OK)


def until(is_so):
    """Wait for a condition of the thread."""
    ends = time.monotonic() + 30
    while not is_so() and time.monotonic() < ends:
        time.sleep(0.01)
    assert is_so()


def files(data):
    return sorted((data / SAMPLE_FOLDER).glob("*.png"))


def looked(sampler):
    time.sleep(0.02)
    sampler.look()


def test_frames_are_given_as_they_are_while_somebody_asks_and_the_folder_goes_with_the_request(tmp_path, inspection):
    sampler = Sampler(tmp_path)
    looked(sampler)
    sampler.note(inspection)
    request = Request(tmp_path / ASKED_FILE, {"recipe": inspection.recipe})
    looked(sampler)
    sampler.note(replace(inspection, sequence=7))
    until(lambda: files(tmp_path))
    [given] = files(tmp_path)
    assert given.name == "0000000007.png"
    pixels = inspection.evidence.frame.pixels
    shown = cv2.imread(str(given), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(shown if shown.ndim == 2 else cv2.cvtColor(shown, cv2.COLOR_BGR2RGB), pixels.squeeze())
    request.withdraw()
    looked(sampler)
    until(lambda: not (tmp_path / SAMPLE_FOLDER).exists())
    sampler.note(inspection)
    assert files(tmp_path) == []


def test_parts_of_another_recipe_faults_and_parts_without_a_frame_are_not_given(tmp_path, inspection):
    Request(tmp_path / ASKED_FILE, {"recipe": inspection.recipe})
    sampler = Sampler(tmp_path)
    looked(sampler)
    for one in (replace(inspection, recipe="another"), replace(inspection, verdict=Verdict.FAULT), replace(inspection, evidence=None)):
        sampler.note(one)
    sampler.note(replace(inspection, sequence=99, verdict=Verdict.NG))
    until(lambda: files(tmp_path))
    assert [path.name for path in files(tmp_path)] == ["0000000099.png"]


def test_no_more_are_written_than_may_lie_there_and_a_full_queue_costs_the_line_nothing(tmp_path, inspection):
    Request(tmp_path / ASKED_FILE, {"recipe": inspection.recipe})
    sampler = Sampler(tmp_path)
    looked(sampler)
    sequence = 0

    def shown_and_full():
        nonlocal sequence
        sequence += 1
        sampler.note(replace(inspection, sequence=sequence))
        return len(files(tmp_path)) >= UNTAKEN

    until(shown_and_full)
    for _ in range(50):
        shown_and_full()
        time.sleep(0.002)
    assert len(files(tmp_path)) <= UNTAKEN


def test_a_frame_that_cannot_be_written_is_logged_and_the_next_one_tried(tmp_path, inspection, monkeypatch, caplog):
    def full(path, pixels):
        raise OutputError("the disk is full")

    Request(tmp_path / ASKED_FILE, {"recipe": inspection.recipe})
    sampler = Sampler(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(sampling, "write_raw_picture", full)
        looked(sampler)
        sampler.note(inspection)
        until(lambda: "not given: the disk is full" in caplog.text)
    sampler.note(replace(inspection, sequence=5))
    until(lambda: files(tmp_path))


def test_frames_are_spaced_so_that_a_fast_line_keeps_its_cores(tmp_path, inspection, monkeypatch):
    monkeypatch.setattr(sampling, "SPACING_S", 1000.0)
    Request(tmp_path / ASKED_FILE, {"recipe": inspection.recipe})
    sampler = Sampler(tmp_path)
    sampler._given_s = -2000.0
    looked(sampler)
    for sequence in range(1, 20):
        sampler.note(replace(inspection, sequence=sequence))
    until(lambda: files(tmp_path))
    time.sleep(0.1)
    assert len(files(tmp_path)) == 1
