"""The loop, driven through its doors by a scripted camera and a scripted PLC, with the real tiny engine behind it."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime, timezone

import numpy as np
import pytest

from edge_inspect.config import PluginBlock, load_recipe, load_station
from edge_inspect.datatypes import Frame, PlcRequest, RequestKind, Verdict
from edge_inspect.errors import CameraError, ConfigError, DeadlineMissed, EngineError, FrameLost, OutputError, PlcError
from edge_inspect.inspector import open_inspector
from edge_inspect.plc.unwired import Unwired
from edge_inspect.service.live import LiveStatus
from edge_inspect.service.sequence import Sequence
from edge_inspect.station import Station, guarding
from edge_inspect.station.jobs import JobChange
from edge_inspect.station.loop import LARGEST_GAP
from edge_inspect.thresholds import read_thresholds, save_thresholds
from edge_inspect.thresholds.frames import CalibrationFrames, save_frames
from tests.conftest import write_part

GOOD, BAD = 128, 200


def frame(sequence=1, *, grey=GOOD, size=(48, 64), exposed_ns=None):
    pixels = np.full((*size, 3), grey, np.uint8)
    exposed_ns = time.monotonic_ns() if exposed_ns is None else exposed_ns
    return Frame(
        pixels=pixels,
        sequence=sequence,
        exposed_ns=exposed_ns,
        taken_at=datetime.now(timezone.utc),
        camera="scripted",
        part_id=f"p{sequence}",
    )


class Until:
    """A step of a script that gives nothing until something is so."""

    def __init__(self, is_so):
        self.is_so = is_so

    def blocks(self):
        if self.is_so():
            return False
        time.sleep(0.001)
        return True


class ScriptedCamera:
    """Gives frames, raises errors, or runs what stands in its script; then sets `stop` and stays idle."""

    def __init__(self, *script):
        self.script = deque(script)
        self.stop = threading.Event()

    def grab(self, timeout_s):
        if not self.script:
            self.stop.set()
            return None
        if isinstance(self.script[0], Until) and self.script[0].blocks():
            return None
        step = self.script.popleft()
        if isinstance(step, Until):
            return None
        if callable(step):
            step = step()
        if isinstance(step, Exception):
            raise step
        return step


class ScriptedPlc:
    """Asks what stands in its script and keeps what it is told."""

    def __init__(self, *script):
        self.script = deque(script)
        self.stop = threading.Event()
        self.said, self.answers, self.readiness, self.released = [], [], [], []
        self.refuse = lambda inspection: None
        self.begun = 100

    def ready(self, is_ready, reason=""):
        self.readiness.append(is_ready)

    def poll(self, timeout_s):
        if not self.script:
            self.stop.set()
            return None
        if isinstance(self.script[0], Until) and self.script[0].blocks():
            return None
        step = self.script.popleft()
        if isinstance(step, Until):
            return None
        if isinstance(step, Exception):
            raise step
        return step

    def answered(self, count):
        """Until so many answers to job changes have been given; the first is the station's own at its start."""
        return Until(lambda: len(self.answers) == count)

    def begin(self, deadline_ns):
        self.begun += 1
        return self.begun

    def exposed(self, acquisition):
        self.released.append(acquisition)

    def emit(self, inspection):
        self.refuse(inspection)
        self.said.append(inspection)

    def answer(self, request, *, job, error=""):
        self.answers.append((job, error))


class Kept:
    """An output that keeps inspections; fails while `broken`."""

    def __init__(self):
        self.inspections = []
        self.broken = False

    def emit(self, inspection):
        if self.broken:
            raise OutputError("the disk is full; make room")
        self.inspections.append(inspection)


def trigger(acquisition=1, *, deadline_ms=1000.0):
    now = time.monotonic_ns()
    return PlcRequest(kind=RequestKind.TRIGGER, received_ns=now, acquisition=acquisition, deadline_ns=now + int(deadline_ms * 1e6))


@pytest.fixture
def live(tmp_path):
    """The status object of the station that `serve` runs."""
    return LiveStatus(tmp_path / "status.json", station="cell")


