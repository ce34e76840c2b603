"""Which way of teaching is best? Measured on good images with drawn defects; test images are looked at afterwards.

A variant is chosen by `drawn`: the AUROC of held-out good training images against the same images with drawn defects, mean
over several splits. `test` (real defects) is reported beside it and decides nothing. `tools/measure-teach` runs this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from edge_inspect.cameras.pictures import read_picture
from edge_inspect.config import Recipe
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.backbone import LEVELS, load_backbone
from edge_inspect.workshop.good_images import place_good_images
from edge_inspect.workshop.graph import write_features, write_graph
from edge_inspect.workshop.low_rank import LowRank, low_rank, write_low_rank_graph
from edge_inspect.workshop.padim import Features, GaussianFit, Head, distance, embedding
from edge_inspect.workshop.splits import split_parts
from edge_inspect.workshop.study_pictures import Pictures
from edge_inspect.workshop.synthetic import plant_defect

CHANNELS = sum(LEVELS.values())
Kept = npt.NDArray[np.floating]
"""Features as they are kept: float16 as extracted, which halves the memory, float32 once embedded."""

Key = TypeVar("Key")
MOST_DRAWN = 150
"""Drawn defects scored in one split: more do not change which variant leads."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way of teaching.

    Attributes:
        embed: "chosen" (random channels), "orthogonal" (random orthonormal columns) or "all".
        dimensions: of the embedding.
        block: side of the square of positions that shares a covariance; 32 is one for the whole map at 256 x 256.
        pooling: share of the covariance that is the mean over all blocks.
        sigma: Gaussian filter [map cells].
        epsilon: regularisation.
        rank: directions kept of every covariance; None keeps the whole.
    """

    embed: str = "orthogonal"
    dimensions: int = 100
    block: int = 2
    pooling: float = 0.0
    sigma: float = 1.0
    epsilon: float = 0.01
    rank: int | None = None

    def matrix(self, seed: int) -> Array:
        """The embedding (176, dimensions)."""
        if self.embed == "orthogonal":
            return embedding(CHANNELS, self.dimensions, seed=seed)
        identity = np.eye(CHANNELS, dtype=np.float32)
        if self.embed == "all":
            return identity
        return identity[:, np.sort(np.random.default_rng(seed).choice(CHANNELS, self.dimensions, replace=False))]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extracted:
    """Features at one eighth (n, c, h, w) of one data set; `drawn[i]` are of copies of `train[i]`."""

    pictures: Pictures
    train: Kept
    drawn: Kept
    good: Kept
    defective: Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """AUROC of one variant on one data set: `drawn` chooses, `test` is only reported."""

    drawn: float
    test: float


def extract(pictures: Pictures, *, copies: int, size: int = 256, seed: int = 0) -> Extracted:
    """Features of every picture, and of `copies` copies of every training picture with a defect drawn on."""
    train, good, defective = (_placed(paths, size) for paths in (pictures.train, pictures.good, pictures.defective))
    features = _open_features(ImageSize(width=size, height=size, channels=1 if train.shape[3] == 1 else 3))
    random = np.random.default_rng(seed)
    drawn = [plant_defect(pixels, random) for pixels in train for _ in range(copies)]
    planted = features(drawn)
    return Extracted(
        pictures=pictures,
        train=features(train),
        drawn=planted.reshape(len(train), copies, *planted.shape[1:]),
        good=features(good),
        defective=features(defective),
    )


def measure(extracted: Extracted, variants: Sequence[Variant], *, splits: int) -> list[Measured]:
    """AUROC of every variant; the test is scored by the first split's Gaussians, fitted as `teach` fits them."""
    found: dict[Variant, list[Measured]] = {variant: [] for variant in variants}
    for _, alike in _grouped(variants, lambda variant: (variant.embed, variant.dimensions)):
        embedded = _embedded_all(extracted, alike[0].matrix(seed=0))
        for seed in range(splits):
            for variant, measured in _measured_split(embedded, alike, seed):
                found[variant].append(measured)
    return [_mean(found[variant]) for variant in variants]


def auroc(good: npt.ArrayLike, defective: npt.ArrayLike) -> float:
    """Chance that a defective part scores higher than a good one, ties counting half."""
    low, high = np.sort(np.asarray(good)), np.asarray(defective)
    below = np.searchsorted(low, high, side="left") + np.searchsorted(low, high, side="right")
    return float(below.mean() / (2 * len(low)))


