"""Runtime `tensorrt`: a plan on the GPU, in a worker that a hang or a CUDA fault takes down instead of the line.

The part on which that happens is a FAULT. The worker is started again in the background; until it has said of the golden
frames, bit for bit, what it said when the station accepted it, every part is a FAULT, at once and with the reason.

Never run on a GPU here: tested against fakes with the names of the real modules, which run the graph in ONNX Runtime.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Protocol

import numpy as np
from pydantic import Field

from edge_inspect.datatypes import Placement, Scores, UInt8Image
from edge_inspect.errors import EngineError
from edge_inspect.model_folder import ModelFolder
from edge_inspect.protocols import Runtime
from edge_inspect.runtimes.tensorrt_buffers import RawFrameOptions
from edge_inspect.runtimes.tensorrt_engines import Limits, LocalEngine, WorkerEngine, made_of
from edge_inspect.runtimes.tensorrt_frames import Mosaic
from edge_inspect.runtimes.tensorrt_plan import PlanSidecar, load_plan, verify_kernel
from edge_inspect.runtimes.tensorrt_process import WorkerOrder
from edge_inspect.time_left import THE_END

CLOSE_WITHIN_S = 30.0


@contextmanager
def open_tensorrt(
    *,
    model: ModelFolder,
    plan: Path | None = None,
    python: Path | None = None,
    in_process: bool = False,
    timeout_ms: Annotated[int, Field(ge=1, le=60_000)] = 1000,
    start_timeout_s: Annotated[int, Field(ge=1, le=3600)] = 120,
    gpu_warp: bool | None = None,
    bayer: Mosaic | None = None,
    frame_mb: Annotated[int, Field(ge=1, le=1024)] = 16,
    busy_wait_ms: Annotated[int, Field(ge=0, le=1000)] = 0,
    cuda_graph: bool = True,
    device: Annotated[int, Field(ge=0, le=63)] = 0,
    library: str = "tensorrt",
    cuda: str = "pycuda.driver",
) -> Iterator[Runtime]:
    """Open a TensorRT plan that was built from the model on this device.

    Args:
        model: verified model folder; given by the station.
        plan: NAME.plan, its sidecar NAME.plan.json beside it; None takes model.<precision>.plan, or the only one in the model folder.
        python: interpreter of the worker, which must have `library`, `cuda` and numpy, 3.6 or newer; None is the line's own.
        in_process: run in the line's process; a hang or a lost GPU then takes the line with it.
        timeout_ms: longest time for one frame; a worker that takes longer is killed and started again.
        start_timeout_s: longest time to load the plan and warm it up.
        gpu_warp: the GPU reads the network's image out of the raw frame; false does that on the CPU. None takes the GPU where the
            plan was built with the warp. At every start it is held against the CPU's, one grey level is allowed.
        bayer: the camera's frames of one channel are such a raw mosaic, first row's colours first, and the GPU makes colours of
            them; None takes them as grey.
        frame_mb: memory for a raw frame, here and on the GPU [MiB]; a larger frame makes it grow, which costs that part some ms.
        busy_wait_ms: line and worker keep their cores this long while they wait for each other, instead of sleeping and being woken;
            longer than from part to part, the worker never sleeps. Only where both have a core to themselves.
        cuda_graph: launch the network's kernels as one CUDA graph, recorded after the warm-up; where TensorRT or the driver does not let
            it be recorded, they are launched one by one. Either way the golden frames decide.
        device: number of the GPU.
        library: Python module of TensorRT, `tensorrt` or `tensorrt_rtx`.
        cuda: Python module of CUDA's driver, as pycuda offers it.

    Raises:
        EngineError: plan, sidecar, TensorRT, GPU and model do not belong together, or the plan cannot be loaded.
    """
    path = _the_plan(model) if plan is None else plan
    sidecar = load_plan(path, model)
    order = WorkerOrder(
        tensorrt=library,
        cuda=cuda,
        device=device,
        plan=path,
        plan_sha256=sidecar.plan_sha256,
        python=python,
        graph=cuda_graph,
        busy_wait_s=busy_wait_ms / 1e3,
    )
    raw = None
    if gpu_warp or (gpu_warp is None and sidecar.warp is not None):
        order = _with_kernel(order, sidecar)
        raw = RawFrameOptions(size=frame_mb << 20, mosaic=bayer)
    _refuse_lone_mosaic(model, bayer, warped=raw is not None)
    limits = Limits(start_s=float(start_timeout_s), infer_s=timeout_ms / 1e3)
    if in_process:
        local = LocalEngine(order, model.manifest, sidecar, raw)
        try:
            local.open()
            yield local
        finally:
            local.close()
        return
    rescued = RescuedEngine(
        lambda: WorkerEngine(order, model.manifest, sidecar, limits, raw), GoldenAnswers(model), made_of=made_of(order, sidecar)
    )
    try:
        yield rescued
    finally:
        rescued.close()


class GoldenAnswers:
    """What the engine said of the golden frames when it was opened; the station accepts or refuses that."""

    def __init__(self, model: ModelFolder) -> None:
        image = model.manifest.input
        self._model = model
        self._frames = model.load_golden().images
        unmoved = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        self._placement = Placement(affine=unmoved, width=image.width, height=image.height, channels=image.channels)
        self._said: list[tuple[bytes, float | None]] = []

    def keep(self, engine: Runtime) -> None:
        """Remember what this engine says.

        Raises:
            EngineError: it fails on a frame.
        """
        self._said = self._ask(engine)

    def demand(self, engine: Runtime) -> None:
        """Refuse an engine that now says anything else.

        Raises:
            EngineError: it fails on a frame, or says something else.
        """
        differing = sum(one != other for one, other in zip(self._ask(engine), self._said, strict=True))
        if differing:
            raise EngineError(
                f"{self._model.path}: started again, the engine says of {differing} golden frames what it did not say before; "
                "it does not serve: start the station again, and build the plan again if it is not accepted"
            )

    def _ask(self, engine: Runtime) -> list[tuple[bytes, float | None]]:
        said = [engine.infer(frame, self._placement) for frame in self._frames]
        return [(scores.map.tobytes(), scores.image) for scores in said]


class _Mortal(Protocol):
    """An engine that can be lost, such as `WorkerEngine`."""

    @property
    def alive(self) -> bool: ...

    def open(self) -> None: ...

    def infer(self, pixels: UInt8Image, placement: Placement) -> Scores: ...

    def kill(self) -> None: ...

    def close(self) -> None: ...


class RescuedEngine:
    """A `protocols.Runtime` over engines that can be lost: the next one is started and proved while parts are FAULTs.

    Args:
        make: makes an engine that is not open yet.
        golden: what every later engine is held against.
        made_of: as `protocols.Identified`.

    Raises:
        EngineError: the first one cannot be opened.
    """

    def __init__(self, make: Callable[[], _Mortal], golden: GoldenAnswers, *, made_of: Mapping[str, str] = MappingProxyType({})) -> None:
        self._make, self._golden = make, golden
        self.made_of = made_of
        self._engine = make()
        self._rescue: threading.Thread | None = None
        self._refusal: EngineError | None = None
        try:
            self._engine.open()
            golden.keep(self._engine)
        except BaseException:
            self._engine.close()
            raise

    def infer(self, pixels: UInt8Image, placement: Placement) -> Scores:
        """As `protocols.Runtime`.

        Raises:
            EngineError: the engine failed, or is being started again.
        """
        self._refuse_unready()
        try:
            return self._engine.infer(pixels, placement)
        finally:
            if not self._engine.alive:
                self._start_again()

    def close(self) -> None:
        """End it, also while it is being started again."""
        if self._rescue is not None:
            self._engine.kill()
            self._rescue.join(THE_END.at_most(CLOSE_WITHIN_S))
        self._engine.close()

    def _refuse_unready(self) -> None:
        if self._rescue is not None and self._rescue.is_alive():
            raise EngineError("the TensorRT worker is being started again; this part is not inspected")
        self._rescue = None
        if self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            self._start_again()
            raise refusal

    def _start_again(self) -> None:
        self._engine.close()
        try:
            self._engine = self._make()
        except EngineError as error:
            self._refusal = error
            return
        self._refusal = EngineError("the TensorRT worker broke off while it was started again; look at the station's log")
        self._rescue = threading.Thread(target=self._open_and_prove, args=(self._engine,), name="tensorrt-rescue", daemon=True)
        self._rescue.start()

    def _open_and_prove(self, engine: _Mortal) -> None:
        try:
            engine.open()
            self._golden.demand(engine)
        except EngineError as error:
            self._refusal = error
        else:
            self._refusal = None


def _with_kernel(order: WorkerOrder, sidecar: PlanSidecar) -> WorkerOrder:
    kernel = verify_kernel(order.plan, sidecar)
    return replace(order, kernel=kernel, kernel_sha256=hashlib.sha256(kernel.read_bytes()).hexdigest())


def _refuse_lone_mosaic(model: ModelFolder, bayer: str | None, *, warped: bool) -> None:
    """A mosaic needs the GPU's warp, and a model that tells colours: else its golden frames would be taken for mosaics too."""
    if bayer is not None and not warped:
        raise EngineError(f"bayer {bayer}: only the GPU's warp reads raw mosaics; let the camera convert, or build the plan with the warp")
    if bayer is not None and model.manifest.input.channels != 3:
        raise EngineError(f"bayer {bayer}: {model.path} takes grey images; let the camera deliver grey")


def _the_plan(model: ModelFolder) -> Path:
    of_precision = model.path / f"model.{model.precision}.plan"
    if of_precision.exists():
        return of_precision
    found = sorted(model.path.glob("*.plan"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise EngineError(
            f"{model.path}: the runtime tensorrt wants one plan, found {names}; build one (edge-inspect build) or name it (plan)"
        )
    return found[0]
