"""The check of runtimes finds each broken promise, and says which."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_inspect.datatypes import Scores
from edge_inspect.errors import EngineError
from edge_inspect.geometry import warp
from edge_inspect.model_folder import open_model_folder
from edge_inspect.testing import check_runtime

TINY = open_model_folder(Path(__file__).parents[1] / "golden" / "models" / "tiny")
WEIGHTS = np.array([0.5, 0.375, 0.125], np.float32)


class Plain:
    """An engine as a third party would write it: numpy, no library."""

    def infer(self, pixels, placement):
        if (placement.height, placement.width, placement.channels) != (48, 64, 3):
            raise EngineError("another network's image")
        deviation = np.abs(warp(pixels, placement).astype(np.float32) - 128) @ WEIGHTS
        cells = deviation.reshape(12, 4, 16, 4).mean(axis=(1, 3), dtype=np.float32)
        return Scores(map=cells, image=float(cells.max()))


def opened(engine):
    """Opens the same engine each time."""

    @contextmanager
    def open_it():
        yield engine

    return open_it


def test_a_third_partys_engine_passes():
    check_runtime(opened(Plain()), TINY)


class NoDoor:
    pass


class WrongShape(Plain):
    def infer(self, pixels, placement):
        scores = super().infer(pixels, placement)
        return replace(scores, map=scores.map[None])


class WrongType(Plain):
    def infer(self, pixels, placement):
        scores = super().infer(pixels, placement)
        return replace(scores, map=scores.map.astype(np.float64))


class ArrayScore(Plain):
    def infer(self, pixels, placement):
        scores = super().infer(pixels, placement)
        return replace(scores, image=np.float32(scores.image))


class SharedMap(Plain):
    buffer = np.zeros((12, 16), np.float32)

    def infer(self, pixels, placement):
        scores = super().infer(pixels, placement)
        self.buffer[:] = scores.map
        return replace(scores, map=self.buffer)


class Drifting(Plain):
    count = 0

    def infer(self, pixels, placement):
        scores = super().infer(pixels, placement)
        self.count += 1
        return replace(scores, map=scores.map + np.float32(self.count / 1000))


class AnyPlacement(Plain):
    def infer(self, pixels, placement):
        return super().infer(pixels, replace(placement, width=64, height=48, channels=3))


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (NoDoor, "has no infer"),
        (WrongShape, r"the map must be \(12, 16\), got \(1, 12, 16\)"),
        (WrongType, "the map must be float32, got float64"),
        (ArrayScore, "the image score must be a float or None, got .*float32"),
        (SharedMap, "the next inference changed scores that were given out; copy them"),
        (Drifting, "the same frame did not give the same bits twice"),
        (AnyPlacement, "a placement for another network's image must raise EngineError"),
    ],
)
def test_a_broken_promise_is_named(broken, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_runtime(opened(broken()), TINY)


def test_an_engine_that_is_another_one_after_opening_again_is_found():
    engines = [Plain(), Plain()]
    engines[1].infer = lambda pixels, placement: replace(Plain().infer(pixels, placement), image=0.5)

    @contextmanager
    def open_next():
        yield engines.pop(0)

    with pytest.raises(AssertionError, match="gives other scores after it was opened again"):
        check_runtime(open_next, TINY)


def test_an_engine_that_does_not_agree_is_not_accepted():
    def scaled(pixels, placement):
        scores = Plain().infer(pixels, placement)
        return replace(scores, map=scores.map * np.float32(1.1))

    engine = Plain()
    engine.infer = scaled
    with pytest.raises(EngineError, match="no agreement, no service"):
        check_runtime(opened(engine), TINY)
