"""What rounding adds to every score, taken off again.

A score is a distance, and rounding noise makes every distance longer: INT8 maps of good parts lie above the float32 ones nearly
everywhere, by an amount of each cell's own. That mean shift, over the good frames that ranges are taken from, is subtracted in float32 at
the end of the graph:

    map'(y, x) = map_int8(y, x) - mean over frames (map_int8(y, x) - map_float32(y, x))
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from edge_inspect.datatypes import UInt8Image
from edge_inspect.runtimes.graph import FRAME, SCORE_MAP
from edge_inspect.workshop.precision.quantised import open_quietly

Maps = npt.NDArray[np.float32]
ROUNDED = "score_map_rounded"


def mean_map(model: onnx.ModelProto, frames: Iterable[UInt8Image]) -> Maps:
    """Mean score map (1, 1, h, w) of frames (H, W, C) uint8 as the network sees them."""
    session = open_quietly(model)
    maps = np.stack([session.run([SCORE_MAP], {FRAME: frame[None]})[0] for frame in frames])
    return np.asarray(maps.mean(axis=0, dtype=np.float64), np.float32)


def without_shift(lowered: onnx.ModelProto, shift: Maps) -> onnx.ModelProto:
    """The graph with `shift` (1, 1, h, w) subtracted from its score map, before anything else takes the map."""
    copy = onnx.ModelProto()
    copy.CopyFrom(lowered)
    copy.graph.initializer.append(numpy_helper.from_array(shift, "rounding_shift"))
    rewritten = []
    for node in copy.graph.node:
        rewritten.append(node)
        if SCORE_MAP in node.output:
            node.output[list(node.output).index(SCORE_MAP)] = ROUNDED
            rewritten.append(helper.make_node("Sub", [ROUNDED, "rounding_shift"], [SCORE_MAP], name="take_off_rounding_shift"))
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in rewritten]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    onnx.checker.check_model(copy)
    return copy
