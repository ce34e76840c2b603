"""Any camera in a child process: an SDK that hangs or crashes takes the child with it, never the line.

A thread keeps the child alive: it starts it, asks every second whether it still answers, kills what does not, and opens it again for
ever. `grab` only talks to the child that is there, and never waits longer than it was asked to.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_inspect import errors
from edge_inspect.cameras.shared_frames import FrameMemory, Slot
from edge_inspect.child_process import BURIAL_S, ChildProcess
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError, EdgeInspectError, FrameLost
from edge_inspect.time_left import THE_END

# The station must be back within 3 s of the camera: the longest pause, and then the start of the child and of the SDK.
REOPEN_FIRST_S = 0.2
REOPEN_LONGEST_S = 1.0
PING_EVERY_S = 1.0
FAREWELL_S = 2.0
CLOSE_WITHIN_S = 30.0
SHARE = 0.5
"""Of the time that the end of the process has left: the records close after the camera."""
_LOOK_EVERY_S = 0.05
# The driver waits this much less than the line, or a fifth less: so its answer is there when the line's time is over.
_MARGIN_S = 0.02
_BURIAL_S = 0.5

_log = logging.getLogger(__name__)

Start = Callable[[FrameMemory], ChildProcess]
"""Starts a child that runs `isolated_child.serve_frames` and maps the memory; raises OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a child may take [s]: `open_s` for the camera to open, `answer_s` beyond the time a grab may wait."""

    open_s: float
    answer_s: float


@contextmanager
def open_isolated(start: Start, *, name: str, patience: Patience, follows: bool) -> Iterator[IsolatedCamera]:
    """Open a camera in a child process.

    Args:
        start: starts the child.
        name: the camera's name.
        patience: limits of the child.
        follows: every exposure is a part: a frame that comes late is still one, and an outage is told even when it is over. False
            where each grab is for one part: a late frame belongs to a part that is already a FAULT, and is thrown away.

    Raises:
        EdgeInspectError: what the camera itself says when it cannot be opened the first time. A child that crashes or hangs then is
            started again like later ones.
    """
    camera = IsolatedCamera(start, name=name, patience=patience, follows=follows)
    try:
        camera.wait_until_heard()
        yield camera
    finally:
        camera.close()


class IsolatedCamera:
    """The station's side; see `open_isolated`."""

    def __init__(self, start: Start, *, name: str, patience: Patience, follows: bool) -> None:
        self._start, self._patience, self._follows = start, patience, follows
        self._where = f"camera {name}"
        self._memory = FrameMemory()
        self._talk: _Talk | None = None
        self._opened = False
        self._refusal: EdgeInspectError | None = None
        self._trouble = f"{self._where}: is being opened"
        self._untold = self._away = ""
        self._next_try_s, self._pause_s, self._lost_s = 0.0, REOPEN_FIRST_S, 0.0
        self._ahead = self._last = -1
        self._restarts = -1
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep_open, name=self._where, daemon=True)
        self._keeper.start()

    @property
    def restarts(self) -> int:
        """How often the child was started again."""
        return self._restarts

    @property
    def pid(self) -> int:
        """Of the child; 0 where there is none now."""
        talk = self._talk
        return 0 if talk is None else talk.child.pid

    @property
    def away(self) -> str:
        """Why the camera is away now; "" when it is not."""
        return self._away if self._opened else self._trouble

    def grab(self, timeout_s: float) -> Frame | None:
        """As `protocols.Camera`; never waits longer, whatever the SDK does.

        Raises:
            FrameLost: a part was exposed but its frame is lost.
            CameraError: the camera is away, or the child hung or crashed and is started again.
        """
        until_s = time.monotonic() + timeout_s
        if not self._changed.acquire(timeout=timeout_s):
            raise CameraError(f"{self._where}: its process does not answer; it is looked after")
        try:
            talk = self._opened_talk(until_s)
            with self._losses(talk):
                answer = self._next_answer(talk, until_s)
            if answer is None and self._away:
                raise CameraError(self._away)  # nothing has been heard since that would end it
            return None if answer is None else self._taken(answer, talk)
        except CameraError:
            self._untold = ""
            raise
        finally:
            self._changed.release()

    def wait_until_heard(self) -> None:
        """Wait until the child has opened the camera, or failed once.

        Raises:
            EdgeInspectError: what the camera said when it could not be opened.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._opened or self._lost_s, self._patience.open_s)
            if self._refusal is not None:
                raise self._refusal

    def close(self) -> None:
        """End the child; nothing of it is left."""
        self._closing.set()
        self._keeper.join(THE_END.at_most(CLOSE_WITHIN_S, share=SHARE))
        if self._keeper.is_alive():
            _log.warning("%s: is still being opened, and left to the end of this process, with which the child ends", self._where)
            return
        if self._talk is not None:
            self._talk.child.close(THE_END.at_most(FAREWELL_S, share=SHARE), THE_END.at_most(BURIAL_S, share=SHARE))
        self._memory.close()

    # asking the child; the lock is held

    def _opened_talk(self, until_s: float) -> _Talk:
        self._changed.wait_for(lambda: self._opened, max(0.0, until_s - time.monotonic()))
        if self._untold and self._follows:
            raise CameraError(self._untold)
        if not self._opened or self._talk is None:
            raise CameraError(self._trouble)
        return self._talk

    def _next_answer(self, talk: _Talk, until_s: float) -> dict[str, Any] | None:
        late = talk.asked in {"grab", "put"}
        while True:
            if not talk.asked:
                talk.ask_frame(self._memory.take(), _less(until_s - time.monotonic()), self._patience.answer_s)
            answer = talk.answer(until_s)
            if answer is None:
                talk.refuse_overdue(time.monotonic())  # here too: a line that grabs all the time leaves the other thread no turn
                return None
            if "too_large" in answer:
                talk.ask_again(self._memory, answer["too_large"], self._patience.answer_s)
            elif "alive" in answer or (late and not (self._follows and answer)):
                late = False
                talk.give_back(self._memory)
            else:
                return answer

    def _taken(self, answer: dict[str, Any], talk: _Talk) -> Frame | None:
        self._pause_s = REOPEN_FIRST_S
        if "frame" not in answer:
            talk.give_back(self._memory)
        self._away = answer.get("away", "")
        if self._away:
            raise CameraError(self._away)
        if "lost" in answer:
            raise FrameLost(answer["lost"], sequence=self._counted(answer["sequence"]), part_id=answer["part_id"])
        if not answer:
            return None
        facts, slot = answer["frame"], talk.take_slot()
        return Frame(
            pixels=self._memory.frame(slot, tuple(facts["shape"])),
            sequence=self._counted(facts["sequence"]),
            exposed_ns=facts["exposed_ns"],
            taken_at=datetime.fromisoformat(facts["taken_at"]),
            camera=facts["camera"],
            part_id=facts["part_id"],
        )

    def _counted(self, sequence: int) -> int:
        """The child's count, set on behind that of the child before: opening a camera again loses no exposure by itself."""
        if self._ahead < 0:
            self._ahead = max(0, self._last + 1 - sequence) if self._last >= 0 else 0
        self._last = self._ahead + sequence
        return self._last

    # keeping the child alive; in its own thread

    def _keep_open(self) -> None:
        while not self._closing.wait(_LOOK_EVERY_S):
            with self._changed:
                talk = self._talk
                if talk is None:
                    self._begin()
                    continue
                with contextlib.suppress(CameraError), self._losses(talk):
                    self._look_after(talk)

    def _begin(self) -> None:
        if time.monotonic() < self._next_try_s:
            return
        self._restarts += 1
        try:
            self._talk = _Talk(self._start(self._memory), time.monotonic() + self._patience.open_s)
        except OSError as error:
            self._lost(f"{self._where}: its process cannot be started: {error.strerror}; check memory and process limits")

    def _look_after(self, talk: _Talk) -> None:
        """What came without being waited for, and what did not come in time."""
        now_s = time.monotonic()
        if not self._opened:
            self._hear_opening(talk, now_s)
        elif talk.child.gone:
            raise EOFError
        elif talk.asked == "ping":
            self._away = (talk.answer(now_s) or {}).get("away", self._away)
        elif not talk.asked and now_s - talk.heard_s > PING_EVERY_S:
            talk.ping(self._patience.answer_s)
        talk.refuse_overdue(now_s)

    def _hear_opening(self, talk: _Talk, now_s: float) -> None:
        answer = talk.answer(now_s)
        if answer is not None and "refused" in answer:
            error = getattr(errors, answer["error"])(answer["refused"])
            if self._refusal is None and not self._lost_s:
                self._refusal = error
            raise error
        if answer is not None:
            self._opened, self._trouble, self._away = True, "", answer["away"]
            if self._lost_s:
                _log.warning("%s: open again after %.1f s", self._where, now_s - self._lost_s)
                self._lost_s = 0.0
            self._changed.notify_all()

    @contextmanager
    def _losses(self, talk: _Talk) -> Iterator[None]:
        """A child that breaks off or does not answer in this block is killed, and the next one is due after a pause.

        Raises:
            CameraError: what became of it.
        """
        try:
            yield
        except (EOFError, BrokenPipeError):
            talk.child.bury(_BURIAL_S)
            self._drop(talk, f"{self._where}: its process ended by itself ({talk.child.ended}); it is started again")
        except _Overdue as overdue:
            self._drop(talk, f"{self._where}: its driver did not {overdue} and was killed; it is started again")
        except EdgeInspectError as error:
            self._drop(talk, str(error))

    def _drop(self, talk: _Talk, reason: str) -> None:
        talk.child.kill(_BURIAL_S)
        if talk.child.gone:
            talk.give_back(self._memory)  # else the driver may still write into it: the slot is lost
        talk.child.close(0, _BURIAL_S)
        self._talk, self._opened, self._ahead, self._away = None, False, -1, ""
        self._lost(reason)
        raise CameraError(reason)

    def _lost(self, reason: str) -> None:
        self._trouble = self._untold = reason
        self._next_try_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, REOPEN_LONGEST_S)
        if not self._lost_s:
            self._lost_s = time.monotonic()
            _log.warning("%s", reason)
        self._changed.notify_all()


