"""The simulated camera: every exposure is accounted for, whatever is injected."""

import time
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.cameras.parts import draw_part
from edge_inspect.cameras.simulated import FAULTS, SimulatedCamera, open_simulated
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError, FrameLost
from edge_inspect.protocols import Camera

SMALL = {"name": "top", "width": 64, "height": 64}


@pytest.fixture
def opened() -> Any:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(open_simulated(**SMALL | options))


def outcome(camera: SimulatedCamera, timeout_s: float = 0.0) -> Frame | CameraError | None:
    try:
        return camera.grab(timeout_s)
    except CameraError as error:
        return error


def everything(camera: SimulatedCamera, timeout_s: float = 0.0) -> list[Frame | CameraError | None]:
    found = []
    while not camera.ended:
        found.append(outcome(camera, timeout_s))
    return found


def sequences(outcomes: list[Any]) -> list[int]:
    return [outcome.sequence for outcome in outcomes if isinstance(outcome, (Frame, FrameLost))]


def test_parts_are_drawn_named_and_counted(opened: Any) -> None:
    camera = opened(parts=20, seed=4, defect_rate=0.5)
    assert isinstance(camera, Camera)
    frames = everything(camera)
    assert sequences(frames) == list(range(20))
    part = draw_part(3, 4, width=64, height=64, defect_rate=0.5)
    assert frames[3].part_id == f"{part.label}-000003"
    np.testing.assert_array_equal(frames[3].pixels, part.pixels)
    assert (camera.exposed, camera.grab(0.001), camera.faults) == (20, None, dict.fromkeys(FAULTS, 0))


def test_a_rate_paces_the_exposures(opened: Any) -> None:
    camera = opened(fps=40)
    started_ns = time.monotonic_ns()
    frames = [camera.grab(5) for _ in range(3)]
    assert frames[2].exposed_ns - started_ns >= 50_000_000
    assert opened(fps=0.01).grab(0).sequence == 0
    slow = opened(fps=0.01)
    assert (slow.grab(0).sequence, slow.grab(0.001), slow.exposed) == (0, None, 1)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    parts=st.integers(1, 60),
    rates=st.lists(st.sampled_from([0.0, 0.1, 0.2]), min_size=5, max_size=5),
    fps=st.sampled_from([None, 1000.0]),
)
def test_every_exposure_is_delivered_or_missing_in_the_count(seed: int, parts: int, rates: list[float], fps: float | None) -> None:
    mischief = dict(zip(FAULTS, rates, strict=True)) | {"late_ms": 2, "disconnected_ms": 1}
    with open_simulated(**SMALL, parts=parts, seed=seed, fps=fps, **mischief) as camera:
        outcomes = everything(camera, 0.001)
    told = sequences(outcomes)
    withheld = camera.faults["lost"] + camera.faults["disconnected"] + (camera.faults["late"] if fps is None else 0)
    assert told == sorted(set(told))
    assert len(told) == parts - withheld
    assert (told[0], told[-1]) == (0, parts - 1)
    assert sum(isinstance(outcome, FrameLost) for outcome in outcomes) == camera.faults["corrupt"]


def test_the_same_seed_injects_the_same_faults(opened: Any) -> None:
    ledgers = []
    for seed in (1, 1, 2):
        camera = opened(parts=200, seed=seed, lost=0.1, corrupt=0.1, dark=0.1)
        everything(camera)
        ledgers.append(camera.faults)
    assert ledgers[0] == ledgers[1] != ledgers[2]
    assert all(10 <= ledgers[0][fault] <= 30 for fault in ("lost", "corrupt", "dark"))


def test_a_lost_frame_gives_none_to_its_trigger_and_a_gap_to_the_count(opened: Any) -> None:
    camera = opened(parts=3, lost=1)
    first, lost, last = everything(camera)
    assert (first.sequence, lost, last.sequence, camera.faults["lost"]) == (0, None, 2, 1)


def test_with_a_rate_a_lost_frame_is_seen_in_the_count_only(opened: Any) -> None:
    camera = opened(parts=5, lost=1, fps=1000)
    assert [camera.grab(5).sequence, camera.grab(5).sequence] == [0, 4]
    assert (camera.faults["lost"], camera.ended) == (3, True)


def test_a_corrupt_frame_names_its_part(opened: Any) -> None:
    camera = opened(parts=1, corrupt=1, defect_rate=0)
    with pytest.raises(FrameLost, match=r"camera top, exposure 0: the frame came damaged") as caught:
        camera.grab(0)
    assert (caught.value.sequence, caught.value.part_id) == (0, "good-000000")


def test_a_dark_frame_is_nearly_black(opened: Any) -> None:
    frame = opened(dark=1).grab(0)
    assert 0 < frame.pixels.max() <= 10
    assert not frame.pixels.flags.writeable


def test_a_late_frame_comes_when_it_is_due(opened: Any) -> None:
    camera = opened(parts=4, late=1, late_ms=30)
    camera.grab(0)
    frame = camera.grab(5)
    assert frame.sequence == 1
    assert time.monotonic_ns() - frame.exposed_ns >= 30_000_000


def test_a_frame_too_late_for_its_trigger_never_answers_another(opened: Any) -> None:
    camera = opened(parts=3, late=1, late_ms=1000)
    first, late, last = everything(camera, 0.001)
    assert (first.sequence, late, last.sequence) == (0, None, 2)


def test_with_a_rate_a_late_frame_holds_up_those_behind_it_and_is_still_delivered(opened: Any) -> None:
    camera = opened(parts=3, late=1, late_ms=40, fps=1000)
    assert camera.grab(1).sequence == 0
    assert camera.grab(0.005) is None
    assert not camera.ended
    assert [camera.grab(5).sequence, camera.grab(5).sequence] == [1, 2]


def test_a_disconnected_camera_says_so_until_it_is_back(opened: Any) -> None:
    camera = opened(parts=3, disconnected=1, disconnected_ms=50)
    camera.grab(0)
    with pytest.raises(CameraError, match="disconnected at exposure 1"):
        camera.grab(0)
    with pytest.raises(CameraError, match="is disconnected"):
        camera.grab(0)
    assert camera.grab(5).sequence == 2


def test_more_faults_than_exposures_are_refused() -> None:
    with (
        pytest.raises(CameraError, match=r"fault rates come to 1\.1, wanted at most 1 together"),
        open_simulated(**SMALL, lost=0.6, dark=0.5),
    ):
        pass
    with open_simulated(**SMALL, lost=0.7, dark=0.2, corrupt=0.1):
        pass
