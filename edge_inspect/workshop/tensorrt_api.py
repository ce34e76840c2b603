"""Where TensorRT is: in this interpreter, or in another one that is asked and told (Jetson Nano: the system's 3.6)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edge_inspect.errors import EngineError
from edge_inspect.runtimes.tensorrt_plan import Gpu
from edge_inspect.runtimes.tensorrt_process import WORKER
from edge_inspect.workshop import tensorrt_builder

BUILDER = Path(tensorrt_builder.__file__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What differs between the modules, found by asking them for names.

    Attributes:
        module: its name, `tensorrt` or `tensorrt_rtx`, which counts its own versions and has the names of 11.x.
        version: for people and for the sidecar; nothing is decided by it.
        precision_flags: networks may be weakly typed: flags say what may be computed in FP16 or INT8 (8.2 to 10.x).
        strong_typing: a network may take its types from the graph (10.0 on; 11.x and tensorrt_rtx know nothing else).
        uint8: a graph may start from uint8 pixels (8.5 on).
        builds_ahead: it builds for GPUs that are not here (tensorrt_rtx).
    """

    module: str
    version: str
    precision_flags: bool
    strong_typing: bool
    uint8: bool
    builds_ahead: bool

    @property
    def named(self) -> str:
        """How it is named in a sentence."""
        return f"{self.module} {self.version}"


class TensorRt(Protocol):
    """A TensorRT to build with."""

    @property
    def api(self) -> Api:
        """What it can do."""

    def build(self, graph: bytes, timing_cache: bytes, wants: dict[str, Any]) -> tuple[bytes, bytes]:
        """Plan and timing cache.

        Raises:
            EngineError: it refuses, with all that it said.
        """


class Here:
    """A module of this interpreter."""

    def __init__(self, trt: Any) -> None:
        self._trt = trt
        self.api = Api(**tensorrt_builder.ask(trt))

    def build(self, graph: bytes, timing_cache: bytes, wants: dict[str, Any]) -> tuple[bytes, bytes]:
        """As `TensorRt.build`."""
        try:
            return tensorrt_builder.Build(self._trt, wants).run(graph, timing_cache)
        except tensorrt_builder.BuildFailed as error:
            raise EngineError(str(error)) from error


class Elsewhere:
    """A module of another interpreter, Python 3.6 or newer, each question a process of its own.

    Args:
        python: the interpreter, such as /usr/bin/python3 of a Jetson.
        library: name of the module there.

    Raises:
        EngineError: it cannot be started, or has no such module.
    """

    def __init__(self, python: Path, library: str = "tensorrt") -> None:
        self._python, self._library = python, library
        self.api = Api(**self._ask({}))

    def build(self, graph: bytes, timing_cache: bytes, wants: dict[str, Any]) -> tuple[bytes, bytes]:
        """As `TensorRt.build`."""
        with tempfile.TemporaryDirectory() as name:
            files = {key: Path(name) / key for key in ("graph", "timing_cache", "plan")}
            files["graph"].write_bytes(graph)
            files["timing_cache"].write_bytes(timing_cache)
            self._ask({**{key: str(path) for key, path in files.items()}, "wants": wants})
            return files["plan"].read_bytes(), files["timing_cache"].read_bytes()

    def read_gpu(self, cuda: str = "pycuda.driver", device: int = 0) -> Gpu:
        """The GPU here, by a module of that interpreter.

        Raises:
            EngineError: there is none, or its driver does not answer.
        """
        return Gpu(**self._ask({"cuda": cuda, "device": device, "worker": str(WORKER)}))

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        told = json.dumps({"tensorrt": self._library, **order})
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
        try:
            done = subprocess.run([str(self._python), str(BUILDER), told], stdout=subprocess.PIPE, env=environment, check=False)  # noqa: S603
        except OSError as error:
            raise EngineError(
                f"{self._python}: cannot be started: {error.strerror}; name an interpreter that has {self._library}"
            ) from error
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError as error:
            raise EngineError(
                f"{self._python}: {self._library} broke off ({done.returncode}) while building; look at what it printed"
            ) from error
        if "error" in answer:
            raise EngineError(answer["error"])
        return answer


def here(library: str = "tensorrt") -> Here:
    """The TensorRT of this interpreter.

    Raises:
        EngineError: there is none.
    """
    import importlib

    try:
        return Here(importlib.import_module(library))
    except (ImportError, OSError) as error:
        raise EngineError(
            f"{library} cannot be imported by {sys.executable}: {error}; install it, or name an interpreter that has it"
        ) from error
