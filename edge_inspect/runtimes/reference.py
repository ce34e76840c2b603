"""Runtime `reference`: slow, plain and trusted; what every other engine is accepted against.

ONNX Runtime with every optimisation off and one thread: each node of the graph runs as it is written, in its order, with
no fusion, no other layout, and the same order of additions each time. It is the same library as `onnx`, so `teach` also
holds its golden frames against onnx.reference, which shares no code with it (the line itself may not import onnx).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge_inspect.model_folder import ModelFolder
from edge_inspect.protocols import Runtime
from edge_inspect.runtimes.session import open_session


@contextmanager
def open_reference(*, model: ModelFolder) -> Iterator[Runtime]:
    """Open the model as it is written.

    Args:
        model: verified model folder; given by the station.

    Raises:
        EngineError: the library refuses the graph, or the graph is not the manifest's.
    """
    yield open_session(model, threads=1, optimised=False)
