"""Do calibrated thresholds keep their promises? Random splits of real good scores, and every rule's recall on real defects.

No picture is looked at here: scores come in. The model was fitted on none of the parts whose scores are split.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_inspect.thresholds.order_statistics import CONFIDENCE, cut, parts_needed
from edge_inspect.thresholds.proposing import RULES, Proposal, Scores, Wanted
from edge_inspect.thresholds.separation import PENALTY, fit_svm
from edge_inspect.thresholds.tail import fit_tail

SPLITS = 200
DEFECT_SPLITS = 20
WANTED = (0.01, 0.02, 0.05, 0.10)
CONFIDENCES = (0.95, 0.90)
PROMISED = 0.01
"""Wanted in the recall table; where the good parts do not carry it, the page says so."""

Numbers = npt.NDArray[np.float64]
Halves = Sequence[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]
"""Indices of the parts that calibrate, and of the others, for each split."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """Parts of one set: image score and mean of the map, (n,) each, engine units."""

    scores: Numbers
    means: Numbers

    def at(self, chosen: npt.NDArray[np.intp]) -> Measured:
        """These of them."""
        return Measured(scores=self.scores[chosen], means=self.means[chosen])


def coverage_rows(name: str, good: Numbers, *, splits: int = SPLITS, tail_splits: int = SPLITS, seed: int = 0) -> Iterator[dict[str, Any]]:
    """How often the realised false-reject rate exceeds what was promised, over random halves of one set's good scores (n,).

    `exceed_share` takes the whole set for the population that the half was drawn from, so that the realised rate is known exactly.
    `exceed_share_unseen` counts in the other half alone: so few parts exceed a rate by chance more often than the rate itself is
    exceeded, and `chance_unseen` is how often they do where the promise holds exactly (order statistics of halves, no model).
    """
    halves = _halves(len(good), splits, seed)
    for confidence in CONFIDENCES:
        for wanted in WANTED:
            yield _quantile_row(name, good, halves, wanted, confidence)
    for wanted in WANTED[:2] if tail_splits else ():
        yield _tail_row(name, good, halves[:tail_splits], wanted, CONFIDENCE)


def _halves(count: int, splits: int, seed: int) -> Halves:
    random = np.random.default_rng(seed)
    orders = [random.permutation(count) for _ in range(splits)]
    return [(order[: count // 2], order[count // 2 :]) for order in orders]


def _quantile_row(name: str, good: Numbers, halves: Halves, wanted: float, confidence: float) -> dict[str, Any]:
    """What is promised is what the half carries: the tool refuses to promise less than that."""
    cuts = [cut(good[seen].tolist(), wanted=wanted, confidence=confidence) for seen, _ in halves]
    promised = cuts[0].bound
    thresholds = np.array([one.threshold for one in cuts])
    row = _row(good, halves, thresholds, promised)
    unseen = len(halves[0][1])
    chance = chance_to_exceed(cuts[0].rank, len(halves[0][0]), unseen, promised)
    head = {"set": name, "rule": "quantile", "promised_rate": round(promised, 5), "confidence": confidence}
    return {
        **head,
        "promises": True,
        **row,
        "wanted_rate": wanted,
        "carried": cuts[0].carried,
        "rank": cuts[0].rank,
        "chance_unseen": round(chance, 4),
    }


def _tail_row(name: str, good: Numbers, halves: Halves, wanted: float, confidence: float) -> dict[str, Any]:
    """The tail promises nothing (`promises`); `promised_rate` is what it aims at, and it is held against that.

    Halves whose tail does not fit are refused and left out.
    """
    tails = [(half, fit_tail(good[half[0]].tolist(), wanted=wanted, confidence=confidence)) for half in halves]
    fitting = [(half, tail.threshold) for half, tail in tails if tail.fits]
    thresholds = np.array([threshold for _, threshold in fitting])
    row = _row(good, [half for half, _ in fitting], thresholds, wanted)
    head = {"set": name, "rule": "tail", "promised_rate": wanted, "confidence": confidence}
    return {**head, "promises": False, **row, "wanted_rate": wanted, "carried": False, "refused_splits": len(halves) - len(fitting)}


def _row(good: Numbers, halves: Halves, thresholds: Numbers, promised: float) -> dict[str, Any]:
    """What is realised in each split."""
    everywhere = np.array([(good > threshold).mean() for threshold in thresholds])
    unseen = np.array([(good[rest] > threshold).mean() for (_, rest), threshold in zip(halves, thresholds, strict=True)])
    return {
        "splits": len(halves),
        "exceed_share": round(float((everywhere > promised).mean()), 4) if len(halves) else None,
        "exceed_share_unseen": round(float((unseen > promised).mean()), 4) if len(halves) else None,
        "mean_rate": round(float(unseen.mean()), 5) if len(halves) else None,
        "calibrated_on": len(good) // 2,
        "good": len(good),
    }


def chance_to_exceed(rank: int, seen: int, unseen: int, rate: float) -> float:
    """Chance that more than this rate of `unseen` parts lie above the rank-th largest of `seen` ones, all drawn alike.

    Source: the number of them is negative hypergeometric: David and Nagaraja 2003, section 7.2 (exceedances; Gumbel 1958).
    """
    most = math.floor(rate * unseen + 1e-12)
    total = math.comb(seen + unseen, seen)
    within = sum(math.comb(above + rank - 1, above) * math.comb(unseen - above + seen - rank, unseen - above) for above in range(most + 1))
    return 1 - within / total


def recall_rows(name: str, good: Measured, test_good: Measured, defective: Measured, *, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Recall and false rejects of every rule at a wanted 1 %, mean over random halves of the defective parts.

    Good parts calibrate, the set's test parts measure; one half of the defects may be weighed by rules that need them, recall is that of
    the other half.
    """
    random = np.random.default_rng(seed)
    orders = [random.permutation(len(defective.scores)) for _ in range(DEFECT_SPLITS)]
    halves = [(order[: len(order) // 2], order[len(order) // 2 :]) for order in orders]
    for rule in RULES:
        told = [_told(rule, good, test_good, defective.at(known), defective.at(unknown)) for known, unknown in halves]
        yield {"set": name, "rule": rule, "wanted_rate": PROMISED, **_mean(told), "good": len(good.scores)}
    told = [_told_by_line(good, test_good, defective.at(known), defective.at(unknown)) for known, unknown in halves]
    yield {"set": name, "rule": "svm, both numbers", "wanted_rate": PROMISED, **_mean(told), "good": len(good.scores)}


def _told(rule: str, good: Measured, test_good: Measured, known: Measured, unknown: Measured) -> Mapping[str, Any]:
    scores = Scores(
        good=tuple(good.scores), defective=tuple(known.scores), good_means=tuple(good.means), defective_means=tuple(known.means)
    )
    try:
        proposal: Proposal = RULES[rule].propose(scores, Wanted(rate=PROMISED))
    except ValueError as error:
        return {"refused": str(error)}
    threshold = proposal.image_threshold
    return {
        "recall": float((unknown.scores > threshold).mean()),
        "false_rejects": float((test_good.scores > threshold).mean()),
        "threshold": threshold,
        "bound": proposal.bound,
    }


def _told_by_line(good: Measured, test_good: Measured, known: Measured, unknown: Measured) -> Mapping[str, Any]:
    """The paper's decision itself, by both numbers, which a station does not take."""
    good_points, known_points, test_points, unknown_points = (
        np.column_stack([side.means, side.scores]) for side in (good, known, test_good, unknown)
    )
    line = fit_svm(good_points, known_points, penalty=PENALTY)
    recall, false_rejects = (float((line.scores(points) > 0).mean()) for points in (unknown_points, test_points))
    return {"recall": recall, "false_rejects": false_rejects, "threshold": None, "bound": None}


def _mean(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    kept = [one for one in told if "refused" not in one]
    if not kept:
        return {"refused": told[0]["refused"]}
    means = {key: round(float(np.mean([one[key] for one in kept])), 4) for key in ("recall", "false_rejects") if kept}
    bound, threshold = kept[0]["bound"], kept[0]["threshold"]
    return {
        **means,
        "bound": None if bound is None else round(bound, 5),
        "threshold": None if threshold is None else round(float(np.mean([one["threshold"] for one in kept])), 4),
        "splits": len(kept),
    }


def page(rows: Sequence[Mapping[str, Any]], recall: Sequence[Mapping[str, Any]], machine: str) -> str:
    """The results as a page in Markdown."""
    table = "\n".join(dict.fromkeys(map(_table_line, rows)))  # two wanted rates may come to one promise
    by_rule = "\n".join(
        f"| {row['set']} | {row['rule']} | {row['good']} | {_share(row.get('recall')) or 'refused'} | {_share(row.get('false_rejects'))} | "
        f"{_share(row.get('bound'))} |"
        for row in recall
    )
    return f"""# Do calibrated thresholds keep their promises?

Written by `tools/measure-calibration-coverage` on {machine}. Model: what `teach` makes of 100 good training pictures of each set.
Every other good picture of the set is scored by it; the model has seen none of them. Random halves of these scores calibrate.

**Promised** is what a half of that size carries at that confidence: where a smaller rate is asked for, the tool says so and refuses.
**Exceeded** is the share of splits in which the realised false-reject rate lies above the promise, the whole set taken for the population
that the half was drawn from; the promise is kept where it is at most 100 % less the confidence. **Unseen** counts in the other half
alone: so few parts exceed a rate by chance more often, and **by chance** is how often they do where the promise holds exactly (computed).

**Exceeded flatters:** the half that calibrated counts among the parts that it is held against. On parts not calibrated on, the promise at
95 % was exceeded in {_unseen_range(rows, "exceed_share_unseen")} of splits, where 5 % is stated; chance alone explains
{_unseen_range(rows, "chance_unseen")}, as so few parts cannot show a rate exactly. The fair comparison is *unseen* against *by chance*.

The rule `tail` promises nothing, in its rows *promised* is what it **aims** at: it exceeded that in more than 5 % of splits in
{_tails_beyond(rows)} rows, in {_worst_tail(rows)} at worst. Splits in which the tail does not fit are refused and left out.
{parts_needed(PROMISED)} good parts promise 1 % at 95 %.

| set | rule | good parts | promised | confidence | splits | exceeded | unseen | by chance | mean rate |
|---|---|---|---|---|---|---|---|---|---|
{table}

## Recall on defects at a wanted 1 %

All good pictures above that are not test pictures calibrate; the set's own test pictures measure. Rules that weigh defects are given one
half of them, recall is that of the other half (mean of {DEFECT_SPLITS} random halves). **Bound** is what the good parts carry. `svm` is the
threshold a station gets from the line, `svm, both numbers` the line itself.
{_not_carried(recall)}
| set | rule | good parts | recall | false rejects | bound |
|---|---|---|---|---|---|
{by_rule}

These models are made in seconds from 100 pictures; [accuracy.md](accuracy.md) has what trained ones reach. A threshold cannot give a
model recall that it has not: it only chooses between recall and false rejects.
"""


def _table_line(row: Mapping[str, Any]) -> str:
    shares = (row["exceed_share"], row["exceed_share_unseen"], row.get("chance_unseen"), row["mean_rate"])
    cells = (row["set"], row["rule"], row["calibrated_on"], _stated(row), f"{row['confidence']:.0%}", row["splits"])
    return f"| {' | '.join(map(str, (*cells, *map(_share, shares))))} |"


def _stated(row: Mapping[str, Any]) -> str:
    """The promise; of a rule that makes none, what it aims at."""
    return f"{row['promised_rate']:.2%}" if row["promises"] else f"none, aims at {row['promised_rate']:.2%}"


def _unseen_range(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    """Least and largest share at 95 % over the rows with a promise."""
    found = [row[key] for row in rows if row["promises"] and row["confidence"] == CONFIDENCE]
    return f"{min(found):.0%} to {max(found):.0%}"


def _tails_beyond(rows: Sequence[Mapping[str, Any]]) -> str:
    shares = [row["exceed_share"] or 0.0 for row in rows if not row["promises"]]
    return f"{sum(share > 1 - CONFIDENCE for share in shares)} of {len(shares)}"


def _not_carried(recall: Sequence[Mapping[str, Any]]) -> str:
    short = [f"{row['bound']:.2%} of {row['set']}" for row in recall if row.get("bound") is not None and row["bound"] > row["wanted_rate"]]
    if not short:
        return ""
    return f"\nThe good parts carry a promise of {' and '.join(short)}, not of {PROMISED:.0%}: there the tool itself would refuse it.\n"


def _worst_tail(rows: Sequence[Mapping[str, Any]]) -> str:
    return _share(max((row["exceed_share"] or 0.0 for row in rows if row["rule"] == "tail"), default=0.0))


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
