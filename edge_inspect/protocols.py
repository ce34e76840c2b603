"""The doors: what a camera, a runtime, an output and a PLC wire must offer. No base class to inherit.

A third party writes a class with these methods, a factory that takes the options as keyword arguments and returns a
context manager, and one entry point in its own setup.cfg (`edge_inspect.cameras = linescan = acme:open_camera`).
`edge_inspect.testing` holds the checks that every adapter must pass, ours included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from edge_inspect.datatypes import Action, Frame, GateShown, Inspection, Notices, Placement, PlcRequest, Scores, UInt8Image, Verdict

Factory = TypeVar("Factory", bound=Callable[..., object])


def needs(look: Callable[[Mapping[str, Any]], object]) -> Callable[[Factory], Factory]:
    """Say of a factory how to find out whether its library is there, where that is imported only as the factory opens.

    Args:
        look: gets the options as they stand in the file. It imports what they ask for, opens nothing, and raises PluginError, as
            the factory would, where something is missing. `edge-inspect check` calls it.
    """

    def marked(factory: Factory) -> Factory:
        factory.needs = look  # type: ignore[attr-defined]
        return factory

    return marked


@runtime_checkable
class Camera(Protocol):
    """Delivers frames, one part each."""

    def grab(self, timeout_s: float) -> Frame | None:
        """Wait for the next part's frame; a camera triggered by software exposes now.

        Args:
            timeout_s: longest wait [s].

        Returns:
            The frame, or None when nothing was triggered within the time (an idle line is no fault).

        Raises:
            FrameLost: a part was exposed but its frame is lost or unreadable. The next call goes on with the next part.
            CameraError: the camera is away. The call may be repeated; the camera reconnects by itself.
        """


@runtime_checkable
class MayBeAway(Protocol):
    """What a camera may offer beside `grab`, where it connects by itself: the station is Ready only once it is there."""

    @property
    def away(self) -> str:
        """Why the camera is not there now, in one sentence; "" while it is."""


@runtime_checkable
class Runtime(Protocol):
    """An opened engine."""

    def infer(self, pixels: UInt8Image, placement: Placement) -> Scores:
        """Warp the frame's pixels onto the network's image and run the graph.

        Args:
            pixels: (H, W, C) uint8, C is 1 or 3 (RGB).
            placement: where the network's image lies in the frame.

        Returns:
            Score map (h, w) float32 and image score, as the graph gave them; the caller owns the arrays.

        Raises:
            EngineError: the library failed. A map that is not finite is returned as it is; the decision faults it.
        """


@runtime_checkable
class Identified(Protocol):
    """What a runtime offers besides, if it can: an acceptance is then bound to it. Ours do."""

    @property
    def made_of(self) -> Mapping[str, str]:
        """What decides its answers besides the model's file: library and version; for a plan its hash and the GPU."""


@runtime_checkable
class Output(Protocol):
    """A record of inspections."""

    def emit(self, inspection: Inspection) -> None:
        """Record one inspection; delivered when it returns.

        Raises:
            OutputError: it was not recorded, with the reason. The next call tries again from scratch.
        """


@runtime_checkable
class StandingAlarm(Protocol):
    """What an output may offer beside `emit`: something a person must look at although every inspection is recorded."""

    @property
    def alarm(self) -> str:
        """One sentence; "" when there is nothing. Read once a part."""


@runtime_checkable
class Remembers(Output, Protocol):
    """What an output may offer beside `emit`: after a crash it is given what it does not hold yet, and nothing twice."""

    def holds(self, sequence: int) -> bool:
        """Whether the inspection of this count is recorded.

        Raises:
            OutputError: nobody can say, with the reason.
        """


@runtime_checkable
class CatchesUp(Protocol):
    """What a record may offer whose refused inspections wait until its disk takes them."""

    @property
    def waiting(self) -> int:
        """Inspections that are still to be written."""

    def catch_up(self, limit_s: float) -> None:
        """Write what waits, for about so long [s]; called on an idle line."""