@pytest.fixture
def serve(tmp_path, recipe_file, live):
    """Run a station over a script; gives (inspections recorded, status file, status object)."""

    def run(camera, plc=None, *, trigger="camera", deadline_ms=1000, kept=None, jobs="", inspector=None):
        station_file = tmp_path / "station.yaml"
        plc_block = "plc: modbus\n" if trigger == "plc" else ""
        station_file.write_text(
            f"name: cell\nrecipe: {recipe_file}\ncamera: simulated\nruntime: reference\n"
            f"deadline_ms: {deadline_ms}\ntrigger: {trigger}\n{plc_block}{jobs}"
        )
        settings = load_station(station_file)
        kept = Kept() if kept is None else kept
        opened = open_inspector(recipe_file, PluginBlock(kind="reference"), base=tmp_path) if inspector is None else inspector
        station = Station(
            settings=settings,
            camera=camera,
            inspector=opened,
            plc=plc or Unwired(),
            outputs=[("kept", kept)],
            status=live,
            sequence=Sequence(tmp_path / "sequence"),
        )
        station.run(camera.stop if trigger == "camera" else plc.stop)
        return kept.inspections, json.loads((tmp_path / "status.json").read_text()), live

    return run


def verdicts(inspections):
    return [inspection.verdict.value for inspection in inspections]


def test_every_frame_of_the_camera_gets_one_verdict_in_order(serve):
    inspections, status, _ = serve(ScriptedCamera(frame(1), frame(2, grey=BAD), None, frame(3)))
    assert verdicts(inspections) == ["OK", "NG", "OK"]
    assert [inspection.sequence for inspection in inspections] == [1, 2, 3]
    assert [inspection.part_id for inspection in inspections] == ["p1", "p2", "p3"]
    assert status["counts"] == {"OK": 2, "NG": 1, "FAULT": 0}
    assert status["state"] == "stopped"


def test_an_inspection_names_what_it_was_made_with_and_where_the_time_went(serve):
    [inspection], _, _ = serve(ScriptedCamera(frame(1, grey=BAD)))
    assert inspection.recipe == "cell"
    assert inspection.score == pytest.approx(72)
    assert inspection.threshold == 20
    assert len(inspection.engine_sha256) == 64
    assert len(inspection.calibration_id) == 12
    assert inspection.latency.infer > 0
    assert inspection.latency.verdict >= inspection.latency.infer
    assert inspection.evidence.frame.sequence == 1


def test_an_exposure_the_camera_lost_is_a_fault_and_the_line_goes_on(serve):
    lost = FrameLost("img_2.png is truncated; copy it again", sequence=2, part_id="img_2.png")
    inspections, _, _ = serve(ScriptedCamera(frame(1), lost, frame(3)))
    assert verdicts(inspections) == ["OK", "FAULT", "OK"]
    assert inspections[1].part_id == "img_2.png"
    assert "truncated" in inspections[1].reason
    assert inspections[1].score is None


def test_a_gap_in_the_cameras_count_faults_each_part_nobody_saw(serve):
    inspections, _, _ = serve(ScriptedCamera(frame(7), frame(10)))
    assert verdicts(inspections) == ["OK", "FAULT", "FAULT", "OK"]
    assert "exposure 8" in inspections[1].reason


@pytest.mark.parametrize("jump", [1, 5 + LARGEST_GAP + 1])
def test_a_camera_that_counts_anew_has_lost_no_part(serve, jump):
    inspections, _, _ = serve(ScriptedCamera(frame(5), frame(jump + 1), frame(jump + 2)))
    assert verdicts(inspections) == ["OK", "OK", "OK"]


def test_a_camera_that_is_away_is_an_alarm_and_not_a_fault_and_comes_back_by_itself(serve, live):
    away = CameraError("no link to 10.0.0.7; check the cable")
    alarms = []
    inspections, _, _ = serve(ScriptedCamera(frame(1), away, away, lambda: alarms.append(live.alarms) or frame(2)))
    assert verdicts(inspections) == ["OK", "OK"]
    assert alarms == [{"camera": "no link to 10.0.0.7; check the cable"}]
    assert live.alarms == {}


