"""The next job, opened beside the running one: its engine is verified, accepted and warm before anything is given up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from edge_inspect.datatypes import PlcRequest
from edge_inspect.errors import EdgeInspectError
from edge_inspect.freed_memory import give_back_freed_memory
from edge_inspect.inspector import Inspector
from edge_inspect.time_left import THE_END

LEAVE_WITHIN_S = 10.0
"""Longest wait at the end for an engine that is being opened or closed beside the line [s]."""

SETTLED_S = 1.0
"""So long after an engine was closed no other thread should hold anything of it any more [s]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NextJob:
    """What became of opening a job.

    Attributes:
        request: who asked for it.
        inspector: ready to serve; None where it could not be opened.
        opened: closes the inspector.
        error: why it could not be opened, else "".
    """

    request: PlcRequest
    inspector: Inspector | None
    opened: ExitStack
    error: str = ""


class JobChange:
    """Opens one job at a time in a thread. Everything but the thread itself is called by the line's thread.

    Args:
        open_job: gives the inspector of a job.
        beside: open in a thread; False opens in the caller's, for runtimes that belong to the thread that opened them.
    """

    def __init__(self, open_job: Callable[[int], AbstractContextManager[Inspector]], *, beside: bool = True) -> None:
        self._open_job = open_job
        self._beside = beside
        self._under_way = False
        self._working: list[threading.Thread] = []
        self._ready: NextJob | None = None
        self._ending = threading.Event()

    @property
    def under_way(self) -> bool:
        """Whether a job is being opened or waits to be taken."""
        return self._under_way

    def start(self, request: PlcRequest) -> None:
        """Begin to open the job that `request` asks for; it is there when `take` gives it."""
        self._under_way = True
        self._run(lambda: self._open(request))

    def take(self) -> NextJob | None:
        """The job that was asked for, once it is ready or has failed; None until then."""
        if self._ready is None:
            return None
        ready, self._ready, self._under_way = self._ready, None, False
        return ready

    def give_up(self, opened: ExitStack) -> None:
        """Close the inspector that no longer serves, beside the line, and give back what it held."""
        self._run(lambda: self._close_and_trim(opened))

    def close(self) -> None:
        """Wait for what is being opened or closed, and close what nobody took."""
        self._ending.set()
        for thread in self._working:
            thread.join(THE_END.at_most(LEAVE_WITHIN_S))
        if (left := self.take()) is not None:
            left.opened.close()

    def _open(self, request: PlcRequest) -> None:
        opened = ExitStack()
        try:
            inspector = opened.enter_context(self._open_job(request.job))
        except EdgeInspectError as error:
            self._ready = NextJob(request=request, inspector=None, opened=opened, error=str(error))
        except Exception as error:  # a defect in a runtime must not leave the PLC waiting for ever
            self._ready = NextJob(
                request=request, inspector=None, opened=opened, error=f"job {request.job}: the engine has a defect: {error!r}"
            )
            raise
        else:
            self._ready = NextJob(request=request, inspector=inspector, opened=opened)

    def _run(self, work: Callable[[], None]) -> None:
        if not self._beside:
            work()
            return
        thread = threading.Thread(target=work, name="job change", daemon=True)
        thread.start()
        self._working = [*(other for other in self._working if other.is_alive()), thread]

    def _close_and_trim(self, opened: ExitStack) -> None:
        opened.close()
        if self._beside:
            self._ending.wait(SETTLED_S)
        give_back_freed_memory()
