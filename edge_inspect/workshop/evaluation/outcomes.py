"""Scores and verdicts of a test set as arrays, and what is measured on them image by image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from edge_inspect.datatypes import Verdict
from edge_inspect.workshop.evaluation.labelled import GOOD

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """One row for each picture.

    Attributes:
        kinds: (n,) str, "good" or the kind of defect.
        scores: (n,) float64, engine units; NaN for a part that was not inspected.
        rejected: (n,) bool, whether the part leaves as reject (NG or FAULT).
        faults: how many were not inspected.
    """

    kinds: npt.NDArray[np.str_]
    scores: Numbers
    rejected: Flags
    faults: int

    @property
    def defective(self) -> Flags:
        """(n,) bool, whether a person called it defective."""
        return np.asarray(self.kinds != GOOD, np.bool_)

    def only(self, chosen: Flags) -> Outcomes:
        """The chosen rows."""
        scores = self.scores[chosen]
        return Outcomes(kinds=self.kinds[chosen], scores=scores, rejected=self.rejected[chosen], faults=int(np.isnan(scores).sum()))

    @property
    def scored(self) -> Outcomes:
        """The rows with a score."""
        return self.only(np.isfinite(self.scores))


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectFigures:
    """One kind of defect against all good parts: how many, AUROC (None without scores), and the share that is rejected."""

    images: int
    auroc: float | None
    recall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFigures:
    """What is measured image by image.

    AUROC and average precision need no threshold; they are None where good or defective parts have no scores. The others are
    of the station's own verdicts: NG and FAULT leave as reject.

    Attributes:
        auroc: area under the ROC curve.
        average_precision: area under the precision-recall curve, step-wise.
        precision: share of the rejects that are defective; None where nothing was rejected.
        recall: share of the defective parts that are rejected.
        f1: harmonic mean of precision and recall; 0 where nothing was rejected.
        false_reject_rate: share of the good parts that are rejected.
    """

    auroc: float | None
    average_precision: float | None
    precision: float | None
    recall: float
    f1: float
    false_reject_rate: float


def outcomes_of(rows: Iterable[tuple[str, float | None, Verdict]]) -> Outcomes:
    """Rows of kind, score and verdict as arrays."""
    kinds, scores, verdicts = zip(*rows, strict=True)
    return Outcomes(
        kinds=np.array(kinds, np.str_),
        scores=np.array([np.nan if score is None else score for score in scores], np.float64),
        rejected=np.array([verdict is not Verdict.OK for verdict in verdicts], np.bool_),
        faults=sum(verdict is Verdict.FAULT for verdict in verdicts),
    )


def image_figures(outcomes: Outcomes) -> ImageFigures:
    """Measure image by image; there is at least one good and one defective part."""
    scored, defective, rejected = outcomes.scored, outcomes.defective, outcomes.rejected
    caught, false_alarms = int(rejected[defective].sum()), int(rejected[~defective].sum())
    missed = int(defective.sum()) - caught
    return ImageFigures(
        auroc=auroc(scored),
        average_precision=float(average_precision_score(scored.defective, scored.scores)) if _two_sided(scored) else None,
        precision=caught / (caught + false_alarms) if caught + false_alarms else None,
        recall=caught / (caught + missed),
        f1=2 * caught / (2 * caught + false_alarms + missed),
        false_reject_rate=float(rejected[~defective].mean()),
    )


def auroc(scored: Outcomes) -> float | None:
    """Area under the ROC curve of rows with scores; None where one side is empty."""
    return float(roc_auc_score(scored.defective, scored.scores)) if _two_sided(scored) else None


def defect_figures(outcomes: Outcomes) -> Mapping[str, DefectFigures]:
    """Every kind of defect against all good parts."""
    return {str(kind): _of_defect(outcomes, str(kind)) for kind in np.unique(outcomes.kinds[outcomes.defective])}


def _of_defect(outcomes: Outcomes, kind: str) -> DefectFigures:
    chosen = outcomes.kinds == kind
    against_good = outcomes.only(chosen | ~outcomes.defective)
    return DefectFigures(images=int(chosen.sum()), auroc=auroc(against_good.scored), recall=float(outcomes.rejected[chosen].mean()))


def _two_sided(scored: Outcomes) -> bool:
    return bool(scored.defective.any() and not scored.defective.all())