def test_a_frame_of_another_size_than_the_recipes_is_a_fault(serve, tmp_path):
    write_part(tmp_path / "cell", extra="frame: {width: 64, height: 48}\n")
    inspections, _, _ = serve(ScriptedCamera(frame(1, size=(50, 64)), frame(2)))
    assert verdicts(inspections) == ["FAULT", "OK"]
    assert "64 x 50" in inspections[0].reason


def test_a_part_that_cannot_be_located_is_a_fault_that_says_why_and_the_line_goes_on(serve, tmp_path):
    write_part(tmp_path / "cell", extra="locator: {kind: principal_axis, background: light, width: 64, height: 48}\n")
    inspections, status, _ = serve(ScriptedCamera(frame(1), frame(2)))
    assert verdicts(inspections) == ["FAULT", "FAULT"]
    assert inspections[0].reason.startswith("not inspected: no part in the region of interest")
    assert inspections[0].part_id == "p1"
    assert status["alarms"] == {}


def test_scores_that_are_not_finite_are_a_fault(serve, tmp_path):
    write_part(tmp_path / "cell", model="tiny_nan")
    inspections, _, _ = serve(ScriptedCamera(frame(1, grey=255), frame(2)))
    assert verdicts(inspections) == ["FAULT", "OK"]
    assert inspections[0].score is None


def test_an_engine_that_fails_on_a_frame_faults_that_part_only(serve, tmp_path, recipe_file):
    with open_inspector(recipe_file, PluginBlock(kind="reference"), base=tmp_path) as inspector:
        whole = inspector.inspect
        answers = iter([EngineError("the device is gone; restart"), None])

        def sometimes(shown):
            if (error := next(answers)) is not None:
                raise error
            return whole(shown)

        inspector.inspect = sometimes
        inspections, _, _ = serve(ScriptedCamera(frame(1), frame(2)), inspector=nullcontext(inspector))
    assert verdicts(inspections) == ["FAULT", "OK"]


def test_a_verdict_after_the_deadline_is_a_fault_that_says_what_it_would_have_been(serve):
    late = frame(1, grey=BAD, exposed_ns=time.monotonic_ns() - 2_000_000_000)
    [inspection], _, _ = serve(ScriptedCamera(late))
    assert inspection.verdict is Verdict.FAULT
    assert "too late" in inspection.reason
    assert "NG" in inspection.reason
    assert inspection.score is None
    assert inspection.regions == ()


def test_a_trigger_of_the_plc_exposes_one_part_and_its_acquisition_comes_back(serve):
    plc = ScriptedPlc(trigger(41), None, trigger(42))
    inspections, _, _ = serve(ScriptedCamera(frame(1), frame(9, grey=BAD)), plc, trigger="plc")
    assert [(said.acquisition, said.verdict.value) for said in plc.said] == [(41, "OK"), (42, "NG")]
    assert [inspection.acquisition for inspection in inspections] == [41, 42]
    assert plc.released == [41, 42]
    assert plc.readiness[0] is True
    assert plc.readiness[-1] is False


def test_a_camera_that_goes_while_nobody_triggers_is_an_alarm_before_the_next_part_comes(serve, live):
    class Going(ScriptedCamera):
        @property
        def away(self):
            return "the camera is away; check the cable" if plc.readiness and plc.readiness[-1] else ""

    plc = ScriptedPlc(None, None)
    serve(Going(), plc, trigger="plc")
    assert "check the cable" in live.alarms["camera"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "no frame within"),
        (FrameLost("the frame is incomplete; check the link", sequence=3), "incomplete"),
        (CameraError("the camera is away; check the cable"), "away"),
    ],
)
def test_a_trigger_without_a_frame_is_a_fault(serve, given, reason):
    plc = ScriptedPlc(trigger(1), trigger(2))
    inspections, _, _ = serve(ScriptedCamera(given, frame(1)), plc, trigger="plc")
    assert verdicts(inspections) == ["FAULT", "OK"]
    assert reason in inspections[0].reason


def test_triggers_the_plc_gave_before_the_stop_are_still_served(serve):
    plc = ScriptedPlc()
    camera = ScriptedCamera(frame(1), frame(2))
    plc.stop.set()
    plc.script.extend([trigger(1), trigger(2)])
    inspections, _, _ = serve(camera, plc, trigger="plc")
    assert [inspection.acquisition for inspection in inspections] == [1, 2]


