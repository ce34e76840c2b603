"""A belt to try the tracker on, slow and plain: it moves by single steps and knows the truth about every part.

It shares no code with the tracker. It knows where each part lies, looks at the output at every step, and says of each part that has
passed whether it was hit, whether it had to be and whether it might be.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from edge_inspect.datatypes import Verdict
from edge_inspect.gate.parts import Geometry, Why
from edge_inspect.gate.tracker import LAST_ACQUISITION, Tracker

STEP_NS = 1_000


@dataclass(eq=False)
class Thing:
    """Something on the belt; `at` is where the belt was when it was below the camera."""

    at: int
    number: int = 0
    good: bool = False
    real: bool = True
    behind: bool = False


class Belt:
    """A tracker and the truth beside it."""

    def __init__(self, geometry: Geometry, *, start: int = 0) -> None:
        self.geometry = geometry
        self.position = self.furthest = start
        self.now_ns = 0
        self.tracker = Tracker(geometry, start)
        self.things: list[Thing] = []
        self.number = 0
        self.output = self.tracker.output
        self.unknown = True
        self.open: list[Thing] = []
        self.passed = 0
        self.good_passed = 0
        self.hits = 0

    # ---- what the world does ----

    def room(self, at: int) -> bool:
        """Whether nothing lies closer than a pitch, removed things and things of before a restart included."""
        return all(abs(thing.at - at) >= self.geometry.pitch for thing in self.things)

    def count(self) -> int:
        self.number = self.number % LAST_ACQUISITION + 1
        return self.number

    def place(self, *, announced: bool = True, real: bool = True) -> Thing | None:
        """A part comes below the camera and is triggered (or its trigger is lost on the way)."""
        if not self.room(self.position):
            return None
        thing = Thing(at=self.position, number=self.count(), real=real)
        self.things.append(thing)
        self.open.append(thing)
        if announced:
            self.tracker.trigger(thing.number, thing.at)
        return thing

    def say(self, thing: Thing, verdict: Verdict) -> None:
        """The verdict of a part. It is good only if it is OK before the output must begin."""
        if thing in self.open:
            self.open.remove(thing)
        in_time = self.furthest < thing.at + self.geometry.distance - self.geometry.lead
        thing.good = verdict is Verdict.OK and in_time
        self.tracker.verdict(thing.number, verdict)

    def bounce(self) -> None:
        """One more trigger for the newest part."""
        self.tracker.trigger(self.count(), self.position)

    def take_off(self, thing: Thing) -> None:
        """Somebody takes a part off the belt."""
        thing.real = False

    def put_on(self, at: int) -> None:
        """Somebody puts a part onto the belt behind the camera."""
        if self.room(at):
            self.things.append(Thing(at=at))

    def restart(self) -> None:
        """The station is killed and started; what lies on the belt stays where it is."""
        self.tracker = Tracker(self.geometry, self.position, self.now_ns)
        self.furthest = self.position
        for thing in self.things:
            thing.good = False
        self.open.clear()
        self.look()

    def turn(self, steps: int) -> None:
        """The belt moves, step by step; backwards where negative."""
        for _ in range(abs(steps)):
            self.position += 1 if steps > 0 else -1
            self.now_ns += STEP_NS
            self._see()
            self._trigger_again()
            self.output = self.tracker.advance(self.position, self.now_ns)
            self.look()

    def stand(self, time_ns: int) -> None:
        """Time passes and the belt stands."""
        self.now_ns += time_ns
        self.output = self.tracker.advance(self.position, self.now_ns)
        self.look()

    def _trigger_again(self) -> None:
        """What the belt has carried back behind the camera is triggered anew when it comes again."""
        for thing in self.things:
            thing.behind = thing.behind or self.position < thing.at - self.geometry.reverse
            if thing.behind and self.position == thing.at and thing.real:
                thing.behind, thing.good, thing.number = False, False, self.count()
                self.open.append(thing)
                self.tracker.trigger(thing.number, thing.at)

    def _see(self) -> None:
        sensor = self.geometry.sensor
        for thing in self.things:
            if sensor is not None and thing.real and self.position == thing.at + sensor and self.position > self.furthest:
                self.tracker.sensed(self.position)

    # ---- what must be true ----

    def look(self) -> None:
        self.unknown = bool(self.tracker.unknown)
        first_time = self.position > self.furthest
        self.furthest = max(self.furthest, self.position)
        for thing in self.things:
            place = self.position - thing.at - self.geometry.distance
            if first_time and place == 0 and thing.real:
                self._judge(thing)
        keep = self.geometry.belt + 2 * self.geometry.pitch + self.geometry.distance
        self.things = [thing for thing in self.things if self.position - thing.at < keep]

    def _judge(self, thing: Thing) -> None:
        self.passed += 1
        self.hits += self.output
        if not thing.good:
            assert self.output, f"a part that is not surely good passed: {thing}"
        elif not self.output:
            self.good_passed += 1
        else:
            assert self.unknown or self._in_a_neighbours_pulse(thing), f"a good part was rejected: {thing}"

    def _in_a_neighbours_pulse(self, thing: Thing) -> bool:
        """Only a pulse that is longer than the geometry says reaches a neighbour, and then the tracker says so."""
        fates = [fate for fate in self.tracker.fates if fate.acquisition == thing.number]
        return self.geometry.least_on_ns > 0 and fates[-1].why is Why.NEIGHBOUR


def wander(belt: Belt, random_: random.Random, *, hands: bool) -> None:
    """One random event. `hands` adds those that only a part sensor can notice."""
    what = random_.random()
    geometry = belt.geometry
    if what < 0.42:
        belt.turn(random_.choice((1, 1, 2, 5, 11)))
    elif what < 0.62:
        belt.place()
    elif what < 0.90:
        if belt.open:
            thing = belt.open[0] if random_.random() < 0.8 else random_.choice(belt.open)
            belt.say(thing, random_.choices((Verdict.OK, Verdict.NG, Verdict.FAULT), (8, 2, 1))[0])
    elif what < 0.94:
        if belt.open and random_.random() < 0.5:
            belt.open.pop(0)  # its verdict never comes
    elif what < 0.955:
        belt.turn(-random_.randint(1, max(1, geometry.reverse)))
    elif what < 0.985:
        belt.stand(random_.choice((1, 10, 100)) * STEP_NS)
    elif what < 0.988:
        belt.turn(-random_.randint(1, 3 * geometry.pitch))
    elif what < 0.990:
        belt.bounce()
    elif what < 0.992:
        thing = belt.place(announced=False)
        if thing is not None:
            belt.say(thing, random_.choice(list(Verdict)))
            thing.good = False
            belt.turn(random_.choice((1, geometry.belt)))  # perhaps no trigger comes that shows the gap
    elif what < 0.993:
        belt.restart()
    elif what < 0.994:
        belt.tracker.lose("the camera lost an exposure")
    elif what < 0.995:
        if belt.open:
            belt.tracker.verdict(LAST_ACQUISITION - 7, Verdict.OK)
    elif hands and geometry.sensor is not None:
        with_hands(belt, random_)


def with_hands(belt: Belt, random_: random.Random) -> None:
    """A part is put on, taken off, or a trigger comes without one."""
    sensor = belt.geometry.sensor
    assert sensor is not None
    on_the_way = [thing for thing in belt.things if thing.real and 0 < belt.position - thing.at < sensor - belt.geometry.window]
    what = random_.randrange(3)
    if what == 0 and on_the_way:
        belt.take_off(random_.choice(on_the_way))
    elif what == 1:
        belt.put_on(belt.position - random_.randint(1, sensor - belt.geometry.window - 1))
    else:
        belt.place(real=False)
