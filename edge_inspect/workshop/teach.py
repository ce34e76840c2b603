"""Teach a part from good images, in seconds, on the device, without torch: `teach` is what `edge-inspect teach` runs.

    images -> place and warp as the line does -> split -> fit Gaussians on the larger share -> write one graph
    -> score the held-out share with the reference runtime -> threshold with a bound -> golden frames -> engine folder

The Gaussians are not fitted again on all images afterwards: the held-out scores would then be of parts the model has seen,
the future ones not, and the promise about false rejects would be void.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from edge_inspect import __version__
from edge_inspect.config import Recipe
from edge_inspect.datatypes import CellMask, Scores, UInt8Image
from edge_inspect.decision import masked_score
from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import Golden, ImageSize, ModelFolder, Training, write_model_folder
from edge_inspect.runtimes.reference import open_reference
from edge_inspect.thresholds import Sample, Thresholds, save_thresholds
from edge_inspect.workshop.backbone import LEVELS, MULTIPLE, load_backbone
from edge_inspect.workshop.golden_frames import inference, make_golden, refuse_another_answer
from edge_inspect.workshop.good_images import Given, GoodImages, place_good_images
from edge_inspect.workshop.graph import write_features, write_graph
from edge_inspect.workshop.padim import GaussianFit, embedding
from edge_inspect.workshop.splits import Cut, Split, cut, split_parts

DIMENSIONS = 100
BLOCK = 2
POOLING = 0.1
"""Embedding, shared and pooled covariance: chosen on held-out good images with drawn defects, docs/results/teach.md."""

BATCH = 8

FAMILY = "padim"
MEANING = "largest Mahalanobis distance of a neighbourhood to the good parts at its position (PaDiM), after the Gaussian filter"
RULE = "k-th largest score of held-out good parts; the pixel threshold is the same, so NG by score and a region are one event"

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def silent(_doing: str, _done: int, _total: int) -> None:
    """Show no progress."""


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
    _refuse_impossible(width, height, false_reject_rate)
    good = place_good_images(_counted(images, progress), recipe, width=width, height=height)
    split = split_parts(good.names, seed=seed, part_of=part_of)
    graph = _fitted_graph(good, split, seed, progress)
    held_out = tuple(chain.from_iterable(split.held_out))
    folder = out or recipe.engine
    with _trial_folder(graph, good) as trial, open_reference(model=trial) as reference:
        infer = inference(reference, good.size)
        searched = good.searched(recipe, width=trial.manifest.score_map.width, height=trial.manifest.score_map.height)
        scores = _held_out_scores(infer, good, searched, held_out, progress)
        by_index = dict(zip(held_out, scores, strict=True))
        limit = cut([max(by_index[index] for index in part) for part in split.held_out], wanted=false_reject_rate)
        golden = make_golden(infer, good, held_out, limit.threshold, seed)
    refuse_another_answer(graph, golden)
    model = _write(folder, graph, golden, good, split)
    thresholds = _thresholds(limit, scores, good.fingerprint(held_out), model, recipe)
    save_thresholds(recipe.thresholds, thresholds)
    return Taught(
        model=model,
        thresholds=thresholds,
        cut=limit,
        fitted=len(split.fit),
        held_out=tuple(good.names[index] for index in held_out),
        scores=scores,
        refused=good.refused,
        seconds=time.monotonic() - started,
    )


def _refuse_impossible(width: int, height: int, false_reject_rate: float) -> None:
    least = 4 * MULTIPLE
    if width % MULTIPLE or height % MULTIPLE or min(width, height) < least:
        raise ConfigError(f"network image {width} x {height}: wanted multiples of {MULTIPLE}, {least} or more; write 256 x 256")
    if not 0 < false_reject_rate < 1:
        raise ConfigError(f"false reject rate {false_reject_rate}: must lie between 0 and 1; 0.01 is one part in a hundred")


def _counted(images: Iterable[Given], progress: Progress) -> Iterator[Given]:
    total = len(images) if isinstance(images, Sequence) else 0
    for done, image in enumerate(images, start=1):
        yield image
        progress("reading", done, max(done, total))


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


@contextmanager
def _trial_folder(graph: onnx.ModelProto, good: GoodImages) -> Iterator[ModelFolder]:
    """The model in a folder of its own, without golden frames yet: the reference runtime makes them."""
    cells = (1, good.size.height // 4, good.size.width // 4)
    none_yet = Golden(images=good.pixels[:1], maps=np.zeros(cells, np.float32), scores=np.zeros(1, np.float32))
    with tempfile.TemporaryDirectory(prefix="edge-inspect-teach-") as folder:
        yield _write_model(Path(folder), graph, none_yet, good.size, Training(images=0, fingerprint=""))


def _held_out_scores(
    infer: Callable[[UInt8Image], Scores], good: GoodImages, searched: CellMask, held_out: Sequence[int], progress: Progress
) -> tuple[float, ...]:
    scores = []
    for done, index in enumerate(held_out, start=1):
        scores.append(float(masked_score(infer(good.pixels[index]), searched, own=False)))
        progress("scoring", done, len(held_out))
    return tuple(scores)


def _write(folder: Path, graph: onnx.ModelProto, golden: Golden, good: GoodImages, split: Split) -> ModelFolder:
    training = Training(images=len(split.fit), fingerprint=good.fingerprint(split.fit))
    return _write_model(folder, graph, golden, good.size, training)


def _write_model(folder: Path, graph: onnx.ModelProto, golden: Golden, size: ImageSize, training: Training) -> ModelFolder:
    return write_model_folder(
        folder,
        onnx_bytes=graph.SerializeToString(deterministic=True),
        golden=golden,
        model=folder.name,
        family=FAMILY,
        input_size=size,
        image_score="map maximum",
        score_meaning=MEANING,
        training=training,
        software=f"edge-inspect {__version__}",
        created_at=datetime.now(timezone.utc),
    )


def _thresholds(limit: Cut, scores: Sequence[float], fingerprint: str, model: ModelFolder, recipe: Recipe) -> Thresholds:
    return Thresholds(
        image_threshold=limit.threshold,
        pixel_threshold=limit.threshold,
        engine_sha256=model.engine_sha256,
        recipe_sha256=recipe.sha256,
        rule=RULE,
        promise=limit.promise,
        false_reject_bound=limit.bound,
        sample=Sample(
            images=len(scores),
            fingerprint=fingerprint,
            minimum=min(scores),
            median=float(np.median(scores)),
            maximum=max(scores),
        ),
        made_at=datetime.now(timezone.utc),
        software=f"edge-inspect {__version__}",
    )
