"""Attribute agreement study: how a station's verdicts on parts shown several times agree with what is known of them.

Source: AIAG, Measurement Systems Analysis (4th edition), chapter III section C, as secondary pages give it; the manual was not read.
A FAULT is no decision: it is counted apart, makes its part neither right nor repeated, and stands in no rate of decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from edge_inspect.datatypes import Verdict
from edge_inspect.errors import ConfigError
from edge_inspect.thresholds.order_statistics import CONFIDENCE, exact_interval


class Standing(str, Enum):
    """What the customary limits say."""

    ACCEPTED = "accepted"
    MARGINAL = "marginal"
    NOT_ACCEPTED = "not accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A customary limit: up to `accepted` good, up to `marginal` to be argued; at least so much where `at_least`, else at most."""

    accepted: float
    marginal: float
    at_least: bool

    def standing(self, value: float) -> Standing:
        """Where a value stands."""
        if self._keeps(value, self.accepted):
            return Standing.ACCEPTED
        return Standing.MARGINAL if self._keeps(value, self.marginal) else Standing.NOT_ACCEPTED

    def carried(self, low: float, high: float) -> bool:
        """Whether the worse end of an interval is accepted, too."""
        return self._keeps(low if self.at_least else high, self.accepted)

    def _keeps(self, value: float, limit: float) -> bool:
        return value >= limit if self.at_least else value <= limit