def test_when_the_wire_has_already_said_fault_the_record_says_fault_too(serve):
    def too_late(inspection):
        raise DeadlineMissed("FAULT was said 3 ms ago")

    plc = ScriptedPlc(trigger(1, deadline_ms=1000))
    plc.refuse = too_late
    [inspection], _, _ = serve(ScriptedCamera(frame(1)), plc, trigger="plc")
    assert inspection.verdict is Verdict.FAULT
    assert "too late" in inspection.reason


def test_a_fault_the_wire_said_first_keeps_its_own_reason(serve):
    def too_late(inspection):
        raise DeadlineMissed("FAULT was said 3 ms ago")

    plc = ScriptedPlc(trigger(1))
    plc.refuse = too_late
    [inspection], _, _ = serve(ScriptedCamera(FrameLost("half a frame; check the link", sequence=1)), plc, trigger="plc")
    assert "half a frame" in inspection.reason


def test_a_verdict_that_the_wire_cannot_take_is_recorded_all_the_same(serve, live):
    def broken(inspection):
        raise PlcError("the PLC is gone; check the cable")

    seen = []
    plc = ScriptedPlc(trigger(1), trigger(2))
    plc.refuse = broken
    kept = Kept()
    kept.emit = lambda inspection: seen.append((inspection.verdict.value, live.alarms))
    serve(ScriptedCamera(frame(1), frame(2, grey=BAD)), plc, trigger="plc", kept=kept)
    away = {"plc": "the PLC is gone; check the cable"}
    assert seen == [("OK", away), ("NG", away)]


def test_a_wire_that_is_broken_says_so_in_the_status_until_it_is_whole(serve, live):
    seen = []
    plc = ScriptedPlc()

    def refuse(timeout_s):
        seen.append(live.alarms)
        if len(seen) == 1:
            raise PlcError("the PLC does not listen; check the cable")
        plc.stop.set()

    plc.poll = refuse
    serve(ScriptedCamera(), plc, trigger="plc")
    assert seen[:2] == [{}, {"plc": "the PLC does not listen; check the cable"}]
    assert live.alarms == {}


def test_a_record_that_fails_is_an_alarm_and_stops_no_verdict(serve):
    kept = Kept()
    kept.broken = True
    plc = ScriptedPlc()
    _, status, live = serve(ScriptedCamera(frame(1), frame(2)), plc, kept=kept)
    assert [said.verdict.value for said in plc.said] == ["OK", "OK"]
    assert live.alarms == {"kept": "the disk is full; make room"}
    assert status["alarms"]["kept"]["text"] == "the disk is full; make room"
    assert status["counts"]["OK"] == 2


def job(number):
    return PlcRequest(kind=RequestKind.JOB_CHANGE, received_ns=time.monotonic_ns(), job=number)


def test_a_job_change_takes_the_other_recipe_and_a_bad_one_leaves_the_old_running(serve, tmp_path):
    other = write_part(tmp_path / "other", image_threshold=100)
    jobs = f"jobs: {{1: {other}, 2: {tmp_path / 'missing.yaml'}, 7: {tmp_path / 'cell' / 'recipe.yaml'}}}\n"

    reset = PlcRequest(kind=RequestKind.RESET, received_ns=time.monotonic_ns())
    plc = ScriptedPlc()
    plc.script.extend(
        [trigger(1), job(1), plc.answered(2), trigger(2), job(2), plc.answered(3), job(9), plc.answered(4), reset, trigger(3)]
    )
    camera = ScriptedCamera(*(frame(i, grey=BAD) for i in range(3)))
    inspections, status, _ = serve(camera, plc, trigger="plc", jobs=jobs)
    assert [(i.recipe, i.verdict.value) for i in inspections] == [("cell", "NG"), ("other", "OK"), ("other", "OK")]
    assert [job for job, _ in plc.answers] == [7, 1, 1, 1]
    assert "missing.yaml" in plc.answers[2][1]
    assert "job 9 is not in the station file" in plc.answers[3][1]
    assert status["recipe"] == "other"
    assert "job 9" in status["alarms"]["job"]["text"]


