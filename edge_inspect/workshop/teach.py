"""Teach a part from good images, in seconds, on the device, without torch: `teach` is what `edge-inspect teach` runs.

images -> place and warp as the line does -> split -> fit Gaussians on the larger share -> write one graph
-> `finishing.py`: thresholds with a bound from the held-out share, golden frames, engine folder
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from edge_inspect.config import Recipe
from edge_inspect.datatypes import UInt8Image
from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ModelFolder, Training
from edge_inspect.thresholds import Thresholds
from edge_inspect.thresholds.order_statistics import Cut
from edge_inspect.workshop.backbone import LEVELS, MULTIPLE, load_backbone
from edge_inspect.workshop.finishing import Described, Progress, counted, finish, refuse_impossible_rate, silent
from edge_inspect.workshop.golden_frames import refuse_another_answer
from edge_inspect.workshop.good_images import Given, GoodImages, place_good_images
from edge_inspect.workshop.graph import score_map_size, write_features, write_graph
from edge_inspect.workshop.padim import GaussianFit, embedding
from edge_inspect.workshop.splits import Split, split_parts

DIMENSIONS = 100
BLOCK = 2
POOLING = 0.1
"""Embedding, shared and pooled covariance: chosen on held-out good images with drawn defects, docs/results/teach.md."""

BATCH = 8

FAMILY = "padim"
MEANING = "largest Mahalanobis distance of a neighbourhood to the good parts at its position (PaDiM), after the Gaussian filter"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taught:
    """A taught part.

    Attributes:
        model: the written model folder.
        thresholds: what was written beside the recipe.
        cut: the threshold with its bound.
        fitted: number of images the Gaussians were fitted on.
        held_out: names of the held-out images, and below their scores.
        scores: image score of each held-out image, engine units.
        refused: images that could not be read, with the reason.
        seconds: how long it took [s].
    """

    model: ModelFolder
    thresholds: Thresholds
    cut: Cut
    fitted: int
    held_out: tuple[str, ...]
    scores: tuple[float, ...]
    refused: tuple[str, ...]
    seconds: float


def teach(
    images: Iterable[Given],
    *,
    recipe: Recipe,
    out: Path | None = None,
    width: int = 256,
    height: int = 256,
    false_reject_rate: float = 0.01,
    part_of: re.Pattern[str] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Taught:
    """Teach one part and write its model folder and thresholds.

    Args:
        images: good images, as paths or as (name, pixels (H, W, C) uint8).
        recipe: read by `load_recipe`; its region of interest and masks count, its `engine` and `thresholds` are written.
        out: another model folder than the recipe's.
        width: of the network's image [px], a multiple of 16.
        height: likewise.
        false_reject_rate: the rate to promise, if the held-out images carry it.
        part_of: finds the physical part in an image's name (first group), so that no part is on both sides of the split.
        seed: of the split, the embedding and the drawn defects: the same images and seed give the same engine.
        progress: called as the work goes on.

    Raises:
        ConfigError: too few or unfit images, an impossible size or rate, or the thresholds cannot be written.
        EngineError: the shipped backbone is damaged, the two references disagree, or the model folder cannot be written.
    """
    started = time.monotonic()
    _refuse_impossible(width, height)
    refuse_impossible_rate(false_reject_rate)
    good = place_good_images(counted(images, progress), recipe, width=width, height=height, cells=score_map_size(width, height))
    split = split_parts(good.names, seed=seed, part_of=part_of, frames=good.frames)
    finished = finish(
        _fitted_graph(good, split, seed, progress),
        good,
        split.held_out,
        described=_described(good, split),
        recipe=recipe,
        folder=out or recipe.engine,
        false_reject_rate=false_reject_rate,
        seed=seed,
        agree=lambda graph, golden, _: refuse_another_answer(graph, golden),
        progress=progress,
    )
    return Taught(
        model=finished.model,
        thresholds=finished.thresholds,
        cut=finished.limits.image,
        fitted=len(split.fit),
        held_out=finished.names,
        scores=finished.scores,
        refused=good.refused,
        seconds=time.monotonic() - started,
    )


def _refuse_impossible(width: int, height: int) -> None:
    least = 4 * MULTIPLE
    if width % MULTIPLE or height % MULTIPLE or min(width, height) < least:
        raise ConfigError(f"network image {width} x {height}: wanted multiples of {MULTIPLE}, {least} or more; write 256 x 256")


def _described(good: GoodImages, split: Split) -> Described:
    training = Training(images=len(split.fit), fingerprint=good.fingerprint(split.fit))
    taught = tuple(good.hashes[index] for index in split.fit)
    return Described(family=FAMILY, image_score="map maximum", score_meaning=MEANING, training=training, taught=taught)


def _fitted_graph(good: GoodImages, split: Split, seed: int, progress: Progress) -> onnx.ModelProto:
    backbone = load_backbone()
    embed = embedding(sum(LEVELS.values()), DIMENSIONS, seed=seed)
    features = _open_features(write_features(backbone, embed, size=good.size))
    fit = GaussianFit(block=BLOCK)
    for start in range(0, len(split.fit), BATCH):
        batch = split.fit[start : start + BATCH]
        fit.add(np.concatenate([features(good.pixels[index]) for index in batch]))
        progress("fitting", start + len(batch), len(split.fit))
    return write_graph(backbone, embed, fit.finish(pooling=POOLING), size=good.size)


def _open_features(graph: onnx.ModelProto) -> Callable[[UInt8Image], npt.NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.use_deterministic_compute = True
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def features(pixels: UInt8Image) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = session.run(None, {"frame": pixels[None]})[0]
        return found

    return features
