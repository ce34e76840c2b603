"""Growth per hour: found where it is, not where it is not, and its interval says how sure that is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_inspect.field.soak.slopes import slope_per_hour

SECONDS = np.arange(1200.0)


def noise(seed=1, size=1.0, likeness=0.0):
    """Noise that resembles its neighbour by `likeness`."""
    chance = np.random.default_rng(seed)
    steps = chance.normal(0, size, len(SECONDS))
    found = np.empty_like(steps)
    found[0] = steps[0]
    for place in range(1, len(steps)):
        found[place] = likeness * found[place - 1] + steps[place]
    return found


@pytest.mark.parametrize("per_hour", [-30.0, 0.0, 1.0, 50.0])
def test_a_slope_under_noise_lies_in_its_interval(per_hour):
    found = slope_per_hour(SECONDS, 100 + SECONDS * per_hour / 3600 + noise(size=0.1))
    assert found.lowest <= per_hour <= found.highest
    assert found.per_hour == pytest.approx(per_hour, abs=0.2)


def test_a_few_wild_samples_move_nothing():
    values = 100 + SECONDS / 3600
    values[::50] = 4000
    assert slope_per_hour(SECONDS, values).per_hour == pytest.approx(1.0, abs=0.05)


def test_samples_that_resemble_their_neighbours_widen_the_interval():
    alike, apart = (slope_per_hour(SECONDS[:120], 100 + noise(likeness=likeness)[:120]) for likeness in (0.9, 0.0))
    assert alike.highest - alike.lowest > 2 * (apart.highest - apart.lowest)


def test_the_interval_holds_a_slope_of_nothing_about_as_often_as_it_says():
    held = [slope_per_hour(SECONDS, 100 + noise(seed=seed, likeness=0.8)) for seed in range(60)]
    assert sum(found.lowest <= 0 <= found.highest for found in held) >= 52


def test_a_process_that_was_gone_leaves_gaps_and_too_few_samples_tell_nothing():
    values = 100 + SECONDS / 36
    values[100:300] = np.nan
    assert slope_per_hour(SECONDS, values).per_hour == pytest.approx(100)
    assert math.isnan(slope_per_hour(SECONDS[:5], values[:5]).per_hour)
