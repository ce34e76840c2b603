"""Triggers, PLC, database and log held against each other: what is missing, doubled or different."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from edge_inspect.datatypes import Verdict
from edge_inspect.field.plc_ledger import Answer, counted_on
from edge_inspect.field.soak.setting import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What the PLC noted of one process of the station, and which records belong to it.

    Attributes:
        counted: acquisition of each trigger.
        raised: one more trigger was given that it was not seen to count.
        answers: what it has read.
        doubled: results it has read twice.
        unasked: results of triggers that it never gave.
        overrun: results that the station threw away, since nobody took them.
        last_sequence: records up to here are of this process or of one before.
        killed: it ended by SIGKILL: what it was working on nobody could read.
    """

    counted: Sequence[int]
    raised: bool
    answers: Sequence[Answer]
    doubled: int
    unasked: int
    overrun: int
    last_sequence: int
    killed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """How the books stand.

    Attributes:
        triggers: triggers that the station has counted.
        ok, ng, fault: results by verdict, as recorded.
        plc: results that the PLC has read.
        database: inspections in the database.
        log: lines in the log.
        overrun: results that the station threw away since the PLC was too slow.
        unread: results that nobody could read any more, since the station was killed.
        unnoted: triggers that the station was killed with before it had noted them: no result was made, no record stands.
        lost: triggers without a record, or without a result although somebody could have read it.
        doubled: results read or recorded more than once.
        differ: triggers of which PLC, database and log do not say the same.
        unasked: results or records without a trigger.
    """

    triggers: int
    ok: int
    ng: int
    fault: int
    plc: int
    database: int
    log: int
    overrun: int
    unread: int
    unnoted: int
    lost: int
    doubled: int
    differ: int
    unasked: int

    @property
    def closed(self) -> bool:
        """Whether every trigger has one result, everywhere the same."""
        return (
            not (self.unnoted or self.lost or self.doubled or self.differ or self.unasked)
            and self.triggers == self.ok + self.ng + self.fault == self.plc + self.overrun + self.unread == self.database == self.log
        )


@dataclass(slots=True)
class _Book:
    """Records by acquisition, of one process."""

    verdicts: dict[int, str] = field(default_factory=dict)
    doubled: int = 0


def balance(setting: Setting, lives: Sequence[Life]) -> Accounts:
    """Read database and log, and hold them against what the PLC noted."""
    rows, lines = list(_rows(setting.database)), list(_lines(setting.log))
    ends = [life.last_sequence for life in lives]
    begins = [life.counted[0] if life.counted else 1 for life in lives]
    in_database, in_log = _books(rows, ends, begins), _books(lines, ends, begins)
    verdicts = Counter(verdict for _, _, verdict in rows)
    sums: Counter[str] = Counter()
    for life, database, log in zip(lives, in_database, in_log, strict=True):
        sums.update(_of_life(life, database, log))
    return Accounts(
        ok=verdicts[Verdict.OK.value],
        ng=verdicts[Verdict.NG.value],
        fault=verdicts[Verdict.FAULT.value],
        plc=sum(len(life.answers) for life in lives),
        database=len(rows),
        log=len(lines),
        overrun=sum(life.overrun for life in lives),
        **{name: sums[name] for name in ("triggers", "unread", "unnoted", "lost", "doubled", "differ", "unasked")},
    )


def _of_life(life: Life, database: _Book, log: _Book) -> dict[str, int]:
    triggers = _triggers(life, database)
    place_of = _Unwrapped(triggers)
    read = {place_of(answer.acquisition, at): answer.verdict.value for at, answer in enumerate(life.answers)}
    unread = [trigger for trigger in triggers if trigger not in read]
    excused = max(0, len(unread) - life.overrun)
    unrecorded = [trigger for trigger in triggers if not (trigger in database.verdicts and trigger in log.verdicts)]
    unnoted = [trigger for trigger in unrecorded if life.killed and trigger not in read]
    everywhere = set(triggers) & set(database.verdicts) & set(log.verdicts)
    told = [{database.verdicts[one], log.verdicts[one], read.get(one, log.verdicts[one])} for one in everywhere]
    return {
        "triggers": len(triggers),
        "unread": excused - len(unnoted) if life.killed else 0,
        "unnoted": len(unnoted),
        "lost": len(unrecorded) - len(unnoted) + (0 if life.killed else excused),
        "doubled": life.doubled + database.doubled + log.doubled + len(life.answers) - len(read),
        "differ": sum(len(verdicts) > 1 for verdicts in told),
        "unasked": life.unasked + len((set(database.verdicts) | set(log.verdicts) | set(read)) - set(triggers)),
    }


def _triggers(life: Life, database: _Book) -> list[int]:
    """Each trigger of a life; a station that was killed may have recorded one that it was not seen to count."""
    triggers = list(counted_on(life.counted))
    unseen = triggers[-1] + 1 if triggers else 1
    return [*triggers, unseen] if life.killed and life.raised and unseen in database.verdicts else triggers


class _Unwrapped:
    """Finds the trigger of a result: the one of that number nearest to the one before."""

    def __init__(self, triggers: Sequence[int]) -> None:
        self._last = triggers[0] if triggers else 0

    def __call__(self, acquisition: int, _at: int) -> int:
        self._last = counted_on([self._last, acquisition])[1]
        return self._last


def _books(records: Sequence[tuple[int, int, str]], ends: Sequence[int], begins: Sequence[int]) -> list[_Book]:
    """The records of each process, whose acquisitions are counted on from its first trigger."""
    books = [_Book() for _ in ends]
    life, last, sequences = 0, begins[0], set()
    for sequence, acquisition, verdict in records:
        while life < len(ends) - 1 and sequence > ends[life]:
            life, last = life + 1, begins[life + 1]
        last = counted_on([last, acquisition])[1]
        doubled = last in books[life].verdicts or sequence in sequences
        books[life].doubled += doubled
        books[life].verdicts[last] = verdict
        sequences.add(sequence)
    return books


def _rows(path: Path) -> Iterator[tuple[int, int, str]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        yield from database.execute("SELECT sequence, acquisition, verdict FROM inspections ORDER BY sequence")


def _lines(folder: Path) -> list[tuple[int, int, str]]:
    found = []
    for path in folder.glob("*.jsonl"):
        with path.open(encoding="ascii") as file:
            found += [(line["sequence"], line["acquisition"], line["verdict"]) for line in map(json.loads, file)]
    return sorted(found)
