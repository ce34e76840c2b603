"""Which layers must stay in float32 for the INT8 graph to say what the float32 graph says.

Every layer is quantised alone and its harm measured; then the most harmful are left in float32, more and more of them, until the
harm of all others together is small, what rounding adds to every score taken off (`shift`). Harm is measured on good frames that no
range was taken from, as a part of the room between their median score and the threshold: what eats that room up rejects good parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from edge_inspect.datatypes import UInt8Image
from edge_inspect.runtimes.graph import FRAME, IMAGE_SCORE
from edge_inspect.workshop.precision.quantised import open_quietly, quantisable, quantised_graph
from edge_inspect.workshop.precision.shift import mean_map, without_shift

ALLOWED = 0.1
"""Largest harm: a tenth of the room. A good part in the middle of all stays nine tenths of the way from the threshold."""

Told = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """How far scores move.

    Attributes:
        worst: largest move of an image score, as a part of the room.
        mean: mean move, as a part of the room.
    """

    worst: float
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantised:
    """An INT8 graph that says what it should.

    Attributes:
        graph: the graph.
        float32_layers: names of the layers left in float32, most harmful first.
        layers: how many there are.
        all_layers: the harm of quantising every layer.
        harm: the harm of `graph`.
        alone: harm (worst) of each layer quantised alone, by name.
    """

    graph: onnx.ModelProto
    float32_layers: tuple[str, ...]
    layers: int
    all_layers: Harm
    harm: Harm
    alone: Mapping[str, float]


def quantise(
    model: onnx.ModelProto,
    ranges: Mapping[str, float],
    frames: Iterable[UInt8Image],
    *,
    ranged: Iterable[UInt8Image],
    threshold: float,
    allowed: float = ALLOWED,
    alone: Mapping[str, float] | None = None,
    told: Told = lambda *_: None,
) -> Quantised:
    """Quantise as many layers as the allowed harm lets be.

    Args:
        model: the float32 graph, every node with a name of its own.
        ranges: as `measure_ranges` gives them, of other frames than these.
        frames: good parts (H, W, C) uint8, as the network sees them.
        ranged: those that the ranges come from: the mean shift of the map is taken from them too.
        threshold: of the image score.
        allowed: largest harm, as a part of the room between the median score and the threshold.
        alone: harm of each layer, where an earlier call with the same graph, ranges, frames and threshold has measured it.
        told: called as the work goes on.
    """
    scale = _Scale(model, frames, threshold)
    lowered = _Lowered(model, ranges, ranged)
    names = [node.name for node in quantisable(model)]
    everything = lowered.graph(names)
    all_layers = scale.harm(everything)
    if all_layers.worst <= allowed:
        return Quantised(graph=everything, float32_layers=(), layers=len(names), all_layers=all_layers, harm=all_layers, alone={})
    harms = alone or scale.alone(model, ranges, names, told)

    def measured(kept: Sequence[str]) -> tuple[onnx.ModelProto, Harm]:
        graph = lowered.graph(kept)
        return graph, scale.harm(graph)

    worst_first = sorted(names, key=lambda name: -harms[name])
    left, graph, harm = _fewest_left(worst_first, measured, allowed)
    return Quantised(
        graph=graph, float32_layers=tuple(worst_first[:left]), layers=len(names), all_layers=all_layers, harm=harm, alone=harms
    )


def harm_of(model: onnx.ModelProto, lowered: onnx.ModelProto, frames: Iterable[UInt8Image], *, threshold: float) -> Harm:
    """How far the scores of good frames (H, W, C) uint8 move from the float32 graph to another one."""
    return _Scale(model, frames, threshold).harm(lowered)


def _fewest_left(
    worst_first: Sequence[str], measured: Callable[[Sequence[str]], tuple[onnx.ModelProto, Harm]], allowed: float
) -> tuple[int, onnx.ModelProto, Harm]:
    """How many of the most harmful layers to leave out, by halving; harm falls nearly, not strictly, with their number."""
    low, high = 0, len(worst_first)
    best = (high, *measured(()))
    while high - low > 1:
        middle = (low + high) // 2
        graph, harm = measured(worst_first[middle:])
        if harm.worst <= allowed:
            high, best = middle, (middle, graph, harm)
        else:
            low = middle
    return best


class _Lowered:
    """Graphs with some layers quantised, and the shift of their maps taken off."""

    def __init__(self, model: onnx.ModelProto, ranges: Mapping[str, float], ranged: Iterable[UInt8Image]) -> None:
        self._model = model
        self._ranges = ranges
        self._ranged = tuple(ranged)
        self._wanted = mean_map(model, self._ranged)

    def graph(self, kept: Sequence[str]) -> onnx.ModelProto:
        if not kept:
            return self._model
        graph = quantised_graph(self._model, self._ranges, kept)
        return without_shift(graph, mean_map(graph, self._ranged) - self._wanted)


class _Scale:
    """Harm against the float32 graph's scores of some frames."""

    def __init__(self, model: onnx.ModelProto, frames: Iterable[UInt8Image], threshold: float) -> None:
        self._frames = tuple(frames)
        self._wanted = self._scores(model)
        self._room = max(threshold - float(np.median(self._wanted)), 1e-9)

    def harm(self, graph: onnx.ModelProto) -> Harm:
        moved = np.abs(self._scores(graph) - self._wanted) / self._room
        return Harm(worst=float(moved.max()), mean=float(moved.mean()))

    def alone(self, model: onnx.ModelProto, ranges: Mapping[str, float], names: Sequence[str], told: Told) -> Mapping[str, float]:
        harms = {}
        for done, name in enumerate(names, start=1):
            harms[name] = self.harm(quantised_graph(model, ranges, [name])).worst
            told("trying each layer alone", done, len(names))
        return harms

    def _scores(self, graph: onnx.ModelProto) -> npt.NDArray[np.float64]:
        session = open_quietly(graph)
        return np.array([float(session.run([IMAGE_SCORE], {FRAME: frame[None]})[0][0]) for frame in self._frames])
