"""A camera in a child process that really is killed, stopped, and really crashes; nothing of it is left, and the line never waits."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from edge_inspect.camera_opening import prepare_camera
from edge_inspect.cameras.isolated_child import Grabbing
from edge_inspect.cameras.shared_frames import ChildMemory, FrameMemory
from edge_inspect.config import CameraBlock, load_station
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError, ConfigError, FrameLost
from edge_inspect.plugins import load_factory
from edge_inspect.protocols import MayBeAway
from edge_inspect.testing import check_camera
from tests.conftest import named_memory

ACME = Path(__file__).parents[2] / "acme_cameras"
PATIENCE_S = 30
# A grab is back when it should be, but for what two busy cores may do to any process.
SLACK_S = 1.0


@pytest.fixture(autouse=True)
def acme(monkeypatch):
    """The cameras of a third party, installed for this process and for its children."""
    monkeypatch.syspath_prepend(str(ACME))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ACME), *filter(None, [os.environ.get("PYTHONPATH")])]))


@pytest.fixture
def told(tmp_path):
    return tmp_path / "told"


def block(told, *, isolated=True, **options):
    return CameraBlock.model_validate({"kind": "acme", "told": str(told), "isolated": isolated, **options})


def opened(told, *, follows=True, hang_ms=300, **options):
    return prepare_camera(block(told, isolated={"hang_ms": hang_ms}, **options), base=Path(), follows=follows)()


@contextmanager
def nothing_left():
    """No process, no descriptor and no shared memory is left afterwards."""
    gc.collect()
    before = descriptors(), named_memory()
    yield
    gc.collect()
    assert psutil.Process().children() == []
    assert (descriptors(), named_memory()) == before


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def outcome(camera, timeout_s=0.1):
    """What a grab gives or raises; it must be back in time whatever happens."""
    started_s = time.monotonic()
    try:
        return camera.grab(timeout_s)
    except CameraError as error:
        error.__context__ = None
        return error.with_traceback(None)  # which would hold on to the frames of its time
    finally:
        assert time.monotonic() - started_s < timeout_s + SLACK_S


def until(camera, wanted):
    """Grab until it comes; what came before it."""
    end_s, before = time.monotonic() + PATIENCE_S, []
    while time.monotonic() < end_s:
        found = outcome(camera)
        if wanted(found):
            return found, before
        before.append(found)
    raise AssertionError(f"it never came; there was {before[-5:]}")


def frame(found):
    return isinstance(found, Frame)


def loss(found):
    return isinstance(found, CameraError)


def wait_until(condition):
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "it never came"
        time.sleep(0.01)


def is_gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_an_isolated_camera_keeps_the_promises_of_a_camera(told):
    with nothing_left():
        check_camera(partial(opened, told), frames=20)
    assert told.with_suffix(".closed").exists()


def test_frames_come_as_they_are_and_stay_so_while_later_ones_are_taken(told):
    with nothing_left(), opened(told, width=320, height=200) as camera:
        frames = [until(camera, frame)[0] for _ in range(40)]
        views = [one.pixels[10:20, ::2] for one in frames]
        del frames[:20]
        more = [until(camera, frame)[0] for _ in range(40)]
        assert [int(view.min()) for view in views] == [int(view.max()) for view in views] == list(range(40))
        assert [one.sequence for one in more] == list(range(40, 80))
        assert more[0].pixels.shape == (200, 320, 1)
        assert more[0].part_id == "part-40"
        assert not more[0].pixels.flags.writeable
        del frames, more, views


def test_a_frame_outlives_its_camera(told):
    with opened(told) as camera:
        kept = until(camera, frame)[0]
    assert np.all(kept.pixels == kept.sequence)


def test_frames_that_nobody_looks_at_any_more_give_their_memory_back(told):
    with opened(told, width=1000, height=1000) as camera:
        kept = [until(camera, frame)[0] for _ in range(30)]
        most = os.fstat(camera._memory.descriptor).st_blocks * 512
        del kept
        for _ in range(10):
            until(camera, frame)
        left = os.fstat(camera._memory.descriptor).st_blocks * 512
    assert most > 25e6
    assert left < 10e6


def test_a_driver_that_copies_into_the_stations_memory_is_copied_no_second_time(told, monkeypatch):
    memory, copied = FrameMemory(), []
    slot = memory.take(64 * 48)
    monkeypatch.setattr("edge_inspect.cameras.isolated_child.np.copyto", lambda *_: copied.append(1))
    with load_factory("cameras", "acme")(name="top", told=told) as driver:
        grabbing = Grabbing(driver, ChildMemory(memory.descriptor))
        answer = grabbing.answer({"do": "grab", "timeout_s": 1, "offset": slot.offset, "size": slot.size})
    assert answer["frame"]["shape"] == (48, 64, 1)
    assert not copied
    memory.close()


def test_a_frame_larger_than_any_before_arrives_whole(told):
    told.write_text("- - large")
    with opened(told, width=4000, height=3000) as camera:
        first = until(camera, frame)[0]
        until(camera, frame)
        large = until(camera, frame)[0]
        after = until(camera, frame)[0]
    assert first.pixels.shape == (3000, 4000, 1)
    assert large.pixels.shape == (6000, 4000, 1)
    assert (large.pixels.min(), large.pixels.max()) == (2, 2)
    assert (after.pixels.shape, after.sequence) == ((3000, 4000, 1), 3)


@pytest.mark.parametrize(
    ("deed", "sentence"),
    [
        ("segfault", r"its process ended by itself \(SIGSEGV\); it is started again"),
        ("abort", r"its process ended by itself \(SIGABRT\)"),
        ("exit", r"its process ended by itself \(exit code 3\)"),
        ("killed", r"its process ended by itself \(SIGKILL: somebody's, or the kernel's because memory ran out: see dmesg\)"),
        ("raise", r"its process ended by itself \(exit code 1\)"),
        ("hang", r"its driver did not answer within 0\.4 s and was killed; it is started again"),
        ("hang-holding-the-interpreter", r"its driver did not answer within 0\.4 s and was killed"),
    ],
)
def test_a_driver_that_crashes_or_hangs_is_an_alarm_at_once_and_opened_again(deed, sentence, told):
    with nothing_left(), opened(told) as camera:
        first = until(camera, frame)[0].sequence
        told.write_text(deed)
        told_of, before = until(camera, loss)
        assert not any(map(frame, before))
        assert re.search(sentence, str(told_of)), told_of
        after = until(camera, frame)[0]
        assert (after.sequence, after.part_id) == (first + 1, "part-0")
        del after  # it holds its memory
        assert camera.restarts == 1
        assert camera.away == ""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGSTOP])
def test_a_child_that_is_killed_or_stopped_while_nobody_grabs_is_found_and_replaced(stop, told):
    with nothing_left(), opened(told, follows=False) as camera:
        assert isinstance(camera, MayBeAway)
        until(camera, frame)
        first = camera.pid
        os.kill(first, stop)
        wait_until(lambda: camera.away)
        wait_until(lambda: not camera.away)
        assert is_gone(first)
        assert frame(outcome(camera, 2.0))  # where each grab is for one part, an outage that is over is no matter


def test_a_driver_that_is_out_of_memory_is_an_alarm_and_costs_no_child(told):
    with nothing_left(), opened(told) as camera:
        first = until(camera, frame)[0].sequence
        told.write_text("memory")
        told_of, _ = until(camera, loss)
        assert "out of memory for a frame" in str(told_of)
        assert until(camera, frame)[0].sequence > first
        assert camera.restarts == 0


def test_a_line_that_follows_the_camera_is_told_of_an_outage_that_is_over(told):
    with opened(told, follows=True) as camera:
        until(camera, frame)
        os.kill(camera.pid, signal.SIGKILL)
        wait_until(lambda: camera.restarts == 1 and not camera.away)
        assert "SIGKILL" in str(outcome(camera))
        assert frame(outcome(camera, 2.0))


def test_the_camera_is_opened_again_for_ever(told):
    told.with_suffix(".open").write_text("- exit away segfault")
    with nothing_left(), opened(told) as camera:
        until(camera, frame)
        told.write_text("exit")
        before = until(camera, lambda found: frame(found) and found.sequence > 0)[1]
        reasons = {str(one) for one in before if loss(one)}
        assert camera.restarts == 4
    assert any("the cable is out" in reason for reason in reasons)
    assert any("SIGSEGV" in reason for reason in reasons)


def test_what_a_camera_says_at_its_first_opening_stops_the_start(told):
    told.with_suffix(".open").write_text("away")
    with nothing_left(), pytest.raises(CameraError, match="the cable is out"), opened(told):
        pass


def test_a_crash_at_the_first_opening_is_survived(told):
    told.with_suffix(".open").write_text("segfault -")
    with nothing_left(), opened(told) as camera:
        until(camera, frame)


def test_a_driver_that_hangs_while_it_opens_is_killed(told):
    told.with_suffix(".open").write_text("hang -")
    with nothing_left(), prepare_camera(block(told, isolated={"open_timeout_ms": 2000}), base=Path())() as camera:
        until(camera, lambda found: loss(found) and "did not open the camera within the time to open and was killed" in str(found))
        until(camera, frame)


def test_the_cameras_own_losses_come_through_and_cost_no_child(told):
    with opened(told) as camera:
        until(camera, frame)
        told.write_text("lost away idle")
        lost = outcome(camera, 2.0)
        assert isinstance(lost, FrameLost)
        assert (lost.sequence, lost.part_id) == (1, "part-1")
        assert str(outcome(camera, 2.0)) == "camera acme: the cable is out"
        assert outcome(camera) is None
        assert outcome(camera, 2.0).sequence == 3
        assert camera.restarts == 0


@pytest.mark.parametrize(("follows", "sequences"), [(True, [0, 1, 2]), (False, [0, 2, 3])])
def test_a_frame_too_late_for_its_grab_is_a_part_of_a_followed_camera_and_nobodys_where_each_grab_is_one_part(follows, sequences, told):
    with opened(told, follows=follows, hang_ms=5000) as camera:
        found = [until(camera, frame)[0]]
        told.write_text("late")
        assert outcome(camera) is None
        time.sleep(0.5)
        found += [until(camera, frame)[0] for _ in range(2)]
    assert [one.sequence for one in found] == sequences


def test_a_camera_that_is_away_stays_so_until_it_is_heard_of_again(told):
    with opened(told, hang_ms=5000) as camera:
        until(camera, frame)
        told.write_text("away late")
        assert str(outcome(camera, 2.0)) == "camera acme: the cable is out"
        assert str(outcome(camera)) == "camera acme: the cable is out"  # no answer yet ends no alarm
        until(camera, frame)


def test_an_idle_line_is_no_fault(told):
    told.write_text("idle " * 40)
    with opened(told, hang_ms=100) as camera:
        found = [outcome(camera, 0.05) for _ in range(30)]
        assert found == [None] * 30
        assert camera.restarts == 0


PARENT = """
import sys, time
from pathlib import Path
from edge_inspect.camera_opening import prepare_camera
from edge_inspect.config import CameraBlock
block = CameraBlock.model_validate({"kind": "acme", "told": sys.argv[1], "isolated": {"hang_ms": 60000}, "password": "s3cret"})
with prepare_camera(block, base=Path())() as camera:
    while camera.grab(1) is None:
        pass
    Path(sys.argv[1]).write_text(sys.argv[2])
    print(camera.pid, flush=True)
    camera.grab(60)