def test_a_job_whose_model_the_stations_key_does_not_vouch_for_leaves_the_old_one_running(serve, tmp_path):
    pytest.importorskip("cryptography", reason="needs cryptography, the extra sign")
    from edge_inspect.signing import make_key_pair

    other = write_part(tmp_path / "other", image_threshold=100)
    public = make_key_pair(tmp_path / "private.pem")
    plc = ScriptedPlc(job(1))
    camera = ScriptedCamera(frame(1, grey=BAD), plc.answered(2), frame(2, grey=BAD))
    inspections, _, _ = serve(camera, plc, jobs=f"jobs: {{1: {other}}}\npublic_key: {public}\n")
    assert [inspection.recipe for inspection in inspections] == ["cell", "cell"]
    assert "manifest.json.sig: cannot be read" in plc.answers[1][1]


def test_the_plc_may_change_the_job_on_a_line_its_camera_triggers(serve, tmp_path):
    other = write_part(tmp_path / "other", image_threshold=100)
    plc = ScriptedPlc(job(1))
    camera = ScriptedCamera(frame(1, grey=BAD), plc.answered(2), frame(2, grey=BAD))
    inspections, _, _ = serve(camera, plc, jobs=f"jobs: {{1: {other}}}\n")
    assert inspections[-1].recipe == "other"
    assert inspections[-1].verdict is Verdict.OK
    assert [inspection.acquisition for inspection in inspections] == [101, 102]


@pytest.fixture
def opening(monkeypatch):
    """Opening a job waits for this event."""
    may_open = threading.Event()

    @contextmanager
    def open_slowly(*words, **options):
        if words[0].parent.name == "other":
            assert may_open.wait(30)
        with open_inspector(*words, **options) as inspector:
            yield inspector

    monkeypatch.setattr("edge_inspect.station.recipes.open_inspector", open_slowly)
    return may_open


def test_the_old_job_goes_on_until_the_next_is_ready_and_ready_falls_only_for_the_swap(serve, tmp_path, opening):
    other = write_part(tmp_path / "other", image_threshold=100)
    plc = ScriptedPlc()
    camera = ScriptedCamera(*(frame(i, grey=BAD) for i in range(4)))

    def let_it_open():
        opening.set()
        return True

    plc.script.extend([job(1), trigger(1), trigger(2), Until(let_it_open), plc.answered(2), trigger(3)])
    inspections, _, _ = serve(camera, plc, trigger="plc", jobs=f"jobs: {{1: {other}}}\n")
    assert [(i.recipe, i.verdict.value) for i in inspections] == [("cell", "NG"), ("cell", "NG"), ("other", "OK")]
    assert plc.readiness == [True, False, True, False]


def test_a_part_accepted_before_ready_fell_is_the_old_jobs(serve, tmp_path):
    other = write_part(tmp_path / "other", image_threshold=100)

    class Hasty(ScriptedPlc):
        def ready(self, is_ready, reason=""):
            super().ready(is_ready, reason)
            if reason == "job 1 takes over":
                self.script.appendleft(trigger(1))

    plc = Hasty()
    plc.script.extend([job(1), plc.answered(2), trigger(2)])
    inspections, _, _ = serve(ScriptedCamera(frame(1), frame(2)), plc, trigger="plc", jobs=f"jobs: {{1: {other}}}\n")
    assert [(i.acquisition, i.recipe) for i in inspections] == [(1, "cell"), (2, "other")]


def test_another_job_change_meanwhile_is_refused(serve, tmp_path, opening):
    other = write_part(tmp_path / "other", image_threshold=100)
    plc = ScriptedPlc()

    def let_it_open():
        opening.set()
        return True

    plc.script.extend([job(1), job(7), plc.answered(2), Until(let_it_open), plc.answered(3)])
    serve(ScriptedCamera(), plc, trigger="plc", jobs=f"jobs: {{1: {other}, 7: {other}}}\n")
    assert plc.answers == [(0, ""), (0, "another job change is under way; ask again when it is done"), (1, "")]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_while_a_job_is_opened_fails_the_command_and_the_old_job_goes_on(serve, tmp_path, monkeypatch):
    def broken(*words, **options):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("edge_inspect.station.recipes.open_inspector", broken)
    plc = ScriptedPlc()
    plc.script.extend([job(1), plc.answered(2), trigger(1)])
    inspections, _, _ = serve(ScriptedCamera(frame(1)), plc, trigger="plc", jobs=f"jobs: {{1: {tmp_path}}}\n")
    assert "the engine has a defect: ZeroDivisionError" in plc.answers[1][1]
    assert verdicts(inspections) == ["OK"]