@runtime_checkable
class Queued(Protocol):
    """What an output says of the inspections that wait before it: in the background, or while its disk refuses."""

    dropped: int

    @property
    def waiting(self) -> int:
        """Inspections accepted and not yet dealt with."""


Told = Callable[[int, Verdict | None, str], None]
"""Called with acquisition, verdict and why, in whatever thread a result is made, and before with None as the acquisition is counted;
returns at once and raises nothing."""


@runtime_checkable
class Announces(Protocol):
    """What a PLC wire may offer: it says what it counts and each of its results before the PLC can see it, also those of its own."""

    def announce_to(self, told: Told) -> None:
        """Call `told` for each acquisition and each result from here on, just before it is shown."""


@runtime_checkable
class Served(Protocol):
    """What a wire may offer that the PLC connects to."""

    @property
    def clients(self) -> int:
        """How many are connected now."""

    @property
    def connections(self) -> int:
        """How often one has connected since the start."""


Note = Callable[[Action], None]
"""Takes a control action for the audit record, in whatever thread it happens; returns at once and raises nothing."""


def note_nothing(action: Action) -> None:
    """A `Note` where no audit record is kept: a wire or a loop by itself, in tests and trials."""


@runtime_checkable
class Audited(Protocol):
    """What a PLC wire may offer: it says who asked the station for what, and what became of it. Routine handshake traffic is no action."""

    def audit_to(self, note: Note) -> None:
        """Call `note` for each action from here on, and now for those that came since the wire was opened."""


Triggered = Callable[[int, int], None]
"""Called with acquisition and when its part was triggered (monotonic clock) [ns], in whatever thread hears of it; returns at once."""


@runtime_checkable
class AnnouncesTriggers(Protocol):
    """What a PLC wire may offer: it says each acquisition as it is counted, missed ones included. A reject gate needs it."""

    def triggers_to(self, triggered: Triggered) -> None:
        """Call `triggered` for each acquisition from here on, before any result of it."""


@runtime_checkable
class ShowsGate(Protocol):
    """What a PLC wire may offer: it shows the PLC when the reject gate is on."""

    def show_gate(self, shown: GateShown) -> None:
        """Show this from now on; called in the gate's thread, returns at once."""


@runtime_checkable
class FailsSafe(Protocol):
    """What a PLC wire may offer, where its outputs would stay as they are when the process ends beside what hangs."""

    def fail_safe(self) -> None:
        """Bring them into the state that says *not ready* and *not OK*, for good; called in any thread."""


@runtime_checkable
class TakesNotices(Protocol):
    """What a PLC wire may offer: it shows what a person should look at although the line runs. Ours do."""

    def notice(self, notices: Notices) -> None:
        """Show this from now on."""


@runtime_checkable
class Plc(Protocol):
    """An output that also listens. Its own thread keeps the deadline: it says FAULT while the engine is still busy."""

    def ready(self, is_ready: bool, reason: str = "") -> None:
        """Say whether the station can take a trigger now; `reason` is why not."""

    def poll(self, timeout_s: float) -> PlcRequest | None:
        """Wait for the next request of the PLC; None when there was none within `timeout_s` [s].

        Raises:
            PlcError: the wire is broken.
        """

    def begin(self, deadline_ns: int) -> int:
        """Tell the wire that the camera saw a part by itself.

        Args:
            deadline_ns: when the wire must say FAULT by itself (monotonic clock) [ns].

        Returns:
            The acquisition count to put into the inspection.
        """

    def exposed(self, acquisition: int) -> None:
        """Tell the PLC that this part has been exposed and may move."""

    def emit(self, inspection: Inspection) -> None:
        """Publish the verdict of `inspection.acquisition`; visible to the PLC when it returns.

        Raises:
            DeadlineMissed: the wire has already said FAULT for this acquisition.
            PlcError: the wire is broken.
        """

    def answer(self, request: PlcRequest, *, job: int, error: str = "") -> None:
        """Finish a job change: `job` is the one that runs now; `error` is why the wanted one does not.

        A request that this wire did not make (the station's at its start, another wire's) only names the job.
        """