def cost(variant: Variant, *, size: int = 256, channels: Literal[1, 3] = 1, repeats: int = 200) -> tuple[float, int]:
    """Median time of the whole graph in OpenVINO on two threads [ms], and the graph's bytes."""
    import openvino

    content = _graph_of(variant, ImageSize(width=size, height=size, channels=channels))
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 2}
    core = openvino.Core()
    request = core.compile_model(core.read_model(content), "CPU", options).create_infer_request()
    frame = np.random.default_rng(0).integers(0, 256, (1, size, size, channels), dtype=np.uint8)
    times = [_timed(lambda: request.infer({0: frame}, share_inputs=True, share_outputs=True)) for _ in range(repeats)]
    return float(np.median(times[repeats // 10 :])), len(content)


def smoothed_maxima(maps: Array, sigma: float) -> Array:
    """What the graph does after the distance, with OpenCV: (n, h, w) to image scores (n,)."""
    scores = []
    for score_map in maps:
        fine = cv2.resize(score_map, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        reach = max(1, int(np.ceil(3 * sigma)))
        scores.append(cv2.GaussianBlur(fine, (2 * reach + 1,) * 2, sigma, borderType=cv2.BORDER_REPLICATE).max())
    return np.array(scores, np.float32)


def _placed(paths: Sequence[Path], size: int) -> npt.NDArray[np.uint8]:
    recipe = Recipe(part="study", engine=Path("none"))
    named = [(str(path), read_picture(path)) for path in paths]
    return place_good_images(named, recipe, width=size, height=size, fewest=1).pixels


def _open_features(size: ImageSize) -> Callable[[Sequence[npt.NDArray[np.uint8]] | npt.NDArray[np.uint8]], npt.NDArray[np.float16]]:
    graph = write_features(load_backbone(), np.eye(CHANNELS, dtype=np.float32), size=size)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])

    def features(images: Sequence[npt.NDArray[np.uint8]] | npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
        return np.stack([session.run(None, {"frame": pixels[None]})[0][0].astype(np.float16) for pixels in images])

    return features


def _embedded_all(extracted: Extracted, matrix: Array) -> Extracted:
    """The same pictures in the space of one embedding."""
    drawn = extracted.drawn
    flat = _embedded(drawn.reshape(-1, *drawn.shape[2:]), matrix)
    return replace(
        extracted,
        train=_embedded(extracted.train, matrix),
        drawn=flat.reshape(*drawn.shape[:2], *flat.shape[1:]),
        good=_embedded(extracted.good, matrix),
        defective=_embedded(extracted.defective, matrix),
    )


def _measured_split(extracted: Extracted, variants: Sequence[Variant], seed: int) -> Iterator[tuple[Variant, Measured]]:
    names = [path.stem for path in extracted.pictures.train]
    split = split_parts(names, seed=seed, part_of=extracted.pictures.part_of)
    held_out = [index for part in split.held_out for index in part]
    spoilt = extracted.drawn[held_out].reshape(-1, *extracted.drawn.shape[2:])[:MOST_DRAWN]
    for block, sharing in _grouped(variants, lambda variant: variant.block):
        fit = GaussianFit(block=min(block, extracted.train.shape[2]))
        for batch in _batches(extracted.train[list(split.fit)]):
            fit.add(batch)
        for (pooling, epsilon, rank), alike in _grouped(sharing, lambda variant: (variant.pooling, variant.epsilon, variant.rank)):
            whole = fit.covariance(epsilon=epsilon, pooling=pooling)
            head = fit.head(low_rank(whole, rank).covariance() if rank else whole)
            good, drawn = _distances(extracted.train[held_out], head), _distances(spoilt, head)
            real = (_distances(extracted.good, head), _distances(extracted.defective, head)) if seed == 0 else None
            for variant in alike:
                test = _map_auroc(*real, variant.sigma) if real else float("nan")
                yield variant, Measured(drawn=_map_auroc(good, drawn, variant.sigma), test=test)


def _mean(measured: Sequence[Measured]) -> Measured:
    return Measured(drawn=float(np.mean([one.drawn for one in measured])), test=measured[0].test)


def _grouped(variants: Sequence[Variant], key: Callable[[Variant], Key]) -> Iterator[tuple[Key, list[Variant]]]:
    for value in dict.fromkeys(map(key, variants)):
        yield value, [variant for variant in variants if key(variant) == value]


def _map_auroc(good: Array, defective: Array, sigma: float) -> float:
    return auroc(smoothed_maxima(good, sigma), smoothed_maxima(defective, sigma))


def _distances(images: Kept, head: Head) -> Array:
    return np.concatenate([distance(batch, head) for batch in _batches(images)])


def _embedded(features: Kept, matrix: Array) -> Features:
    """Features (n, channels, h, w) in the space of the matrix (channels, d)."""
    return np.concatenate([_embedded_batch(batch, matrix) for batch in _batches(features)])


def _embedded_batch(features: Array, matrix: Array) -> Features:
    count, channels, height, width = features.shape
    embedded: Features = np.matmul(matrix.T, features.reshape(count, channels, height * width))
    return embedded.reshape(count, matrix.shape[1], height, width)


def _batches(images: Kept) -> Iterator[Array]:
    for start in range(0, len(images), 16):
        yield images[start : start + 16].astype(np.float32, copy=False)


def _graph_of(variant: Variant, size: ImageSize) -> bytes:
    matrix, side = variant.matrix(seed=0), size.height // 8
    block = min(variant.block, side)
    random, blocks, dimensions = np.random.default_rng(0), (side // block) ** 2, matrix.shape[1]
    mean = random.standard_normal((dimensions, side, side)).astype(np.float32)
    constants = random.standard_normal((blocks, dimensions, variant.rank or dimensions))
    if variant.rank:
        gaussians = LowRank(axes=constants, along=np.full((blocks, variant.rank), 2.0), rest=np.ones(blocks))
        graph = write_low_rank_graph(load_backbone(), matrix, mean, gaussians, block=block, size=size, sigma=variant.sigma)
    else:
        head = Head(mean=mean, whitening=constants.astype(np.float32), block=block)
        graph = write_graph(load_backbone(), matrix, head, size=size, sigma=variant.sigma)
    content: bytes = graph.SerializeToString()
    return content


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3
