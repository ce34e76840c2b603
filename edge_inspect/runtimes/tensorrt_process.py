"""The worker's process, as the line sees it: started, asked, and killed when it does not answer.

It ends when this process does, also by kill -9: the kernel closes the lifeline then. Nothing else of it is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_inspect.child_process import how_it_ended
from edge_inspect.errors import EngineError
from edge_inspect.runtimes.tensorrt_buffers import SharedBuffers
from edge_inspect.runtimes.tensorrt_plan import BUILD_AGAIN
from edge_inspect.runtimes.tensorrt_worker import DONE, LOAD, RUN, WARP, stay_awake
from edge_inspect.time_left import THE_END

WORKER = Path(__file__).with_name("tensorrt_worker.py")
# A killed process is gone at once, unless the driver holds it; then it is left to the driver.
BURIAL_S = 5.0
# Giving the GPU's memory back takes milliseconds.
FAREWELL_S = 2.0
BEFORE_LOADING = f"correct the runtime's options, or {BUILD_AGAIN}"
AFTER_LOADING = "the worker is started again"
_LONGEST_ANSWER = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOrder:
    """What a worker is to do.

    Attributes:
        tensorrt, cuda: modules to import there.
        device: number of the GPU.
        plan: to load.
        plan_sha256: that the plan must have.
        kernel: compiled warp that makes the engine's input on the GPU; None makes it here.
        kernel_sha256: that it must have.
        python: interpreter to run it with; None is this one.
        graph: launch the network's kernels as one CUDA graph where that can be recorded.
        busy_wait_s: how long both sides keep their core while they wait for each other [s]; 0 sleeps at once.
    """

    tensorrt: str
    cuda: str
    device: int
    plan: Path
    plan_sha256: str
    kernel: Path | None = None
    kernel_sha256: str = ""
    python: Path | None
    graph: bool = True
    busy_wait_s: float = 0.0


class WorkerProcess:
    """One worker. Each call has a time limit; a worker that exceeds it, or breaks off, is killed and stays dead.

    Raises:
        EngineError: the interpreter cannot be started.
    """

    def __init__(self, order: WorkerOrder, buffers: SharedBuffers) -> None:
        self._order = order
        self._rest = b""
        self._advice = BEFORE_LOADING
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        lifeline, self._lifeline = os.pipe()
        there = {"commands": commands, "answers": answers, "lifeline": lifeline, "memory": buffers.descriptor}
        if buffers.raw is not None:
            there["frames"] = buffers.raw.descriptor
        self._open = [self._commands, self._answers, self._lifeline]
        try:
            self._process = _start(order, buffers, there)
        except OSError as error:
            while self._open:
                os.close(self._open.pop())
            raise EngineError(f"{order.python}: cannot be started: {error.strerror}; correct the runtime's option python") from error
        finally:
            for descriptor in (commands, answers, lifeline):
                os.close(descriptor)
        self._ready = select.poll()
        self._ready.register(self._answers, select.POLLIN)
        self.alive = True

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def facts(self, timeout_s: float) -> Mapping[str, Any]:
        """What the worker tells of its modules and its GPU, as soon as it can.

        Raises:
            EngineError: it cannot start, with its reason.
        """
        return self._answer(timeout_s, "start")

    def load(self, timeout_s: float) -> str:
        """Load the plan; how its memory is page-locked.

        Raises:
            EngineError: the plan cannot be loaded, with the worker's reason.
        """
        self._ask(LOAD)
        pinned = str(self._answer(timeout_s, "load the plan")["memory"])
        self._advice = AFTER_LOADING
        return pinned

    def run(self, timeout_s: float) -> None:
        """One inference, from the shared memory into it.

        Raises:
            EngineError: it failed, and why; `alive` says whether the worker can go on.
        """
        self._do(RUN, timeout_s)

    def warp(self, timeout_s: float) -> None:
        """Only the GPU's warp, from the frame's memory into the image that `SharedBuffers.image` shows.

        Raises:
            EngineError: as `run`.
        """
        self._do(WARP, timeout_s)

    def _do(self, command: bytes, timeout_s: float) -> None:
        self._ask(command)
        try:
            self._answer(timeout_s, "answer")
        except EngineError:
            raise
        except BaseException:
            self.kill()  # interrupted while it waited: the answer would be taken for that of the next frame
            raise

    def close(self) -> None:
        """End the process, gently where it still listens, and bury it; nothing of it is left."""
        if self.alive:
            self._open.remove(self._commands)
            os.close(self._commands)
            self.alive = False
            self._bury(THE_END.at_most(FAREWELL_S))
        self.kill()
        while self._open:
            os.close(self._open.pop())

    def kill(self) -> None:
        """End the process now."""
        self.alive = False
        self._process.kill()
        self._bury(THE_END.at_most(BURIAL_S))

    def _ask(self, command: bytes) -> None:
        try:
            os.write(self._commands, command)
        except BrokenPipeError:
            raise self._broken_off() from None

    def _answer(self, timeout_s: float, doing: str) -> dict[str, Any]:
        line = self._line(time.monotonic() + timeout_s)
        if line is None:
            self.kill()
            raise self._error(f"the TensorRT worker did not {doing} within {timeout_s:g} s and was killed")
        if line == DONE:
            return {}
        answer: dict[str, Any] = json.loads(line)
        if "error" not in answer:
            return answer
        if answer["fatal"]:
            self.kill()
        raise self._error(answer["error"])

    def _line(self, until: float) -> bytes | None:
        """The next whole line; None when the time is over."""
        stay_awake(self._ready, self._order.busy_wait_s)
        while b"\n" not in self._rest:
            left_ms = max(0.0, until - time.monotonic()) * 1e3
            if not self._ready.poll(left_ms):
                return None
            more = os.read(self._answers, _LONGEST_ANSWER)
            if not more:
                raise self._broken_off()
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line + b"\n"

    def _broken_off(self) -> EngineError:
        self.alive = False
        self._bury(BURIAL_S)
        return self._error(f"the TensorRT worker ended by itself ({how_it_ended(self._process.returncode)})")

    def _error(self, what: str) -> EngineError:
        return EngineError(f"{self._order.plan}: {what}; {self._advice if not self.alive else BUILD_AGAIN}")

    def _bury(self, patience_s: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)


def _start(order: WorkerOrder, buffers: SharedBuffers, there: dict[str, int]) -> subprocess.Popen[bytes]:
    tensors = [asdict(tensor) for tensor in buffers.tensors]
    warp = None
    if order.kernel is not None:
        warp = {"kernel": str(order.kernel.absolute()), "kernel_sha256": order.kernel_sha256, "order": buffers.order, **there}
    told = {
        **{"tensorrt": order.tensorrt, "cuda": order.cuda, "device": order.device},
        **{"graph": order.graph, "busy_wait_s": order.busy_wait_s},
        **{"plan": str(order.plan.absolute()), "plan_sha256": order.plan_sha256, "warp": warp},
        **{"tensors": tensors, "bytes": buffers.size, **there},
    }
    return subprocess.Popen(  # noqa: S603
        [str(order.python or sys.executable), str(WORKER), json.dumps(told)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=tuple(there.values()),
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    """Ours, without what belongs to this interpreter alone; numpy of Python 3.6 dies on a Jetson Nano without the second."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    return {"OPENBLAS_CORETYPE": "ARMV8", **ours} if os.uname().machine == "aarch64" else ours