"""


@pytest.mark.parametrize("deed", ["idle", "hang", "hang-holding-the-interpreter", "stopped"])
def test_the_child_ends_with_a_line_that_is_killed(deed, told):
    with subprocess.Popen([sys.executable, "-c", PARENT, str(told), deed], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert "s3cret" not in " ".join(psutil.Process(child).cmdline())
        if deed == "stopped":
            os.kill(child, signal.SIGSTOP)
        parent.kill()
    wait_until(lambda: is_gone(child))


@pytest.mark.slow
def test_many_crashes_leave_nothing_behind(told, monkeypatch):
    monkeypatch.setattr("edge_inspect.cameras.isolated.REOPEN_FIRST_S", 0.0)
    monkeypatch.setattr("edge_inspect.cameras.isolated.REOPEN_LONGEST_S", 0.0)
    with nothing_left(), opened(told) as camera:
        until(camera, frame)
        gc.collect()
        before = descriptors()
        for _ in range(int(os.environ.get("EDGE_INSPECT_CRASHES", "10"))):
            os.kill(camera.pid, signal.SIGKILL)
            until(camera, loss)
            until(camera, frame)
        gc.collect()
        assert descriptors() <= before + 1  # another slot may have been needed


def test_the_station_file_takes_isolated_as_a_word_or_with_limits_and_refuses_the_rest(tmp_path):
    text = "name: cell\nrecipe: r.yaml\ndeadline_ms: 100\ncamera: {kind: simulated, isolated: %s}\n"
    (tmp_path / "station.yaml").write_text(text % "true")
    assert load_station(tmp_path / "station.yaml").camera.isolated.hang_ms == 1000
    (tmp_path / "station.yaml").write_text(text % "{hang_ms: 250}")
    assert load_station(tmp_path / "station.yaml").camera.isolated.hang_ms == 250
    (tmp_path / "station.yaml").write_text(text % "false")
    assert load_station(tmp_path / "station.yaml").camera.isolated is None
    (tmp_path / "station.yaml").write_text(text % "{hang: 250}")
    with pytest.raises(ConfigError, match=r"station\.yaml:4: camera\.isolated\.hang: unknown key"):
        load_station(tmp_path / "station.yaml")


def test_options_of_an_isolated_camera_are_checked_before_anything_is_started():
    with nothing_left(), pytest.raises(ConfigError, match="unknown option"):
        prepare_camera(CameraBlock.model_validate({"kind": "simulated", "isolated": True, "speed": 3}), base=Path())