def _less(left_s: float) -> float:
    return max(0.0, left_s - min(_MARGIN_S, left_s / 5))


class _Overdue(Exception):
    """The child did not do this in time."""


class _Talk:
    """One child: what it was asked last, until when it must answer, and the slot that it may write."""

    def __init__(self, child: ChildProcess, until_s: float) -> None:
        self.child = child
        self.asked, self._due_s, self._within = "open the camera", until_s, "within the time to open"
        self.heard_s = time.monotonic()
        self._slot: Slot | None = None

    def ask_frame(self, slot: Slot, timeout_s: float, patience_s: float) -> None:
        self._slot = slot
        self._ask("grab", timeout_s + patience_s, timeout_s=timeout_s, offset=slot.offset, size=slot.size)

    def ask_again(self, memory: FrameMemory, size: int, patience_s: float) -> None:
        """Have the frame that did not fit laid into a larger slot."""
        self.give_back(memory)
        self._slot = memory.take(size)
        self._ask("put", patience_s, offset=self._slot.offset, size=self._slot.size)

    def ping(self, patience_s: float) -> None:
        self._ask("ping", patience_s)

    def answer(self, until_s: float) -> dict[str, Any] | None:
        """The answer to what was asked; None when it did not come until then.

        Raises:
            EOFError: the child ended.
        """
        line = self.child.line(until_s)
        if line is None:
            return None
        self.asked, self.heard_s = "", time.monotonic()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def refuse_overdue(self, now_s: float) -> None:
        if self.asked and now_s > self._due_s:
            raise _Overdue(f"{'answer' if self.asked != 'open the camera' else self.asked} {self._within}")

    def take_slot(self) -> Slot:
        """The slot with the frame; from now on the frame's."""
        slot, self._slot = self._slot, None
        if slot is None:
            raise EOFError
        return slot

    def give_back(self, memory: FrameMemory) -> None:
        if self._slot is not None:
            memory.give_back(self._slot)
            self._slot = None

    def _ask(self, what: str, within_s: float, **more: Any) -> None:
        self.child.tell(json.dumps({"do": what, **more}).encode() + b"\n")
        self.asked, self._due_s, self._within = what, time.monotonic() + within_s, f"within {within_s:.1f} s"
