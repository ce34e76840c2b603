"""How a broken promise is told."""

from __future__ import annotations

PATIENCE_S = 10.0
"""Far beyond any honest wait: it catches a call that hangs, not a slow machine."""


def demand(kept: bool, sentence: str) -> None:
    """Raise AssertionError with the sentence unless the promise was kept (`assert` would be gone under `python -O`)."""
    if not kept:
        raise AssertionError(sentence)
