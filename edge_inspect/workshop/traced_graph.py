"""From a settled system to the one ONNX graph the line opens.

    torch.export (sizes become constants) -> the TorchScript exporter, opset 13 -> onnxslim -> IR version 7

Torch's newer exporter writes opset 18 at least, and TensorRT 8.2 reads 13 at most. The older one alone loses a tensor's size
wherever a module asks for it, and then refuses to write a convolution with computed weights (the Gaussian filter has them).
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import onnx
import onnxslim
import torch

from edge_inspect.errors import EngineError
from edge_inspect.model_folder import ImageSize
from edge_inspect.runtimes.graph import FRAME, IMAGE_SCORE, SCORE_MAP

OPSET = 13
IR_VERSION = 7
"""What goes with opset 13. Source: onnx, docs/Versioning.md."""


def traced_graph(system: Any, size: ImageSize, *, dynamic_batch: bool = False) -> onnx.ModelProto:
    """Write a system as ONNX.

    Args:
        system: an `nn.Module` from frames (n, H, W, C) uint8 to score map (n, 1, h, w) and image score (n,), settled.
        size: of the network's image.
        dynamic_batch: leave n open; else it is 1, which is what the line opens.

    Returns:
        The simplified graph, input `frame`, outputs `score_map` and `image_score`; the same bytes for the same weights.

    Raises:
        EngineError: torch cannot write it.
    """
    batch = 2 if dynamic_batch else 1  # torch.export takes a batch of one for a constant
    frames = torch.zeros(batch, size.height, size.width, size.channels, dtype=torch.uint8)
    try:
        written = _written(system.eval(), frames, dynamic_batch=dynamic_batch)
    except Exception as error:  # torch raises a dozen kinds, each many lines long
        said = " ".join(str(error).split())[:300]
        raise EngineError(f"{type(system).__name__}: torch cannot write it as ONNX: {said}; change its forward") from error
    return _cleaned(onnxslim.slim(onnx.load_from_string(written)))


def _written(system: Any, frames: torch.Tensor, *, dynamic_batch: bool) -> bytes:
    open_batch = ({0: torch.export.Dim("n")},) if dynamic_batch else None
    axes = {name: {0: "n"} for name in (FRAME, SCORE_MAP, IMAGE_SCORE)} if dynamic_batch else None
    written: Any = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # It warns that it is old, that it is given a frozen module, and of what onnxslim folds; what comes out is checked.
        warnings.simplefilter("ignore")
        module = torch.export.export(system, (frames,), dynamic_shapes=open_batch).module()
        torch.onnx.export(
            module,
            (frames,),
            written,
            dynamo=False,
            opset_version=OPSET,
            input_names=[FRAME],
            output_names=[SCORE_MAP, IMAGE_SCORE],
            dynamic_axes=axes,
            training=torch.onnx.TrainingMode.PRESERVE,  # it is in eval mode, and an exported module takes no change of mode
        )
    return bytes(written.getvalue())


def _cleaned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without what is not part of the graph: places in source files, the exporter's name."""
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "edge-inspect", "", ""
    del model.metadata_props[:]
    model.graph.name = "trained"
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return model
