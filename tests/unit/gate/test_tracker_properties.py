"""For no sequence of events: a part that is not surely good passes the gate, or a good one is rejected but where the gate says so."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from edge_inspect.datatypes import Verdict
from edge_inspect.gate.parts import Geometry
from edge_inspect.gate.tracker import LAST_ACQUISITION
from tests.unit.gate.belt import STEP_NS, Belt, wander, with_hands

PLAIN = Geometry(distance=120, pulse=14, pitch=20, lead=5, reverse=3)
OVERLAPPING = Geometry(distance=200, pulse=24, pitch=18, lead=10, reverse=2)
WITH_SENSOR = Geometry(distance=150, pulse=14, pitch=20, lead=5, reverse=3, sensor=110, window=6)
LONG_PULSE = Geometry(distance=120, pulse=14, pitch=20, lead=5, reverse=3, least_on_ns=40 * STEP_NS)
GEOMETRIES = {"plain": PLAIN, "overlapping": OVERLAPPING, "sensor": WITH_SENSOR, "long pulse": LONG_PULSE}
STEPS = 60_000


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_quarter_of_a_million_random_events_let_nothing_bad_pass(name: str):
    """60,000 for each of four geometries, from a seed that is new in every run and is told when it fails."""
    seed = random.SystemRandom().randrange(2**32)
    random_ = random.Random(seed)
    belt = Belt(GEOMETRIES[name], start=random_.choice((0, -500, 2**40)))
    try:
        for _ in range(STEPS):
            wander(belt, random_, hands=True)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    assert belt.passed > STEPS / 100, "the walk must bring parts to the gate"
    assert belt.good_passed > belt.passed / 10, "the walk must let good parts pass"
    assert belt.hits > belt.passed / 10


class BeltMachine(RuleBasedStateMachine):
    """Hypothesis looks for the shortest sequence that breaks a promise."""

    @initialize(geometry=st.sampled_from(list(GEOMETRIES.values())), start=st.sampled_from([0, -7, 2**33]))
    def begin(self, geometry: Geometry, start: int) -> None:
        self.belt = Belt(geometry, start=start)

    @rule(steps=st.integers(1, 40))
    def runs(self, steps: int) -> None:
        self.belt.turn(steps)

    @rule()
    def runs_for_a_belt_length(self) -> None:
        self.belt.turn(self.belt.geometry.belt)

    @rule(steps=st.integers(1, 70))
    def runs_backwards(self, steps: int) -> None:
        self.belt.turn(-steps)

    @rule(steps=st.integers(1, 100))
    def stands(self, steps: int) -> None:
        self.belt.stand(steps * STEP_NS)

    @rule()
    def a_part_comes(self) -> None:
        self.belt.place()

    @rule(index=st.integers(0, 5), verdict=st.sampled_from(list(Verdict)))
    def a_verdict_comes(self, index: int, verdict: Verdict) -> None:
        if self.belt.open:
            self.belt.say(self.belt.open[index % len(self.belt.open)], verdict)

    @rule()
    def a_trigger_bounces(self) -> None:
        self.belt.bounce()

    @rule(verdict=st.sampled_from(list(Verdict)))
    def a_trigger_is_lost(self, verdict: Verdict) -> None:
        if (thing := self.belt.place(announced=False)) is not None:
            self.belt.say(thing, verdict)
            thing.good = False

    @rule(number=st.integers(1, LAST_ACQUISITION))
    def a_verdict_of_nobody_comes(self, number: int) -> None:
        if all(thing.number != number for thing in self.belt.open):
            self.belt.tracker.verdict(number, Verdict.OK)

    @rule()
    def the_station_is_killed_and_started(self) -> None:
        self.belt.restart()

    @rule(seed=st.integers(0, 1000))
    def hands_reach_in(self, seed: int) -> None:
        if self.belt.geometry.sensor is not None:
            with_hands(self.belt, random.Random(seed))


TestBelt = BeltMachine.TestCase
TestBelt.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
