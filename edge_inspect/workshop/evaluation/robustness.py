"""What disturbances cost: the same pictures, disturbed, against the threshold as it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge_inspect.cameras.pictures import read_only, read_picture
from edge_inspect.datatypes import UInt8Image, Verdict
from edge_inspect.inspector import Inspector
from edge_inspect.workshop.evaluation.disturbances import DISTURBANCES, Disturbance
from edge_inspect.workshop.evaluation.judging import Judged, Progress, finding_of, frame_from_pixels, silent
from edge_inspect.workshop.evaluation.labelled import Labelled
from edge_inspect.workshop.evaluation.outcomes import Outcomes, image_figures, outcomes_of

Row = tuple[str, float | None, Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbed:
    """What one disturbance does at one strength.

    Attributes:
        disturbance: name of it.
        strength: in the disturbance's unit.
        undisturbed: whether this is the set as it came.
        auroc: image AUROC; None where good or defective parts have no scores.
        false_reject_rate: share of the good parts rejected at the unchanged threshold.
        recall: share of the defective parts rejected.
        faults: parts that were not inspected.
    """

    disturbance: str
    strength: float
    undisturbed: bool
    auroc: float | None
    false_reject_rate: float
    recall: float
    faults: int


def measure_robustness(
    inspector: Inspector, judged: Sequence[Judged], undisturbed: Outcomes, *, seed: int = 0, progress: Progress = silent
) -> tuple[Disturbed, ...]:
    """Inspect every judged picture again under every disturbance.

    The same picture is disturbed alike at every strength (a shadow only deepens): the draws depend on seed and picture.

    Raises:
        CameraError: a picture cannot be read any more.
        EngineError: the engine failed on a frame.
    """
    rows: dict[tuple[str, float], list[Row]] = defaultdict(list)
    for number, one in enumerate(judged):
        for disturbance, strength, row in _disturbed_rows(inspector, one.image, number, seed):
            rows[disturbance, strength].append(row)
        progress("disturbing", number + 1, len(judged))
    return tuple(figure for disturbance in DISTURBANCES for figure in _curve(disturbance, rows, undisturbed))


def _disturbed_rows(inspector: Inspector, image: Labelled, number: int, seed: int) -> Iterator[tuple[str, float, Row]]:
    pixels = read_picture(image.picture)
    for disturbance in DISTURBANCES:
        for strength in disturbance.strengths:
            disturbed = disturbance.apply(pixels, strength, np.random.default_rng((seed, number)))
            yield disturbance.name, strength, _row(inspector, image, number, disturbed)


def _row(inspector: Inspector, image: Labelled, number: int, pixels: UInt8Image) -> Row:
    finding = finding_of(inspector, frame_from_pixels(read_only(pixels), number=number, name=image.name))
    return (image.kind, finding.score, finding.verdict) if finding else (image.kind, None, Verdict.FAULT)


def _curve(disturbance: Disturbance, rows: dict[tuple[str, float], list[Row]], undisturbed: Outcomes) -> Iterator[Disturbed]:
    yield _figure(disturbance, disturbance.neutral, undisturbed, undisturbed=True)
    for strength in disturbance.strengths:
        yield _figure(disturbance, strength, outcomes_of(rows[disturbance.name, strength]), undisturbed=False)


def _figure(disturbance: Disturbance, strength: float, outcomes: Outcomes, *, undisturbed: bool) -> Disturbed:
    figures = image_figures(outcomes)
    return Disturbed(
        disturbance=disturbance.name,
        strength=strength,
        undisturbed=undisturbed,
        auroc=figures.auroc,
        false_reject_rate=figures.false_reject_rate,
        recall=figures.recall,
        faults=outcomes.faults,
    )
