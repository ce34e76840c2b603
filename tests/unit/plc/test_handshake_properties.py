"""For no sequence of inputs: two results for one trigger, none for one, or OK for a part that was not inspected.

`Line` drives a handshake and keeps its own books from the outside: what was triggered, until when a verdict may come,
which verdicts were given, what the station must be handed. Hypothesis searches for sequences, and a long random walk
covers the wrap of the counts.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_inspect.datatypes import Inspection, Latency, RequestKind, Verdict
from edge_inspect.plc.handshake import LAST_ACQUISITION, Emitted, Handshake
from edge_inspect.plc.results import ResultQueue
from edge_inspect.plc.signals import Control, Result, Trouble

ALLOWED_NS = 100
BITS = ("trigger_enable", "trigger", "buffer_results_enable", "results_ack", "execute_command", "set_offline", "clear_error")
TEMPLATE = Inspection(
    sequence=1,
    acquisition=0,
    part_id="",
    taken_at=datetime.now(timezone.utc),
    verdict=Verdict.OK,
    reason="",
    score=1.0,
    threshold=2.0,
    regions=(),
    recipe="",
    engine_sha256="",
    calibration_id="",
    latency=Latency(),
)


class ListeningQueue(ResultQueue):
    """Real queue that also lets the test see each result at the moment it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Result] = []

    def put(self, result: Result, *, buffered: bool) -> None:
        self.made.append(result)
        super().put(result, buffered=buffered)


