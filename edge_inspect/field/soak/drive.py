"""The PLC's side of a soak: a part every so often, in the manner that the rig asks for, and never a result left lying."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from edge_inspect.errors import PlcError
from edge_inspect.field.fake_plc import FakePlc, Misbehaviour
from edge_inspect.field.soak.accounts import Life
from edge_inspect.field.soak.faults import Rig
from edge_inspect.outputs.history import last_sequence

AGAIN_S = 0.05
FOLLOW_S = 0.005
"""A usual cycle of a PLC [s]."""
FROZEN_S = 0.7
GIVE_UP_S = 60.0
ANSWER_S = 5.0

_MISBEHAVIOUR = {"cut": Misbehaviour.DISCONNECT, "hasty": Misbehaviour.DOUBLE_TRIGGER}


class Drive:
    """Gives triggers, or follows a camera that sees its parts by itself."""

    def __init__(self, rig: Rig, *, follows: bool) -> None:
        self._rig, self.follows = rig, follows
        self._silent = False
        self._plc: FakePlc | None = None
        self._life = 0
        self.lives: list[Life] = []

    @property
    def latencies_s(self) -> list[float]:
        """From trigger to result of all that the PLC has read [s]."""
        now = [] if self._plc is None else self._plc.answers
        return [answer.latency_s for life in self.lives for answer in life.answers] + [answer.latency_s for answer in now]

    @property
    def parts(self) -> int:
        """Triggers so far."""
        plc = self._plc  # another thread asks, too
        return sum(len(life.counted) for life in self.lives) + (0 if plc is None else len(plc.counted))

    @contextmanager
    def connected(self) -> Iterator[Drive]:
        """Connect, and close the books at the end.

        Raises:
            PlcError: no station answers.
        """
        self._connect()
        try:
            yield self
        finally:
            self._close_books(killed=False)

    def part(self) -> None:
        """One part, or one look at a camera's; whatever goes wrong is settled before the next.

        Raises:
            PlcError: the station did not come back.
        """
        try:
            if self._rig.manner == "away":
                self.plc.hang_up()
                time.sleep(AGAIN_S)
            elif self.follows:
                self.plc.status()
                time.sleep(FOLLOW_S)
            else:
                self._trigger_one()
        except PlcError:
            self._settle()

    def finish(self) -> None:
        """Take everything that is still owed.

        Raises:
            PlcError: it did not come.
        """
        self._settle()

    @property
    def plc(self) -> FakePlc:
        """The PLC that is connected."""
        if self._plc is None:
            raise PlcError("soak: the PLC is not connected")
        return self._plc

    def _trigger_one(self) -> None:
        if self._rig.job is not None:
            self.plc.ask_for_job(self._rig.job)
            self._rig.job = None
        self.plc.behave(self._misbehaviour())
        acquisition = self.plc.start_one()
        if self._rig.manner == "frozen":
            time.sleep(FROZEN_S)
        self.plc.finish_one(acquisition)
        self.plc.job_is_answered()

    def _misbehaviour(self) -> frozenset[Misbehaviour]:
        """A result that was not acknowledged is acknowledged with the next part: two in a row would never be shown."""
        self._silent = self._rig.manner == "silent" and not self._silent
        one = Misbehaviour.NO_ACK if self._silent else _MISBEHAVIOUR.get(self._rig.manner)
        return frozenset() if one is None else frozenset({one})

    def _settle(self) -> None:
        until = time.monotonic() + GIVE_UP_S
        while True:
            try:
                self._rig.up.wait(GIVE_UP_S)
                if self._plc is not None and self._rig.station.life != self._life:
                    self._close_books(killed=True)
                if self._plc is None:
                    self._connect()
                self.plc.behave(frozenset())
                self.plc.settle()
                return
            except PlcError:
                if time.monotonic() > until:
                    raise
                time.sleep(AGAIN_S)

    def _connect(self) -> None:
        self._life = self._rig.station.life
        plc = FakePlc(port=self._rig.setting.port, answer_timeout_s=ANSWER_S, follows=self.follows)
        self._plc = plc.__enter__()

    def _close_books(self, *, killed: bool) -> None:
        """All records so far are of this process: the next one has seen no part yet."""
        plc, self._plc = self.plc, None
        ledger = plc.ledger()
        plc.__exit__(None, None, None)
        life = Life(
            counted=plc.counted,
            raised=plc.raised,
            answers=plc.answers,
            doubled=ledger.doubled,
            unasked=ledger.unasked,
            overrun=0 if killed else ledger.overrun,
            last_sequence=last_sequence(self._rig.setting.database),
            killed=killed,
        )
        self.lives.append(life)
