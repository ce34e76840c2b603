"""What `protocols.Runtime` promises, checked on a real engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np

from edge_inspect.acceptance import accept
from edge_inspect.datatypes import Placement, Scores, UInt8Image
from edge_inspect.errors import EngineError
from edge_inspect.geometry import place
from edge_inspect.model_folder import ModelFolder
from edge_inspect.protocols import Runtime
from edge_inspect.testing.promise import demand


def check_runtime(open_runtime: Callable[[], AbstractContextManager[Runtime]], model: ModelFolder) -> None:
    """Run frames of several sizes through the engine, and the golden frames through acceptance.

    Args:
        open_runtime: opens an engine from `model`.
        model: a verified model folder.

    Raises:
        AssertionError: what the runtime does otherwise than `protocols.Runtime` promises.
        EngineError: the engine failed, or does not agree with the golden frames.
    """
    with open_runtime() as runtime:
        demand(isinstance(runtime, Runtime), f"{runtime!r} has no infer(pixels, placement)")
        for pixels, placement in _views(model):
            _check_inference(runtime, model, pixels, placement)
        _check_refusal(runtime, model)
        accept(runtime, model, image_threshold=None)
        before = _bits(runtime.infer(*_views(model)[0]))
    with open_runtime() as runtime:
        demand(before == _bits(runtime.infer(*_views(model)[0])), "the engine gives other scores after it was opened again")


def _views(model: ModelFolder) -> list[tuple[UInt8Image, Placement]]:
    """Frames of several sizes, read-only as a camera gives them, each with its placement."""
    image = model.manifest.input
    sizes = [(image.width, image.height), (2 * image.width + 1, image.height), (image.width // 2 + 1, 3 * image.height)]
    noise = np.random.default_rng(7)
    views = []
    for width, height in sizes:
        pixels = noise.integers(0, 255, (height, width, image.channels), np.uint8)
        pixels.setflags(write=False)
        views.append((pixels, place(width, height, None, width=image.width, height=image.height, channels=image.channels)))
    return views


def _check_inference(runtime: Runtime, model: ModelFolder, pixels: UInt8Image, placement: Placement) -> None:
    first = runtime.infer(pixels, placement)
    kept = _bits(first)
    cells = (model.manifest.score_map.height, model.manifest.score_map.width)
    demand(first.map.shape == cells, f"the map must be {cells}, got {first.map.shape}")
    demand(first.map.dtype == np.float32, f"the map must be float32, got {first.map.dtype}")
    demand(first.image is None or type(first.image) is float, f"the image score must be a float or None, got {type(first.image)}")
    runtime.infer(255 - pixels, placement)
    demand(_bits(first) == kept, "the next inference changed scores that were given out; copy them")
    demand(_bits(runtime.infer(pixels, placement)) == kept, "the same frame did not give the same bits twice")


def _check_refusal(runtime: Runtime, model: ModelFolder) -> None:
    image = model.manifest.input
    pixels = np.zeros((image.height, image.width, image.channels), np.uint8)
    wrong = place(image.width, image.height, None, width=image.width + 1, height=image.height, channels=image.channels)
    try:
        runtime.infer(pixels, wrong)
    except EngineError:
        return
    raise AssertionError("a placement for another network's image must raise EngineError")


def _bits(scores: Scores) -> tuple[bytes, float | None]:
    return scores.map.tobytes(), scores.image
