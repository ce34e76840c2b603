"""What `--apply` and `--rollback` change, and what a refusal, a full disk or kill -9 in the middle leaves: a station that starts."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_inspect.acceptance import ACCEPTANCE_FILE
from edge_inspect.cli.main import main
from edge_inspect.config import load_recipe
from edge_inspect.datatypes import Placement
from edge_inspect.errors import ConfigError
from edge_inspect.guard import open_guard
from edge_inspect.testing.samples import sample_inspections
from edge_inspect.thresholds import read_thresholds
from edge_inspect.thresholds.frames import frames_path, load_frames
from edge_inspect.thresholds.history import history_path

from .conftest import write_pictures

PROMISED = ("--false-rejects", "0.05")
FROM_GOOD = ("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
AGAIN = ("--good", "brighter", *PROMISED, "--apply", "--reason", "brighter lamp")


class Killed(BaseException):
    """As after kill -9: nothing in the program runs on."""


@pytest.fixture
def required(station, said):
    """A station that demands acceptance, calibrated once, with brighter parts for the next time; its `thresholds.json`."""
    file = station / "station.yaml"
    file.write_text(file.read_text() + "acceptance: required\n")
    write_pictures(station / "brighter", [20 + number % 11 for number in range(60)])
    assert said(*FROM_GOOD)[0] == 0
    return station / "cell" / "thresholds.json"


@pytest.fixture
def starts(capsys):
    """Whether the station would start."""

    def check():
        code = main(["check"])
        capsys.readouterr()
        return code == 0

    return check


def files_of(thresholds):
    return {file.name: file.read_bytes() for file in thresholds.parent.iterdir() if file.is_file()}


def alarms(recipe, frames):
    """What the guard of what stands there says of the parts of a calibration, one after the other."""
    guard, sample = open_guard(recipe, look_every_s=0), sample_inspections()[0]
    return {
        guard.note(replace(sample, score=score, evidence=seen(image))) for score, image in zip(frames.scores, frames.images, strict=True)
    }


def seen(image):
    evidence = sample_inspections()[0].evidence
    height, width, channels = image.shape
    placement = Placement(affine=np.eye(2, 3), width=width, height=height, channels=channels)
    return replace(evidence, frame=replace(evidence.frame, pixels=image), placement=placement)


def test_an_edited_history_refuses_every_change_and_changes_no_file(required, said, starts):
    history = history_path(required)
    history.write_text(history.read_text().replace("new lamp", "old lamp"))
    before = files_of(required)
    assert {required.name, history.name, ACCEPTANCE_FILE, frames_path(required).name} <= before.keys()
    for words in (AGAIN, ("--rollback", "1", "--reason", "back")):
        code, _, err = said(*words)
        assert (code, files_of(required)) == (78, before)
        assert "the history is not as it was written" in err
    assert starts()
    history.rename(history.with_name("edited.jsonl"))  # what the message and docs/calibration.md say to do
    assert said(*AGAIN)[0] == 0
    assert starts()


def test_a_history_that_is_edited_while_the_engine_is_asked_changes_no_file(required, said, monkeypatch):
    from edge_inspect.scoring import Scorer

    gate, before = Scorer.gate, {}

    def slow(self, thresholds, *, kind):
        found = gate(self, thresholds, kind=kind)
        history_path(required).write_text(history_path(required).read_text().replace("new lamp", "old lamp"))
        before.update(files_of(required))
        return found

    monkeypatch.setattr(Scorer, "gate", slow)
    assert said(*AGAIN)[0] == 78
    assert files_of(required) == before


@pytest.mark.parametrize("failing", [1, 2, 3, 4, 5, 6, 7, 8])
def test_a_disk_that_is_full_at_any_step_changes_no_file(required, said, monkeypatch, failing):
    before, steps = files_of(required), iter(range(1, 100))

    def full(descriptor):
        if next(steps) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)  # frames, acceptance, history, thresholds; then their names, one after the other
    code, _, err = said(*AGAIN)
    assert (code, files_of(required)) == (78, before)
    assert "No space left on device" in err


@pytest.mark.parametrize("words", [AGAIN, ("--rollback", "1", "--reason", "back")])
def test_a_station_that_demands_acceptance_starts_wherever_a_change_was_killed(required, said, starts, monkeypatch, words):
    rename, old = Path.replace, read_thresholds(required).calibration_id
    seen = []
    for files in range(5):
        left = iter(range(files))

        def killed(self, target, left=left):
            if next(left, None) is None:
                raise Killed
            return rename(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            try:
                said(*words)
            except Killed:
                pass
            else:
                break
        assert starts()
        seen.append(read_thresholds(required).calibration_id)
    assert set(seen) == {old}
    assert len(seen) == (4 if words is AGAIN else 3)  # frames, acceptance, history, thresholds
    assert starts()
    assert read_thresholds(required).calibration_id != old


def test_a_rollback_brings_its_own_frames_back_to_guard_and_transfer(required, said):
    recipe, first = load_recipe(required.parent / "recipe.yaml"), read_thresholds(required).calibration_id
    good = load_frames(required)
    assert said(*AGAIN)[0] == 0
    assert load_frames(required).sample.min() > good.sample.max()
    assert any("scores of accepted parts" in said for said in alarms(recipe, good))
    assert said("--rollback", "2", "--reason", "the old lamp is back")[0] == 0
    assert read_thresholds(required).calibration_id == first
    assert load_frames(required).sample.tolist() == good.sample.tolist()
    assert alarms(recipe, good) == {""}
    code, found, _ = said("--transfer")
    assert (code, found["frames"], found["image_share"]) == (0, 60, 0.0)


def test_thresholds_whose_frames_were_never_kept_are_not_held_against_those_of_another_calibration(required, said, starts):
    recipe = load_recipe(required.parent / "recipe.yaml")
    assert said("--rollback", "1", "--reason", "as it was taught")[0] == 0
    with pytest.raises(ConfigError, match="only frames of another calibration are; calibrate with --apply once more, or roll back"):
        open_guard(recipe)
    code, _, err = said("--transfer")
    assert code == 78
    assert "only frames of another calibration are" in err
    assert starts()


@pytest.mark.parametrize("reason", [(), ("--reason", " ")])
def test_a_rollback_without_a_reason_is_refused_and_changes_nothing(required, said, reason):
    before = files_of(required)
    code, _, err = said("--rollback", "1", *reason)
    assert (code, files_of(required)) == (78, before)
    assert "why are the thresholds changed? Give --reason TEXT" in err
