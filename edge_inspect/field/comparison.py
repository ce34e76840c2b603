"""Two runs held against each other: ratios with what the noise leaves of them, and no claim where it leaves nothing.

Frames of one round are alike, rounds are not: whole rounds are drawn again (a bootstrap over clusters), so that a neighbour who was
busy for a while widens the interval. On one machine the ratio is also taken against the yardstick timed beside every round.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_inspect.errors import ConfigError

DRAWS = 2_000
CONFIDENCE = 0.95
FEWEST_ROUNDS = 4
"""Fewer rounds say nothing about how far rounds differ."""

IDENTITY = ("model", "runtime", "precision", "threads", "frame")
"""What two rows must share to be the same measurement."""

Rounds = Sequence[Sequence[float]]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How much longer the second run took.

    Attributes:
        what: `frame_to_verdict p50`, `engine p99`, ...
        ratio: of the second run over the first.
        low, high: the interval that holds it with 95 % confidence.
        adjusted: low and high after dividing by the yardstick's own ratio; None between two kinds of processor.
        claim: `faster`, `slower`, or why nothing can be claimed.
    """

    what: str
    ratio: float
    low: float
    high: float
    adjusted: tuple[float, float] | None
    claim: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two rows of the same measurement.

    Attributes:
        row: model, runtime, precision, threads and frame.
        ratios: p50 and p99 of frame to verdict and of the engine.
        notes: what else differs between the runs.
    """

    row: str
    ratios: tuple[Ratio, ...]
    notes: tuple[str, ...]


def load_report(path: Path) -> dict[str, Any]:
    """Read what `edge-inspect bench --json` printed.

    Raises:
        ConfigError: it cannot be read, or is no such report, or of a version that kept no rounds.
    """
    try:
        report: dict[str, Any] = json.loads(path.read_bytes())
        rows = rows_of(report)
        known = all("rounds_ms" in row and "yardstick_ms" in row for row in rows) and "device" in report
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: cannot be read as a report: {error}; write one with `edge-inspect bench --json`") from error
    if not known:
        raise ConfigError(
            f"{path}: holds no rounds or no device, so noise cannot be judged; measure again with `edge-inspect bench --json`"
        )
    return report


def rows_of(report: Mapping[str, Any]) -> list[Row]:
    """The rows of a report: several, or the report itself where only one thing was measured."""
    return list(report["rows"]) if "rows" in report else [report]


def compare_reports(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Comparison]:
    """Hold every row of the second report against that of the first which measured the same.

    Raises:
        ConfigError: no row of one is in the other.
    """
    before = {_identity(row): row for row in rows_of(first)}
    pairs = [(before[_identity(row)], row) for row in rows_of(second) if _identity(row) in before]
    if not pairs and len(before) == len(rows_of(second)) == 1:
        pairs = [(rows_of(first)[0], rows_of(second)[0])]
    if not pairs:
        raise ConfigError(f"the reports share no row: the first has {_listed(first)}, the second {_listed(second)}")
    same = first["device"].get("cpu") == second["device"].get("cpu")
    notes = tuple(_differing(first["device"], second["device"]))
    return [_compared(old, new, same, notes) for old, new in pairs]


def compare_turns(what: str, before: Rounds, after: Rounds) -> Ratio:
    """The medians of two works that one program timed in turns: a busy neighbour hits both, so no yardstick is needed.

    Args:
        what: named in the ratio.
        before: times of each round of the first work, in any unit.
        after: of the second one, in the same.
    """
    return _ratio(what, _Rounds.in_turns(before), _Rounds.in_turns(after), 50, same_machine=False)


def slower_rows(comparisons: Sequence[Comparison], *, tolerance: float) -> list[str]:
    """Sentences for what became slower by more than `tolerance` (0.05 is 5 %), beyond what noise explains."""
    return [
        f"{comparison.row}: {ratio.what} takes {ratio.ratio:.2f} times as long (at least {_least(ratio):.2f} times)"
        for comparison in comparisons
        for ratio in comparison.ratios
        if ratio.what.endswith("p50") and ratio.claim == "slower" and _least(ratio) > 1 + tolerance
    ]


def _least(ratio: Ratio) -> float:
    return ratio.low if ratio.adjusted is None else min(ratio.low, ratio.adjusted[0])


def _compared(old: Row, new: Row, same_machine: bool, notes: tuple[str, ...]) -> Comparison:
    own = [f"{key}: {old.get(key)} and {new.get(key)}" for key in (*IDENTITY, "engine_sha256") if old.get(key) != new.get(key)]
    ratios = [
        _ratio(f"{what} p{rank}", _Rounds.of(old, what), _Rounds.of(new, what), rank, same_machine)
        for what in ("frame_to_verdict", "engine")
        for rank in (50, 99)
    ]
    return Comparison(row=_name(new), ratios=tuple(ratios), notes=(*own, *notes))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rounds:
    """What was measured in each round [ms], and the yardstick beside it [ms]."""

    values: list[npt.NDArray[np.float64]]
    yardstick: npt.NDArray[np.float64]

    @classmethod
    def of(cls, row: Row, what: str) -> _Rounds:
        rounds: Rounds = row["rounds_ms"][what]
        return cls(values=[np.asarray(values, np.float64) for values in rounds], yardstick=np.asarray(row["yardstick_ms"], np.float64))

    @classmethod
    def in_turns(cls, rounds: Rounds) -> _Rounds:
        return cls(values=[np.asarray(values, np.float64) for values in rounds], yardstick=np.ones(len(rounds)))

    def drawn(self, rank: int, random: np.random.Generator) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """A rank of the values and the median of the yardstick, each of `DRAWS` draws of rounds with replacement."""
        chosen = random.integers(0, len(self.values), (DRAWS, len(self.values)))
        ranks = [np.percentile(np.concatenate([self.values[index] for index in draw]), rank) for draw in chosen]
        return np.array(ranks), np.median(self.yardstick[chosen], axis=1)


def _ratio(what: str, old: _Rounds, new: _Rounds, rank: int, same_machine: bool) -> Ratio:
    point = float(np.percentile(np.concatenate(new.values), rank) / np.percentile(np.concatenate(old.values), rank))
    random = np.random.default_rng(0)
    (old_ranks, old_yards), (new_ranks, new_yards) = old.drawn(rank, random), new.drawn(rank, random)
    low, high = _interval(new_ranks / old_ranks)
    adjusted = _interval(new_ranks / old_ranks * old_yards / new_yards) if same_machine else None
    rounds = min(len(old.values), len(new.values))
    return Ratio(what=what, ratio=round(point, 4), low=low, high=high, adjusted=adjusted, claim=_claim(low, high, adjusted, rounds))


def _interval(ratios: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(ratios, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return round(float(low), 4), round(float(high), 4)


def _claim(low: float, high: float, adjusted: tuple[float, float] | None, rounds: int) -> str:
    if rounds < FEWEST_ROUNDS:
        return f"no claim: {rounds} round{'' if rounds == 1 else 's'}, {FEWEST_ROUNDS} or more are needed to judge the noise"
    verdicts = {_side(*interval) for interval in ((low, high), adjusted) if interval is not None}
    if verdicts in ({"slower"}, {"faster"}):
        return verdicts.pop()
    if verdicts == {""}:
        return f"no claim: within the noise, {100 * (high / low - 1):.0f} % wide"
    return "no claim: the machine itself was not equally fast in both runs (its yardstick differs as much)"


def _side(low: float, high: float) -> str:
    return "slower" if low > 1 else "faster" if high < 1 else ""


def _identity(row: Row) -> str:
    return json.dumps([row.get(key) for key in IDENTITY], sort_keys=True)


def _name(row: Row) -> str:
    frame = row.get("frame") or {}
    threads = row.get("threads")
    words = (row.get("model"), row.get("precision"), row.get("runtime"), f"{threads or 'all'} threads" if threads != 1 else "1 thread")
    return f"{' '.join(str(word) for word in words)}, {frame.get('width')} x {frame.get('height')} x {frame.get('channels')} px"


def _listed(report: Mapping[str, Any]) -> str:
    return "; ".join(_name(row) for row in rows_of(report))


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    """What of the machines differs, but for what always does."""
    for key in ("cpu", "board", "usable_cores", "governor", "power_mode", "clock_max_mhz", "gpu", "kernel", "python", "packages"):
        if first.get(key) != second.get(key):
            yield f"{key}: {first.get(key)} and {second.get(key)}"
