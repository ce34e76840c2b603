"""The record a running station keeps: whoever has something to say returns at once, a thread writes it.

Nobody on the line waits for the disk. On a full disk up to `QUEUE` actions wait, the alarm stands, and it is tried again every second; what
found the queue full is counted, and the count is written when there is room again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from edge_inspect.audit.chain import Chain
from edge_inspect.audit.challenges import ChallengeLook
from edge_inspect.audit.crowd import Crowd
from edge_inspect.audit.entry import Draft, Entry, draft_of, entry_of
from edge_inspect.audit.lines import Link
from edge_inspect.config import Audit
from edge_inspect.datatypes import Action, Deed, Outcome
from edge_inspect.outputs.disk import output_error
from edge_inspect.time_left import THE_END

AUDIT_FOLDER = "audit"
QUEUE = 10_000
BATCH = 500
AGAIN_S = 1.0
"""How often it is tried again, and how often it is looked at what others have done [s]."""
DRAIN_S = 2.0
Look = Callable[[], Iterable[Action]]
"""Looks for actions of other programs on this machine, in the record's thread."""

log = logging.getLogger(__name__)


class AuditRecord:
    """Takes actions from any thread.

    Attributes:
        dropped: actions that found the queue full since the start.
    """

    def __init__(self, chain: Chain, *, folder: Path, looks: Sequence[Look] = (), queue: int = QUEUE) -> None:
        """Start the thread; the folder is made by it, so that a full disk does not keep a station from starting."""
        self.dropped = 0
        self._chain = chain
        self._folder = folder
        self._looks = looks
        self._room = queue
        self._crowd = Crowd()
        self._waiting: deque[Draft] = deque()
        self._lost = 0
        self._trouble = ""
        self._changed = threading.Condition()
        self._stopping = False
        self._last: Link | None = None
        self._thread = threading.Thread(target=self._work, name="audit record", daemon=True)
        self._thread.start()

    @property
    def alarm(self) -> str:
        """Why nothing can be written now, or what is wrong with what stands there; "" while all is well."""
        if self._trouble:
            return f"{self._trouble}; {len(self._waiting)} actions wait, {self.dropped} dropped so far"
        if not self._thread.is_alive() and not self._stopping:
            return f"{self._folder}: nothing is recorded: its thread has ended by a defect; report the trace in the log and start again"
        if self._chain.broken:
            return f"{self._folder}: not as it was written ({self._chain.broken}); find out who changed it: edge-inspect verify --station"
        return ""

    def note(self, action: Action) -> None:
        """Take one action and return at once."""
        with self._changed:
            if self._crowd.lets_through(action, time.monotonic()):
                self._put(draft_of(action))
                self._changed.notify_all()

    def summary(self) -> dict[str, Any]:
        """What `status` shows: number and hash of the last entry on the disk, the entry itself, and what is not there yet."""
        last = self._last
        return {
            "entries": 0 if last is None else last.entry.number,
            "sha256": "" if last is None else last.sha256,
            "last": None if last is None else shown(last.entry),
            "waiting": len(self._waiting),
            "dropped": self.dropped,
        }

    def close(self, limit_s: float = DRAIN_S) -> None:
        """Write what waits, within `limit_s` [s]; what cannot be written goes to the log, line by line."""
        with self._changed:
            for draft in self._crowd.all():
                self._put(draft)
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(THE_END.at_most(limit_s))
        for draft in list(self._waiting):
            log.error("the audit record has no room for: %s", shown(entry_of(draft, number=1, previous="")))

    def _put(self, draft: Draft) -> None:
        """Under the lock. What was lost is told in the place where it is missing."""
        if len(self._waiting) < self._room and self._lost:
            self._waiting.append(_loss(self._lost))
            self._lost = 0
        if len(self._waiting) < self._room:
            self._waiting.append(draft)
        else:
            self._lost += 1
            self.dropped += 1

    # ---- in the thread ----

    def _work(self) -> None:
        self._write()
        while not self._stopping:
            with self._changed:
                self._changed.wait_for(lambda: (self._waiting and not self._trouble) or self._stopping, AGAIN_S)
            self._look()
            self._write()
        while self._waiting and self._write():
            pass
        self._chain.close()

    def _look(self) -> None:
        for look in self._looks:
            for action in look():
                self.note(action)
        with self._changed:
            for draft in self._crowd.due(time.monotonic()):
                self._put(draft)

    def _write(self) -> bool:
        """Write what waits, a batch at most; whether that went well."""
        batch = list(islice(self._waiting, BATCH))
        try:
            if batch:
                self._chain.append(batch)
            else:
                self._chain.take_up()
        except OSError as error:
            self._trouble = str(output_error(self._folder, "control actions cannot be recorded", error))
            return False
        with self._changed:
            for _ in batch:
                self._waiting.popleft()
            if self._lost and len(self._waiting) < self._room:
                self._waiting.append(_loss(self._lost))
                self._lost = 0
        self._trouble, self._last = "", self._chain.last
        return True


def shown(entry: Entry) -> dict[str, Any]:
    """An entry as programs and people read it: without the hash of the one before."""
    return entry.model_dump(mode="json", exclude_defaults=True, exclude={"previous"})


@contextmanager
def open_audit(data: Path, settings: Audit) -> Iterator[AuditRecord]:
    """Keep the record of a station in its data folder, until the end of the block."""
    folder = data / AUDIT_FOLDER
    chain = Chain(folder, rotate_bytes=int(settings.rotate_mb * 1e6), keep=settings.keep)
    record = AuditRecord(chain, folder=folder, looks=(ChallengeLook(data),))
    try:
        yield record
    finally:
        record.close()


def _loss(count: int) -> Draft:
    reason = "more had come than could wait for the disk; the times of those before and after say when"
    return draft_of(Action(deed=Deed.RECORD, outcome=Outcome.FAILED, subject=f"{count} actions not recorded", reason=reason), count)
