"""Runtime `onnx`: the graph in ONNX Runtime on the CPU; the default where OpenVINO has no build."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field

from edge_inspect.model_folder import ModelFolder
from edge_inspect.protocols import Runtime
from edge_inspect.runtimes.cores import Cores, on_cores
from edge_inspect.runtimes.session import open_session


@contextmanager
def open_onnx(*, model: ModelFolder, threads: Annotated[int, Field(ge=0, le=256)] = 0, cores: Cores = ()) -> Iterator[Runtime]:
    """Open the model in ONNX Runtime, with every optimisation of the graph that keeps float32.

    Args:
        model: verified model folder; given by the station.
        threads: for one inference; 0 is one per core.
        cores: numbers of the cores that the engine may use; none is all. Stations that share a machine do best with cores of their own.

    Raises:
        EngineError: the library refuses the graph, or the graph is not the manifest's.
    """
    with on_cores(cores):
        yield open_session(model, threads=threads or len(cores), optimised=True)