LIMITS: Mapping[str, Limit] = {
    "effectiveness": Limit(accepted=0.90, marginal=0.80, at_least=True),
    "miss rate": Limit(accepted=0.02, marginal=0.05, at_least=False),
    "false alarm rate": Limit(accepted=0.05, marginal=0.10, at_least=False),
    "kappa": Limit(accepted=0.75, marginal=0.40, at_least=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """One part shown once.

    Attributes:
        part: its name.
        good: what is known of it.
        trial: which showing of it.
        verdict: what the station said.
        reason: the station's own words, "" where none are known.
    """

    part: str
    good: bool
    trial: str
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of the study.

    Attributes:
        name: as in `LIMITS` where a limit is customary.
        value: a share, or kappa (-1 to 1); None where nothing was shown that it could be taken from.
        low, high: where the true one lies with 95 % confidence.
        seen, of: what was counted; 0 and 0 for kappa.
        standing: by the customary limit; None where there is none.
        carried: whether the whole interval is accepted: then it is no luck of a small sample.
    """

    name: str
    value: float | None
    low: float
    high: float
    seen: int
    of: int
    standing: Standing | None
    carried: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """An attribute agreement study.

    Attributes:
        presentations: every showing.
        figures: those with a limit first, then those without.
        counts: decided showings as (caught, missed, passed, rejected): defective NG and OK, good OK and NG.
        faults: showings that ended without a decision.
        told: what a person should know of it.
    """

    presentations: tuple[Presentation, ...]
    figures: tuple[Figure, ...]
    counts: tuple[int, int, int, int]
    faults: int
    told: tuple[str, ...]

    @property
    def standing(self) -> Standing:
        """The worst of the figures that have a limit."""
        found = [figure.standing for figure in self.figures]
        return next((worst for worst in (Standing.NOT_ACCEPTED, Standing.MARGINAL) if worst in found), Standing.ACCEPTED)

    @property
    def wrong(self) -> tuple[tuple[Presentation, ...], ...]:
        """The showings of every part that was not decided rightly every time."""
        return tuple(shown for shown in by_part(self.presentations).values() if not _right(shown))


def agreement(presentations: Sequence[Presentation], *, told: Iterable[str] = ()) -> Study:
    """Take every figure of the study.

    Raises:
        ConfigError: good or defective parts are missing, or a part is called both, or one of its trials stands there twice.
    """
    parts = by_part(presentations)
    _refuse_no_study(parts)
    decided = [one for one in presentations if one.verdict is not Verdict.FAULT]
    counts = tuple(sum((one.good, one.verdict) == kind for one in decided) for kind in _KINDS)
    caught, missed, passed, rejected = counts
    again = [shown for shown in parts.values() if len(shown) > 1]
    good = [shown for shown in parts.values() if shown[0].good]
    bad = [shown for shown in parts.values() if not shown[0].good]
    figures = (
        _share("effectiveness", sum(map(_right, parts.values())), len(parts)),
        _share("miss rate", missed, caught + missed),
        _share("false alarm rate", rejected, passed + rejected),
        _kappa_figure(caught, missed, passed, rejected),
        _share("repeatability", sum(map(_repeated, again)), len(again)),
        _share("defective parts passed at least once", sum(_ever(shown, Verdict.OK) for shown in bad), len(bad)),
        _share("good parts rejected at least once", sum(_ever(shown, Verdict.NG) for shown in good), len(good)),
    )
    return Study(
        presentations=tuple(presentations),
        figures=figures,
        counts=(caught, missed, passed, rejected),
        faults=len(presentations) - len(decided),
        told=(*told, *_to_know(parts)),
    )


def by_part(presentations: Iterable[Presentation]) -> dict[str, tuple[Presentation, ...]]:
    """The showings of each part, in order."""
    found: dict[str, tuple[Presentation, ...]] = {}
    for one in presentations:
        found[one.part] = (*found.get(one.part, ()), one)
    return found


def kappa(*, bad_share: float, miss: float, false_alarm: float) -> float:
    """Cohen's kappa between verdict and reference, from the share of defective showings (0 to 1, neither) and both error rates.

    Source: Cohen 1960, A coefficient of agreement for nominal scales; written in these three, in which it falls with either error.
    """
    called_bad = bad_share * (1 - miss) + (1 - bad_share) * false_alarm
    by_chance = bad_share * called_bad + (1 - bad_share) * (1 - called_bad)
    agreed = bad_share * (1 - miss) + (1 - bad_share) * (1 - false_alarm)
    return (agreed - by_chance) / (1 - by_chance)


_KINDS = ((False, Verdict.NG), (False, Verdict.OK), (True, Verdict.OK), (True, Verdict.NG))


def _kappa_figure(caught: int, missed: int, passed: int, rejected: int) -> Figure:
    """Kappa falls with both error rates, so both intervals' corners bound it; each at half the doubt, together they hold."""
    bad, good = caught + missed, passed + rejected
    if not (bad and good):
        return _figure("kappa", None, (-1.0, 1.0))
    half = 1 - (1 - CONFIDENCE) / 2
    misses, alarms = exact_interval(missed, bad, half), exact_interval(rejected, good, half)
    share = bad / (bad + good)
    low, high = (kappa(bad_share=share, miss=misses[end], false_alarm=alarms[end]) for end in (1, 0))
    return _figure("kappa", kappa(bad_share=share, miss=missed / bad, false_alarm=rejected / good), (low, high))


def _share(name: str, seen: int, of: int) -> Figure:
    return _figure(name, seen / of if of else None, exact_interval(seen, of), seen=seen, of=of)


def _figure(name: str, value: float | None, interval: tuple[float, float], *, seen: int = 0, of: int = 0) -> Figure:
    low, high = interval
    limit = LIMITS.get(name)
    standing = None if limit is None else Standing.NOT_ACCEPTED if value is None else limit.standing(value)
    carried = limit is not None and limit.carried(low, high)
    return Figure(name=name, value=value, low=low, high=high, seen=seen, of=of, standing=standing, carried=carried)


def _right(shown: Sequence[Presentation]) -> bool:
    """Whether every showing of a part got the verdict it should have."""
    return all(one.verdict is (Verdict.OK if one.good else Verdict.NG) for one in shown)


def _repeated(shown: Sequence[Presentation]) -> bool:
    """Whether every showing of a part got the same decision."""
    return {one.verdict for one in shown} in ({Verdict.OK}, {Verdict.NG})


def _ever(shown: Sequence[Presentation], verdict: Verdict) -> bool:
    return any(one.verdict is verdict for one in shown)


def _refuse_no_study(parts: Mapping[str, Sequence[Presentation]]) -> None:
    for name, shown in parts.items():
        if len({one.good for one in shown}) > 1:
            raise ConfigError(f"part {name}: is called good and defective; correct its reference")
        if len({one.trial for one in shown}) < len(shown):
            raise ConfigError(f"part {name}: a trial of it stands there twice; every showing needs a trial of its own")
    if len({shown[0].good for shown in parts.values()}) < 2:
        raise ConfigError("a study needs good parts and defective ones, got only one kind; add some of the other")


def _to_know(parts: Mapping[str, Sequence[Presentation]]) -> Iterable[str]:
    trials = {len(shown) for shown in parts.values()}
    if trials == {1}:
        yield "every part was shown once: nothing is known of repeatability; show each two or three times, laid down anew"
    elif len(trials) > 1:
        yield f"parts were shown {min(trials)} to {max(trials)} times: those shown more often weigh more in the rates"
