"""`torch_tensorrt` 2.13.0 by the one name that is called: its parameters, its names of inputs and outputs, into a plan of the fakes."""

import inspect
import io
import json
import warnings
from pathlib import Path

from fake_tensorrt.plan import write_plan

FACTS = json.loads((Path(__file__).parent / "api" / "torch-tensorrt-2.13.0.json").read_text())
__version__ = FACTS["__version__"]


class Dynamo:
    """Of one TensorRT; `called` keeps what it was called with, `failing` is raised."""

    def __init__(self, trt, capability):
        self._trt, self._capability = trt, capability
        self.called, self.failing = {}, None

    def convert_exported_program_to_serialized_trt_engine(self, *arguments, **named):
        self.called = _signature().bind(*arguments, **named).arguments
        if self.failing:
            raise self.failing
        program = self.called["exported_program"]
        return write_plan(self._trt, _onnx_of(program, self.called["arg_inputs"]), [self._capability])


def _signature():
    names = FACTS["convert_exported_program_to_serialized_trt_engine"]
    kinds = inspect.Parameter
    positional = [kinds(name, kinds.POSITIONAL_OR_KEYWORD, default=None) for name in names["positional"]]
    return inspect.Signature(positional + [kinds(name, kinds.KEYWORD_ONLY, default=None) for name in names["keyword_only"]])


def _onnx_of(program, inputs):
    """Inputs keep the names of the placeholders, outputs are counted, as TensorRT's networks get them from the real one."""
    import onnx
    import onnxslim
    import torch

    written = io.BytesIO()
    names = list(program.graph_signature.user_inputs)
    outputs = [f"output{place}" for place, _ in enumerate(program.graph_signature.user_outputs)]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            program.module(),
            tuple(inputs),
            written,
            dynamo=False,
            opset_version=13,
            input_names=names,
            output_names=outputs,
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    # A network of TensorRT knows every length.
    return onnxslim.slim(onnx.load_from_string(written.getvalue())).SerializeToString()