def test_a_station_that_stops_while_a_job_is_opened_closes_it_too(serve, tmp_path, opening, monkeypatch):
    other = write_part(tmp_path / "other", image_threshold=100)
    closed = []
    monkeypatch.setattr("edge_inspect.station.jobs.LEAVE_WITHIN_S", 30)

    class Stopping(ScriptedPlc):
        def ready(self, is_ready, reason=""):
            super().ready(is_ready, reason)
            if reason == "the station is stopping":
                opening.set()

    @contextmanager
    def noting(*words, **options):
        assert opening.wait(30)
        with open_inspector(*words, **options) as inspector:
            yield inspector
        closed.append(words[0].parent.name)

    monkeypatch.setattr("edge_inspect.station.recipes.open_inspector", noting)
    serve(ScriptedCamera(), Stopping(job(1)), trigger="plc", jobs=f"jobs: {{1: {other}}}\n")
    assert closed == ["other"]


def test_an_engine_that_belongs_to_its_thread_is_opened_in_the_lines_own():
    threads = []

    @contextmanager
    def open_job(number):
        threads.append(threading.current_thread())
        yield number
        threads.append(threading.current_thread())

    jobs = JobChange(open_job, beside=False)
    jobs.start(job(3))
    taken = jobs.take()
    assert taken.inspector == 3
    jobs.give_up(taken.opened)
    jobs.close()
    assert set(threads) == {threading.current_thread()}


def test_the_memory_of_an_engine_that_no_longer_serves_is_given_back(monkeypatch):
    done = []
    monkeypatch.setattr("edge_inspect.station.jobs.give_back_freed_memory", lambda: done.append("given back"))
    monkeypatch.setattr("edge_inspect.station.jobs.SETTLED_S", 60.0)
    jobs = JobChange(nullcontext)
    opened = ExitStack()
    opened.callback(done.append, "closed")
    jobs.give_up(opened)
    while not done:
        time.sleep(0.001)
    assert done == ["closed"]  # the line's thread may hold something of it still
    jobs.close()
    assert done == ["closed", "given back"]


def test_nobody_waits_for_the_memory_of_an_engine_longer_than_it_takes_to_settle(monkeypatch):
    given_back = threading.Event()
    monkeypatch.setattr("edge_inspect.station.jobs.give_back_freed_memory", given_back.set)
    monkeypatch.setattr("edge_inspect.station.jobs.SETTLED_S", 0.01)
    jobs = JobChange(nullcontext)
    jobs.give_up(ExitStack())
    assert given_back.wait(10)


def test_a_trigger_the_wire_had_to_miss_stands_in_the_records_as_the_fault_it_said(serve):
    missed = PlcRequest(kind=RequestKind.MISSED, received_ns=time.monotonic_ns(), acquisition=7)
    plc = ScriptedPlc(missed, trigger(8))
    inspections, _, _ = serve(ScriptedCamera(frame(1)), plc, trigger="plc")
    assert [(i.acquisition, i.verdict.value) for i in inspections] == [(7, "FAULT"), (8, "OK")]
    assert [said.acquisition for said in plc.said] == [8]


class AwayCamera(ScriptedCamera):
    """Connects by itself; is away while reasons are left."""

    def __init__(self, *script, reasons):
        super().__init__(*script)
        self.reasons = deque(reasons)

    @property
    def away(self):
        return self.reasons.popleft() if self.reasons else ""


def test_a_station_is_ready_only_when_its_camera_is_there_and_what_is_asked_before_is_a_fault(serve, live):
    seen = []
    missed = PlcRequest(kind=RequestKind.MISSED, received_ns=time.monotonic_ns(), acquisition=1)
    plc = ScriptedPlc(missed)
    camera = AwayCamera(lambda: seen.append((live.alarms, list(plc.readiness))) or frame(1), reasons=["no link; check the cable"] * 2)
    inspections, _, _ = serve(camera, plc)
    assert verdicts(inspections) == ["FAULT", "OK"]
    assert inspections[0].acquisition == 1
    assert seen == [({}, [True])]


