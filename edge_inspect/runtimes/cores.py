"""Which processor cores an engine may use, so that several stations on one machine do not take each other's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field

from edge_inspect.errors import EngineError

Cores = tuple[Annotated[int, Field(ge=0, le=4095)], ...]
"""Numbers of processor cores, as the kernel counts them; none is every core that the process may use."""


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Hold this thread, and every thread that it starts meanwhile, to these cores; threads that run already stay where they are.

    The thread that opens an engine is the one that infers, and the library's workers are started by it.

    Raises:
        EngineError: a core is named that this process may not use.
    """
    if not cores:
        yield
        return
    usable = os.sched_getaffinity(0)
    missing = sorted(set(cores) - usable)
    if missing:
        raise EngineError(
            f"runtime: cores: {', '.join(map(str, missing))} cannot be used here, this process may use "
            f"{', '.join(map(str, sorted(usable)))}; correct `cores`, or CPUAffinity of the service"
        )
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)
