"""A loaded plan, in a worker or in this process: two classes that open, infer and close alike."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_inspect.datatypes import Placement, Scores, UInt8Image
from edge_inspect.errors import EngineError
from edge_inspect.model_folder import Manifest
from edge_inspect.runtimes.tensorrt_buffers import RawFrameOptions, SharedBuffers
from edge_inspect.runtimes.tensorrt_plan import Gpu, PlanSidecar, refuse_elsewhere
from edge_inspect.runtimes.tensorrt_process import WorkerOrder, WorkerProcess
from edge_inspect.runtimes.tensorrt_worker import Engine, EngineFailed
from edge_inspect.runtimes.warp_proof import prove_warp


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a worker may take: to start and load [s], and for one frame [s]."""

    start_s: float
    infer_s: float


def made_of(order: WorkerOrder, sidecar: PlanSidecar) -> dict[str, str]:
    """As `protocols.Identified`: the plan's, and the compiled warp where the GPU makes the engine's input."""
    return {**sidecar.made_of, **({"warp_sha256": order.kernel_sha256} if order.kernel else {})}


class WorkerEngine:
    """A plan in a process of its own. Made quickly; `open` takes as long as loading it."""

    def __init__(
        self, order: WorkerOrder, manifest: Manifest, sidecar: PlanSidecar, limits: Limits, raw: RawFrameOptions | None = None
    ) -> None:
        self._order, self._sidecar, self._limits = order, sidecar, limits
        self._buffers = SharedBuffers(manifest, float_input=sidecar.float_input, raw=raw, names=sidecar.tensor_names)
        try:
            self.process = WorkerProcess(order, self._buffers)
        except EngineError:
            self._buffers.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can infer."""
        return self.process.alive

    def open(self) -> None:
        """Check the plan against the worker's TensorRT and GPU, then load it; hold the GPU's warp against the CPU's.

        Raises:
            EngineError: it is not for them, cannot be loaded, or the warp makes another image.
        """
        _refuse_elsewhere(self._order, self._sidecar, self.process.facts(self._limits.start_s))
        self.process.load(self._limits.start_s)
        prove_warp(self._buffers, lambda: self.process.warp(self._limits.start_s))

    def infer(self, pixels: UInt8Image, placement: Placement) -> Scores:
        """As `protocols.Runtime`."""
        self._buffers.place(pixels, placement)
        self.process.run(self._limits.infer_s)
        return self._buffers.scores()

    def kill(self) -> None:
        """End the worker, also while another thread waits for it."""
        self.process.kill()

    def close(self) -> None:
        """End the worker; nothing of it is left."""
        self.process.close()
        self._buffers.close()


class LocalEngine:
    """The same class in this process: no boundary, and no rescue from a hang or a lost GPU."""

    def __init__(self, order: WorkerOrder, manifest: Manifest, sidecar: PlanSidecar, raw: RawFrameOptions | None = None) -> None:
        self._order, self._sidecar = order, sidecar
        self._buffers = SharedBuffers(manifest, float_input=sidecar.float_input, raw=raw, names=sidecar.tensor_names)
        self._engine: Engine | None = None
        self.alive = True
        self.made_of = made_of(order, sidecar)

    def open(self) -> None:
        """As `WorkerEngine.open`."""
        order = self._order
        engine = self._guarded(lambda: Engine(_module(order.tensorrt), _module(order.cuda), order.device, order.graph))
        self._engine = engine
        _refuse_elsewhere(order, self._sidecar, engine.facts())
        tensors = [
            {"name": one.name, "type": one.type, "shape": one.shape, "input": one.input, "offset": one.offset}
            for one in self._buffers.tensors
        ]
        plan, warp = order.plan.read_bytes(), self._warp_order()
        self._guarded(lambda: engine.load(plan, self._buffers.memory, tensors, warp))
        prove_warp(self._buffers, lambda: self._guarded(engine.warp))

    def infer(self, pixels: UInt8Image, placement: Placement) -> Scores:
        """As `protocols.Runtime`.

        Raises:
            EngineError: it failed; after a failure of the GPU for every frame, until the station is started again.
        """
        if self._engine is None or not self.alive:
            raise EngineError(f"{self._order.plan}: the GPU failed in this process; start the station again, or use the worker")
        self._buffers.place(pixels, placement)
        self._guarded(self._engine.run)
        return self._buffers.scores()

    def close(self) -> None:
        """Give the GPU's memory back."""
        if self._engine is not None:
            self._engine.close()
        self._buffers.close()

    def _warp_order(self) -> dict[str, Any] | None:
        raw, kernel = self._buffers.raw, self._order.kernel
        if raw is None or kernel is None:
            return None
        return {"kernel": kernel.read_bytes(), "frames": raw.descriptor, "order": self._buffers.order}

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except EngineFailed as error:
            self.alive = self.alive and not error.fatal
            raise EngineError(f"{self._order.plan}: {error}; build the plan again on this device, or use the worker") from error


def _refuse_elsewhere(order: WorkerOrder, sidecar: PlanSidecar, facts: Mapping[str, Any]) -> None:
    refuse_elsewhere(order.plan, sidecar, module=facts["module"], tensorrt=facts["tensorrt"], gpu=Gpu(**facts["gpu"]))


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise EngineError(f"{name} cannot be imported here: {error}; install it, or name an interpreter that has it (python)") from error
