"""Runtime `onnx`: the graph in ONNX Runtime on the CPU; the default where OpenVINO has no build."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field

from edge_inspect.model_folder import ModelFolder
from edge_inspect.protocols import Runtime
from edge_inspect.runtimes.session import open_session


@contextmanager
def open_onnx(*, model: ModelFolder, threads: Annotated[int, Field(ge=0, le=256)] = 0) -> Iterator[Runtime]:
    """Open the model in ONNX Runtime, with every optimisation of the graph that keeps float32.

    Args:
        model: verified model folder; given by the station.
        threads: for one inference; 0 is one per core.

    Raises:
        EngineError: the library refuses the graph, or the graph is not the manifest's.
    """
    yield open_session(model, threads=threads, optimised=True)