class Line:
    """A handshake, its inputs, and books kept from the outside."""

    def __init__(self) -> None:
        self.queue = ListeningQueue()
        self.handshake = Handshake(allowed_ns=ALLOWED_NS, results=self.queue)
        self.now = 0
        self.control = Control()
        self.station_ready = False
        self.open: dict[int, int] = {}  # acquisition -> its deadline
        self.from_camera: int | None = None
        self.to_hand_over: deque[tuple[RequestKind, int, int]] = deque()
        self.results_total = 0
        self.triggers_total = 0
        self.acknowledged = 0

    # inputs

    def write(self, **bits: bool | int) -> None:
        after = replace(self.control, **bits)
        before, self.control = self.control, after
        seen = self.handshake.status(self.now)
        self.settle()
        triggered = after.trigger and not before.trigger and after.trigger_enable
        if after.results_ack and not before.results_ack and seen.results_valid:
            self.acknowledged += 1
        self.handshake.write(after, self.now)
        if triggered:
            undisturbed = after.set_offline == before.set_offline and after.execute_command == before.execute_command
            self._account_for_the_trigger(was_ready=seen.trigger_ready, undisturbed=undisturbed)

    def wait(self, time_ns: int) -> None:
        self.now += time_ns
        self.handshake.tick(self.now)

    def emit(self, acquisition: int, verdict: Verdict) -> None:
        may = self.open.get(acquisition, -1) > self.now
        self.handshake.tick(self.now)
        self.settle()
        emitted = self.handshake.emit(replace(TEMPLATE, acquisition=acquisition, verdict=verdict), self.now)
        assert (emitted is Emitted.DELIVERED) == may
        if may:
            result = self.queue.made.pop()
            assert (result.acquisition, result.verdict) == (acquisition, verdict)
            self._answered(acquisition)
        assert not self.queue.made

    def begin(self, allowed_ns: int) -> None:
        self.handshake.tick(self.now)
        self.settle()
        overtaken = self.from_camera if self.from_camera in self.open else None
        self.from_camera = self.handshake.begin(self.now + allowed_ns, self.now)
        if overtaken is not None:
            fault = self.queue.made.pop()
            assert (fault.acquisition, fault.verdict, fault.trouble) == (overtaken, Verdict.FAULT, Trouble.SUPERSEDED)
            self._answered(overtaken)
        self._opened(self.from_camera, self.now + allowed_ns)

    def ready(self, is_ready: bool) -> None:
        self.station_ready = is_ready
        self.handshake.ready(is_ready)

    def take(self) -> None:
        request = self.handshake.take(self.now)
        if request is None:
            assert not self.to_hand_over
        elif request.acquisition:
            assert (request.kind, request.acquisition, request.deadline_ns) == self.to_hand_over.popleft()

    # books

    def _account_for_the_trigger(self, *, was_ready: bool, undisturbed: bool) -> None:
        status = self.handshake.status(self.now)
        acquisition = status.acquisition_id
        if status.trigger_ack and not self.queue.made:
            assert self.station_ready
            assert not self.control.set_offline
            assert not self.open
            self._opened(acquisition, self.now + ALLOWED_NS)
            self.to_hand_over.append((RequestKind.TRIGGER, acquisition, self.now + ALLOWED_NS))
            return
        fault = self.queue.made.pop()
        assert (fault.acquisition, fault.verdict, fault.trouble) == (acquisition, Verdict.FAULT, Trouble.MISSED)
        assert status.missed_acquisition
        assert not (was_ready and undisturbed), "Ready was on and the trigger was missed"
        self._opened(acquisition, self.now)
        self._answered(acquisition)
        self.to_hand_over.append((RequestKind.MISSED, acquisition, self.now))

    def _opened(self, acquisition: int, deadline_ns: int) -> None:
        assert 1 <= acquisition <= LAST_ACQUISITION
        assert acquisition not in self.open, "one number for two parts"
        self.open[acquisition] = deadline_ns
        self.triggers_total += 1

    def _answered(self, acquisition: int) -> None:
        del self.open[acquisition]  # KeyError: a second result, or one for a part that never was
        self.results_total += 1

    def settle(self) -> None:
        """Results that the machine has made by itself: FAULT, and only for what is due."""
        for result in self.queue.made:
            assert result.verdict is Verdict.FAULT
            assert result.trouble is Trouble.LATE
            assert self.open[result.acquisition] <= self.now, "FAULT before the deadline"
            self._answered(result.acquisition)
        self.queue.made.clear()

    def check(self) -> None:
        self.handshake.tick(self.now)
        self.settle()
        assert all(deadline_ns > self.now for deadline_ns in self.open.values()), "no result at the deadline"
        counters = self.handshake.counters
        assert counters.triggers == self.triggers_total == self.results_total + len(self.open)
        assert counters.delivered == self.acknowledged
        assert counters.delivered + counters.overrun + counters.waiting == self.results_total
        assert counters.waiting <= 8

    def check_what_is_shown(self) -> None:
        status = self.handshake.status(self.now)
        assert status.job_pass == (status.result_code == 1)
        assert (status.result_code == 0) == (not status.results_valid)
        assert not (status.trigger_ready and (self.open or self.control.set_offline or not self.station_ready))
        assert not (status.command_completed and status.command_failed)
        assert status.online == (status.offline_reason == 0)


