import numpy as np
import pytest

from edge_inspect.workshop.evaluation.shortcuts import LOOKS, look_at, shortcuts, suspicious

pytestmark = pytest.mark.workshop


def picture(seed, *, level=120.0, noise=4.0, size=40):
    values = np.random.default_rng(seed).normal(level, noise, (size, size, 1))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def found(good, defective):
    kinds = np.array(["good"] * len(good) + ["dent"] * len(defective))
    return shortcuts(kinds, [look_at(pixels) for pixels in [*good, *defective]])


@pytest.mark.parametrize(
    ("changed", "name"), [({"level": 135}, "brightness"), ({"level": 105}, "brightness"), ({"noise": 8}, "noise"), ({"size": 44}, "size")]
)
def test_what_tells_good_from_defective_without_a_defect_is_named(changed, name):
    shortcut = found([picture(seed) for seed in range(12)], [picture(seed, **changed) for seed in range(12, 24)])
    assert tuple(shortcut) == LOOKS
    assert shortcut[name] == 1.0
    assert name in suspicious(shortcut)


def test_pictures_taken_alike_raise_no_suspicion():
    good, defective = ([picture(seed) for seed in seeds] for seeds in (range(60), range(60, 120)))
    for pixels in defective:
        pixels[10:14, 10:14] = 255
    shortcut = found(good, defective)
    assert shortcut["brightness"] < 0.65
    assert "brightness" not in suspicious(shortcut)
    assert shortcut["size"] == 0.5


def test_colour_is_looked_at_as_grey():
    grey = picture(0)
    assert look_at(np.repeat(grey, 3, axis=2)) == pytest.approx(look_at(grey))
