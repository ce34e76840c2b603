"""Several wires at one station: the first is the master, the others follow, each in a thread of its own.

The master gives the triggers and keeps the deadline. A follower is told of every part and every verdict behind a bounded
queue, so that a wire that is slow, down or hung delays neither the verdict nor another wire. What a follower is told is what
the master has said: it stands among the station's outputs, where the FAULT of a late verdict is already a FAULT.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from edge_inspect.datatypes import GateShown, Inspection, Notices, PlcRequest, RequestKind
from edge_inspect.plc.follower import DRAIN_S, Follower
from edge_inspect.protocols import Audited, FailsSafe, Note, Plc, ShowsGate, TakesNotices


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A wire to open.

    Attributes:
        name: for alarms.
        opener: opens it.
        may_change_job: whether its job changes count. The master's always do.
    """

    name: str
    opener: Callable[[], AbstractContextManager[Plc]]
    may_change_job: bool = False


@contextmanager
def open_several(master: Wire, following: Sequence[Wire]) -> Iterator[SeveralWires]:
    """Open the master, then the others; on leaving each follower has `DRAIN_S` seconds for what is queued.

    Raises:
        PlcError: one of them cannot be opened.
    """
    with ExitStack() as stack:
        wires = SeveralWires(stack.enter_context(master.opener()))
        for wire in following:
            stack.enter_context(_followed(wire, wires))
        yield wires


@contextmanager
def _followed(wire: Wire, wires: SeveralWires) -> Iterator[None]:
    with ExitStack() as opened:
        follower = Follower(
            opened.enter_context(wire.opener()), name=wire.name, ask=wires.take_from_follower if wire.may_change_job else None
        )
        wires.followers += (follower,)
        try:
            yield
        finally:
            if not follower.drain(DRAIN_S):
                follower.leave_open(opened.pop_all())


class SeveralWires:
    """A `protocols.Plc` of one master and any number of followers.

    Attributes:
        master: the wire that gives triggers and keeps the deadline.
        followers: the others; each is also an output, which the station gives every inspection.
    """

    def __init__(self, master: Plc) -> None:
        self.followers: tuple[Follower, ...] = ()
        self.master = master
        self._asked: deque[PlcRequest] = deque()

    def audit_to(self, note: Note) -> None:
        """Have every wire that can say who asked for what say it to `note`."""
        for wire in (self.master, *(follower.plc for follower in self.followers)):
            if isinstance(wire, Audited):
                wire.audit_to(note)

    def ready(self, is_ready: bool, reason: str = "") -> None:
        """Say to every PLC whether the station can take a trigger."""
        self.master.ready(is_ready, reason)
        for follower in self.followers:
            follower.ready(is_ready, reason)

    def notice(self, notices: Notices) -> None:
        """Show every PLC what a person should look at; a wire without such bits has none."""
        if isinstance(self.master, TakesNotices):
            self.master.notice(notices)
        for follower in self.followers:
            follower.notice(notices)

    def fail_safe(self) -> None:
        """Have every wire whose outputs would stay as they are bring them into their safe state."""
        for wire in (self.master, *(follower.plc for follower in self.followers)):
            if isinstance(wire, FailsSafe):
                wire.fail_safe()

    def poll(self, timeout_s: float) -> PlcRequest | None:
        """Wait for the next request of the master; one of a follower that may ask is taken first.

        Raises:
            PlcError: the master's wire is broken.
        """
        if self._asked:
            return self._asked.popleft()
        request = self.master.poll(timeout_s)
        if request is not None and request.kind is RequestKind.TRIGGER:
            for follower in self.followers:
                follower.begin(request.acquisition, request.deadline_ns)
        return request

    def begin(self, deadline_ns: int) -> int:
        """Tell every wire that the camera saw a part by itself; the master's count of it."""
        acquisition = self.master.begin(deadline_ns)
        for follower in self.followers:
            follower.begin(acquisition, deadline_ns)
        return acquisition

    def exposed(self, acquisition: int) -> None:
        """Tell every PLC that the part may move."""
        self.master.exposed(acquisition)
        for follower in self.followers:
            follower.exposed(acquisition)

    def emit(self, inspection: Inspection) -> None:
        """Publish the verdict on the master's wire; the followers get it as outputs.

        Raises:
            DeadlineMissed: the master has already said FAULT for this acquisition.
            PlcError: the master's wire is broken.
        """
        self.master.emit(inspection)

    def answer(self, request: PlcRequest, *, job: int, error: str = "") -> None:
        """Finish a job change where it was asked for, and name the job that runs everywhere."""
        self.master.answer(request, job=job, error=error)
        for follower in self.followers:
            follower.answer(request, job=job, error=error)

    def show_gate(self, shown: GateShown) -> None:
        """Show every PLC whose wire can what the reject gate shows (called in the gate's thread)."""
        if isinstance(self.master, ShowsGate):
            self.master.show_gate(shown)
        for follower in self.followers:
            follower.show_gate(shown)

    def take_from_follower(self, request: PlcRequest) -> None:
        """Queue a job change that a follower's PLC asked for (called in the follower's thread; a PLC has one at a time)."""
        self._asked.append(request)