def test_a_station_that_is_stopped_while_its_camera_is_away_was_never_ready(serve, live):
    camera = AwayCamera(reasons=["no link; check the cable"] * 3)
    camera.stop.set()
    plc = ScriptedPlc()
    serve(camera, plc)
    assert plc.readiness == [False]
    assert live.alarms == {"camera": "no link; check the cable"}


def test_a_guard_that_has_nothing_to_hold_the_line_against_is_an_alarm_and_the_line_runs(serve):
    inspections, status, _ = serve(ScriptedCamera(frame(1), frame(2)), jobs="guard: true\n")
    assert [inspection.verdict for inspection in inspections] == [Verdict.OK, Verdict.OK]
    assert "calibrate with --apply once, which stores the frames" in status["alarms"]["guard"]["text"]


def test_scores_that_drift_are_an_alarm_and_change_no_verdict(serve, recipe_file):
    count = 30
    frames = CalibrationFrames(
        images=np.full((count, 48, 64, 3), GOOD, np.uint8),
        searched=np.ones((count, 6, 8), np.bool_),
        scores=np.zeros(count),
        peaks=np.zeros(count),
        names=tuple(map(str, range(count))),
        sample=np.linspace(0, 2, count),
        engine_sha256="e" * 64,
    )
    save_frames(load_recipe(recipe_file).thresholds, frames)
    shown = [frame(number, grey=GOOD + 10) for number in range(1, 60)]
    opened = Until(lambda: "guard" not in [thread.name for thread in threading.enumerate()])
    inspections, status, _ = serve(ScriptedCamera(shown[0], opened, *shown[1:]), jobs="guard: true\n")
    assert {inspection.verdict for inspection in inspections} == {Verdict.OK}
    assert "scores of accepted parts are higher than at the calibration" in status["alarms"]["guard"]["text"]


def test_parts_go_on_while_a_guard_is_opened_at_the_start_and_for_new_thresholds(serve, live, recipe_file, monkeypatch):
    path = load_recipe(recipe_file).thresholds
    new = read_thresholds(path).model_copy(update={"image_threshold": 33.0})
    parts_may_end, waited = threading.Event(), []

    def opened(recipe, thresholds, *, rests):
        waited.append((threading.current_thread().name, parts_may_end.wait(3)))
        raise ConfigError("no frames; calibrate")

    def put_and_expose():
        save_thresholds(path, new)
        return frame(2)

    def let_it_open():
        parts_may_end.set()
        return frame(40)

    monkeypatch.setattr(guarding, "open_guard", opened)
    in_force = Until(lambda: live._serving["calibration_id"] == new.calibration_id)
    camera = ScriptedCamera(frame(1), put_and_expose, in_force, *map(frame, range(3, 40)), let_it_open)
    inspections, status, _ = serve(camera, jobs="guard: true\n")
    assert [inspection.verdict for inspection in inspections] == [Verdict.OK] * 40
    assert inspections[-1].calibration_id == new.calibration_id
    assert waited
    assert set(waited) == {("guard", True)}
    assert status["alarms"]["guard"]["text"] == "no frames; calibrate"


def test_a_file_that_is_not_taken_over_leaves_the_guard_as_it_was(serve, live, recipe_file, monkeypatch):
    opened = []

    def fail(recipe, thresholds, *, rests):
        opened.append(recipe)
        raise ConfigError("no frames")

    monkeypatch.setattr(guarding, "open_guard", fail)

    def spoil_and_expose():
        load_recipe(recipe_file).thresholds.write_text("{")
        opened.clear()
        return frame(2)

    refused = Until(lambda: "thresholds" in live.alarms)
    _, status, _ = serve(
        ScriptedCamera(frame(1), Until(lambda: len(opened) == 2), spoil_and_expose, refused, frame(3)), jobs="guard: true\n"
    )
    assert opened == []
    assert status["alarms"]["guard"]["text"] == "no frames"
