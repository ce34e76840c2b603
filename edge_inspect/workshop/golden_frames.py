"""Golden frames: what an engine must answer on every device before it may serve, made by the reference runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from edge_inspect.datatypes import Placement, Scores, UInt8Image
from edge_inspect.errors import EngineError
from edge_inspect.model_folder import Golden, ImageSize
from edge_inspect.protocols import Runtime
from edge_inspect.thresholds.part_limits import PartLimits
from edge_inspect.workshop.good_images import GoodImages
from edge_inspect.workshop.synthetic import plant_defect

GOLDEN_GOOD = 4
GOLDEN_DEFECTIVE = 4
DRAWINGS = 10 * GOLDEN_DEFECTIVE
CLEARANCE = 0.02
"""Golden frames keep this share of a threshold away from it: the largest held-out score IS the threshold."""

AGREEMENT = 1e-4
"""Largest difference between the two references, as a part of the range of the golden scores; float32 gives 1e-6."""


def inference(runtime: Runtime, size: ImageSize) -> Callable[[UInt8Image], Scores]:
    """Score an image that is already warped: it lies on the network's image as it is."""
    as_it_is = Placement(affine=np.eye(2, 3), width=size.width, height=size.height, channels=size.channels)
    return lambda pixels: runtime.infer(pixels, as_it_is)


def make_golden(infer: Callable[[UInt8Image], Scores], good: GoodImages, held_out: Sequence[int], limits: PartLimits, seed: int) -> Golden:
    """Golden frames: held-out good parts, and the same with drawn defects; none so near a threshold that rounding flips it."""
    random = np.random.default_rng(seed)
    as_taken = (good.pixels[index] for index in held_out)
    spoilt = (plant_defect(good.pixels[held_out[-1 - i % len(held_out)]], random) for i in range(DRAWINGS))
    good_ones, bad_ones = _answered(limits, infer, as_taken, GOLDEN_GOOD), _answered(limits, infer, spoilt, GOLDEN_DEFECTIVE)
    chosen = [*_clear(good_ones), *_clear(bad_ones)] or [*_clearest(good_ones, GOLDEN_GOOD), *_clearest(bad_ones, GOLDEN_DEFECTIVE)]
    return Golden(
        images=np.stack([one.pixels for one in chosen]),
        maps=np.stack([one.scores.map for one in chosen]),
        scores=np.array([one.scores.image for one in chosen], np.float32),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answered:
    """An image, what the reference said of it, and how far that is from the thresholds."""

    pixels: UInt8Image
    scores: Scores
    clearance: float


def _answered(limits: PartLimits, infer: Callable[[UInt8Image], Scores], images: Iterable[UInt8Image], wanted: int) -> list[_Answered]:
    """Images in their order, until so many are clear of the thresholds."""
    seen: list[_Answered] = []
    for pixels in images:
        scores = infer(pixels)
        clearance = limits.clearance(_image_score(scores), float(scores.map.max()))
        seen.append(_Answered(pixels=pixels, scores=scores, clearance=clearance))
        if len(_clear(seen)) == wanted:
            break
    return seen


def _clear(seen: Sequence[_Answered]) -> list[_Answered]:
    return [one for one in seen if one.clearance > CLEARANCE]


def _clearest(seen: Sequence[_Answered], wanted: int) -> list[_Answered]:
    """For a model that tells a drawn defect from a good part by less than the clearance: no golden frame at all proves less."""
    return sorted(seen, key=lambda one: one.clearance, reverse=True)[:wanted]


def _image_score(scores: Scores) -> float:
    return float(scores.map.max()) if scores.image is None else scores.image


def refuse_another_answer(graph: onnx.ModelProto, golden: Golden) -> None:
    """Hold one golden frame against onnx.reference, which shares no code with any runtime.

    The last one, with a drawn defect: one takes two seconds at 256 x 256.

    Raises:
        EngineError: the two references disagree.
    """
    answers: Any = ReferenceEvaluator(graph).run(["score_map"], {"frame": golden.images[-1:]})
    apart = float(np.abs(answers[0][0, 0] - golden.maps[-1]).max() / np.ptp(golden.maps))
    if not apart <= AGREEMENT:
        raise EngineError(
            f"the reference runtime and onnx.reference differ by {apart:.1e} of the score range on a golden frame, wanted {AGREEMENT:.0e}; "
            "this ONNX Runtime computes something else: install another version"
        )
