"""The same data, seed, thread count and machine give the same weights: everything that would move them, fixed in one place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from edge_inspect.errors import ConfigError


@contextmanager
def repeatable(seed: int, threads: int | None) -> Iterator[torch.device]:
    """Fix torch's generators, thread count and algorithms, and leave all as it was afterwards.

    Where CUDA has no deterministic algorithm (bilinear enlarging backwards) torch warns and goes on.

    Args:
        seed: of torch's global generators.
        threads: for one operation; None leaves it as it is (one per core).

    Yields:
        The device to train on: CUDA where there is one.

    Raises:
        ConfigError: no such number of threads.
    """
    if threads is not None and threads < 1:
        raise ConfigError(f"threads {threads}: must be 1 or more")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, strict, lenient = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    with torch.random.fork_rng():
        try:
            torch.set_num_threads(threads or before)
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.manual_seed(seed)
            yield torch.device("cuda" if torch.cuda.is_available() else "cpu")
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=lenient)
            torch.set_num_threads(before)


def named(device: torch.device) -> str:
    """The device in words: `cpu`, or CUDA with the card's name."""
    return device.type if device.type == "cpu" else f"{device.type}: {torch.cuda.get_device_name(device)}"
