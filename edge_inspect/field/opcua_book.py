"""What a fake PLC of the wire `opcua` has asked for and been told, part by part: nothing lost, doubled or swapped goes unseen. No I/O.

A part is known by the name the PLC gave it (PartId), a result by the station's id of it. A result may be seen twice, as the event and in
the station's list: that is one result as long as both say the same.
"""

from __future__ import annotations

import time
from typing import Any

from edge_inspect.datatypes import Verdict
from edge_inspect.field.plc_ledger import Answer, Ledger, percentiles
from edge_inspect.plc.signals import RESULT_CODE, Trouble


class Book:
    """The parts of one PLC. `data` is a ResultReady event or a ResultDataType throughout.

    Attributes:
        answers: every result that was asked for, as they came.
        cycles: parts wanted.
        triggers: triggers wanted, those given by mistake and taken included.
        refused: triggers that the station refused.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.cycles = self.triggers = self.refused = 0
        self._doubled = self._swapped = self._unasked = 0
        self._asked_at: dict[str, float] = {}
        self._started: dict[str, str] = {}
        self._told: dict[str, Answer] = {}
        self._jobs: dict[str, str] = {}
        self._shown: dict[str, str] = {}
        self._heard: set[str] = set()

    def ask(self, part: str) -> None:
        """This part is being triggered; called again, the first time counts."""
        self._asked_at.setdefault(part, time.perf_counter())

    def withdraw(self, part: str) -> None:
        """Nothing is expected of this part any more; a result of it is one nobody asked for."""
        self._asked_at.pop(part, None)

    def start(self, part: str, job: str) -> None:
        """The station has taken the trigger, as this job."""
        self._started[part] = job
        self._swapped += self._jobs.get(part, job) != job

    def answer_of(self, part: str) -> Answer | None:
        """The result of a part; None as long as there is none."""
        return self._told.get(part)

    def leave_alone(self, data: Any) -> None:
        """A result that was there before."""
        self._shown[data.ResultId.Id] = _all_of(data)

    def note(self, data: Any, *, heard: bool = False) -> None:
        """A result was seen: `heard` as an event, which comes once, else in the list."""
        identity, shown = data.ResultId.Id, _all_of(data)
        if identity in self._shown:
            self._doubled += self._shown[identity] != shown or (heard and identity in self._heard)
        else:
            self._shown[identity] = shown
            self._count(data)
        if heard:
            self._heard.add(identity)

    def ledger(self) -> Ledger:
        """What it has counted so far. Nobody acknowledges a result that came as an event, so `overrun` means nothing here and is 0."""
        ok, ng, fault = (sum(answer.verdict is verdict for answer in self.answers) for verdict in (Verdict.OK, Verdict.NG, Verdict.FAULT))
        return Ledger(
            cycles=self.cycles,
            triggers=self.triggers,
            ok=ok,
            ng=ng,
            fault=fault,
            lost=self.triggers - len(self.answers),
            doubled=self._doubled,
            unasked=self._unasked,
            overrun=0,
            latency_ms=percentiles([1000 * answer.latency_s for answer in self.answers]),
            swapped=self._swapped,
            refused=self.refused,
        )

    def _count(self, data: Any) -> None:
        part, job = part_of(data), data.JobId.Id
        if part in self._asked_at:
            answer = _answer(data, time.perf_counter() - self._asked_at.pop(part))
            self.answers.append(answer)
            self._told[part], self._jobs[part] = answer, job
            self._swapped += self._started.get(part, job) != job
        elif part in self._told:
            self._doubled += 1
        else:
            self._unasked += 1


def part_of(data: Any) -> str:
    """What the PLC called the part; "" where it called it nothing."""
    return getattr(data.PartId, "Id", None) or ""


def _values(data: Any) -> list[Any]:
    """`ResultContent` in the order of docs/opcua.md."""
    return [getattr(one, "Value", one) for one in data.ResultContent or ()]


def _all_of(data: Any) -> str:
    return repr((data.JobId.Id, part_of(data), _values(data)))


def _answer(data: Any, latency_s: float) -> Answer:
    verdict, _, score, threshold, sequence, fault, region_count, regions, *_ = _values(data)
    left, top, right, bottom = (int(edge) for edge in regions[:4]) if regions else (0, 0, 0, 0)
    return Answer(
        acquisition=int(data.JobId.Id.rpartition("-A")[2]),
        code=RESULT_CODE[Verdict(verdict)],
        fault=Trouble(fault),
        score=score,
        threshold=threshold,
        region_count=region_count,
        box=(left, top, right, bottom),
        sequence=sequence,
        latency_s=latency_s,
    )
