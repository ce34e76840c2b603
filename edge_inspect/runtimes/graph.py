"""What every runtime shares: the graph's contract with its manifest, and the buffers a frame goes through.

A runtime module opens its library, says which tensors the graph has, and hands over a `run` that goes from
`Buffers.frame` to `Buffers.score_map` and `Buffers.image_score`. The rest is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from edge_inspect.datatypes import Placement, Scores, UInt8Image
from edge_inspect.errors import EngineError
from edge_inspect.geometry import warp
from edge_inspect.model_folder import Manifest, ModelFolder

FRAME = "frame"
SCORE_MAP = "score_map"
IMAGE_SCORE = "image_score"
# The first inference allocates and picks kernels, the second runs them cold; the third is as fast as all later ones.
WARM_UP_INFERENCES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """An input or output of a graph.

    Attributes:
        name: its name in the graph.
        type: element type, by numpy's name.
        shape: -1 where the graph leaves a length open.
    """

    name: str
    type: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        """How the tensor is named in an error."""
        return f"{self.name} {self.type} ({', '.join(str(length) for length in self.shape)})"


class Buffers:
    """The network's image and the graph's answers: allocated once, shared with the library.

    Attributes:
        frame: (1, H, W, C) uint8.
        score_map: (1, 1, h, w) float32.
        image_score: (1,) float32.
    """

    def __init__(self, manifest: Manifest) -> None:
        frame, score_map, image_score = _contract(manifest)
        self.frame = np.zeros(frame.shape, np.uint8)
        self.score_map = np.zeros(score_map.shape, np.float32)
        self.image_score = np.zeros(image_score.shape, np.float32)

    def place(self, pixels: UInt8Image, placement: Placement) -> None:
        """Warp the frame's pixels into `frame`.

        Raises:
            EngineError: the placement is for another network's image.
        """
        self.refuse_another_image(placement)
        warp(pixels, placement, out=self.frame[0])

    def refuse_another_image(self, placement: Placement) -> None:
        """Refuse a placement that is not for this network's image.

        Raises:
            EngineError: it is for another one.
        """
        got, wanted = (1, placement.height, placement.width, placement.channels), self.frame.shape
        if got != wanted:
            raise EngineError(f"the placement is for an image of {got[1:]}, the engine wants {wanted[1:]}; place the frame for this engine")

    def scores(self) -> Scores:
        """The answers, copied out."""
        return Scores(map=self.score_map[0, 0].copy(), image=float(self.image_score[0]))


class OpenedGraph:
    """A `protocols.Runtime` over a library's `run`, which raises EngineError only. Warmed up when made.

    Attributes:
        made_of: as `protocols.Identified`.
    """

    def __init__(self, buffers: Buffers, run: Callable[[], None], *, made_of: Mapping[str, str]) -> None:
        self._buffers = buffers
        self._run = run
        self.made_of = made_of
        for _ in range(WARM_UP_INFERENCES):
            run()

    def infer(self, pixels: UInt8Image, placement: Placement) -> Scores:
        """Warp the frame's pixels onto the network's image and run the graph.

        Raises:
            EngineError: the library failed, or the placement is for another network's image.
        """
        self._buffers.place(pixels, placement)
        self._run()
        return self._buffers.scores()


def check_graph(model: ModelFolder, tensors: Iterable[TensorSpec]) -> None:
    """Refuse a graph whose inputs and outputs are not those that its manifest promises.

    Raises:
        EngineError: names, element types or shapes differ (both, side by side).
    """
    got = _listed(tensors)
    wanted = _listed(_contract(model.manifest))
    if got != wanted:
        raise EngineError(f"{model.model_file}: not the graph of its manifest: got {got}, wanted {wanted}; export the model again")


def engine_error(model: ModelFolder, doing: str, error: BaseException) -> EngineError:
    """One sentence from a library's exception, which may be many lines long."""
    said = " ".join(str(error).split())[:300]
    return EngineError(f"{model.model_file}: cannot be {doing}: {said}; try --runtime reference, or export the model again")


def _contract(manifest: Manifest) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    image, cells = manifest.input, manifest.score_map
    return (
        TensorSpec(name=FRAME, type="uint8", shape=(1, image.height, image.width, image.channels)),
        TensorSpec(name=SCORE_MAP, type="float32", shape=(1, 1, cells.height, cells.width)),
        TensorSpec(name=IMAGE_SCORE, type="float32", shape=(1,)),
    )


def _listed(tensors: Iterable[TensorSpec]) -> str:
    return ", ".join(sorted(str(tensor) for tensor in tensors))