class AnySequence(RuleBasedStateMachine):
    """Hypothesis chooses the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()

    @rule(bits=st.dictionaries(st.sampled_from(BITS), st.booleans(), min_size=1, max_size=3))
    def the_plc_writes(self, bits: dict[str, bool]) -> None:
        self.line.write(**bits)

    @rule(job=st.integers(0, 3))
    def the_plc_asks_for_a_job(self, job: int) -> None:
        self.line.write(job=job, execute_command=True)

    @rule()
    def the_plc_triggers_as_it_should(self) -> None:
        self.line.write(trigger_enable=True, trigger=False, set_offline=False, execute_command=False)
        self.line.write(trigger=True)

    @rule()
    def the_plc_acknowledges_as_it_should(self) -> None:
        self.line.write(results_ack=True)
        self.line.write(results_ack=False)

    @rule(time_ns=st.sampled_from([0, 1, 30, ALLOWED_NS - 1, ALLOWED_NS, 3 * ALLOWED_NS]))
    def time_passes(self, time_ns: int) -> None:
        self.line.wait(time_ns)

    @rule(verdict=st.sampled_from(Verdict), choice=st.randoms(use_true_random=False))
    def the_station_answers_something_open(self, verdict: Verdict, choice: random.Random) -> None:
        if self.line.open:
            self.line.emit(choice.choice(sorted(self.line.open)), verdict)

    @rule(acquisition=st.integers(0, 40), verdict=st.sampled_from(Verdict))
    def the_station_answers_anything(self, acquisition: int, verdict: Verdict) -> None:
        self.line.emit(acquisition, verdict)

    @rule(allowed_ns=st.sampled_from([-5, 0, 1, ALLOWED_NS, 5 * ALLOWED_NS]))
    def the_camera_sees_a_part(self, allowed_ns: int) -> None:
        self.line.begin(allowed_ns)

    @rule(is_ready=st.booleans())
    def the_station_gets_ready_or_not(self, is_ready: bool) -> None:
        self.line.ready(is_ready)

    @rule()
    def the_station_asks_for_work(self) -> None:
        self.line.take()

    @rule(job=st.integers(0, 3), failed=st.booleans())
    def the_station_answers_the_job_change(self, job: int, failed: bool) -> None:
        self.line.handshake.answer(job, failed=failed)

    @invariant()
    def every_trigger_is_accounted_for(self) -> None:
        self.line.check()
        self.line.check_what_is_shown()


AnySequence.TestCase.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
TestNoSequenceOfInputsBreaksThePromise = AnySequence.TestCase


def random_step(line: Line, chance: random.Random) -> None:
    kind = chance.random()
    if kind < 0.22:
        line.write(**{chance.choice(BITS): chance.random() < 0.5})
    elif kind < 0.40:
        line.write(trigger_enable=True, trigger=not line.control.trigger, set_offline=False)
    elif kind < 0.52:
        line.write(results_ack=not line.control.results_ack)
    elif kind < 0.64:
        line.wait(chance.choice((0, 1, 10, ALLOWED_NS // 2, ALLOWED_NS)))
    elif kind < 0.78:
        line.emit(chance.choice((*line.open, chance.randrange(LAST_ACQUISITION + 2))), chance.choice(tuple(Verdict)))
    elif kind < 0.84:
        line.begin(chance.choice((-1, 0, ALLOWED_NS, 3 * ALLOWED_NS)))
    elif kind < 0.90:
        line.ready(chance.random() < 0.8)
    elif kind < 0.96:
        line.take()
    else:
        line.handshake.answer(chance.randrange(4), failed=chance.random() < 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_hundred_thousand_random_inputs_leave_no_trigger_without_exactly_one_result(seed: int) -> None:
    line, chance = Line(), random.Random(seed)
    for step in range(110_000):
        random_step(line, chance)
        line.check()
        if step % 16 == 0:
            line.check_what_is_shown()
    line.wait(10 * ALLOWED_NS)
    line.check()
    assert not line.open
    counters = line.handshake.counters
    assert min(counters.delivered, counters.overrun, counters.missed, counters.late) > 1000, "the walk must reach everything"
    assert counters.triggers - counters.missed > 1000


def test_the_count_wraps_to_one_and_skips_a_number_that_is_still_open() -> None:
    handshake = Handshake(allowed_ns=ALLOWED_NS)
    still_open = handshake.begin(10 * ALLOWED_NS, 0)
    for _ in range(LAST_ACQUISITION - 1):
        handshake.write(Control(trigger_enable=True, trigger=True), 0)
        handshake.write(Control(trigger_enable=True), 0)
    assert handshake.status(0).acquisition_id == LAST_ACQUISITION
    handshake.write(Control(trigger_enable=True, trigger=True), 0)
    assert still_open == 1
    assert handshake.status(0).acquisition_id == 2
    assert handshake.emit(replace(TEMPLATE, acquisition=still_open), 0) is Emitted.DELIVERED
