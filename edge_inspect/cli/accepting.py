"""`edge-inspect build --accept`: the gate, and what it found in words."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from edge_inspect.acceptance import ACCEPTANCE_FILE, REPEATS, AcceptanceRecord
from edge_inspect.config import DEFAULT_RUNTIME, Recipe
from edge_inspect.field.accepting import accept_engines, precisions_of
from edge_inspect.model_folder import Precision, open_model_folder


def accept_and_tell(recipe: Recipe, arguments: argparse.Namespace) -> tuple[AcceptanceRecord, ...]:
    """Accept what was built, or all that is there; print it unless JSON is asked for.

    Raises:
        EdgeInspectError: an engine cannot be opened, or the record cannot be written.
    """
    kind = arguments.runtime or ("tensorrt" if arguments.plan else DEFAULT_RUNTIME)
    options = _tensorrt_options(arguments) if kind == "tensorrt" else {}
    records = accept_engines(recipe, _to_accept(recipe, arguments), kind=kind, options=options, base=Path.cwd())
    if not arguments.json:
        print("\n".join(line for record in records for line in acceptance_lines(record)))
        print(f"written      {recipe.thresholds.with_name(ACCEPTANCE_FILE)}")
    return records


def acceptance_lines(record: AcceptanceRecord) -> Iterator[str]:
    """What the gate found, a line each."""
    found, binding = record.result, record.binding
    yield f"{binding.precision:12} {'accepted' if record.accepted else 'REFUSED'} in {binding.runtime} on {binding.device['processor']}"
    if not record.accepted:
        yield f"why          {'; '.join(found['complaints'])}"
    yield (
        f"golden       {found['frames']} frames, {len(found['flipped'])} verdicts flipped, {_share(found['margin_used'])} of the margin "
        f"used, largest difference {_share(found['worst_relative'])} of the score range, regions overlap by {found['regions_overlap']:.3f}"
    )
    if found.get("calibration"):
        moved = ", ".join(f"{name} {_share(share)}" for name, share in found["calibration"].items())
        yield f"thresholds   on the calibration frames move by so much of their room: {moved}"
    yield (
        f"latency      p50 {found['latency_p50_ms']:.2f} ms, p95 {found['latency_p95_ms']:.2f} ms, p99 {found['latency_p99_ms']:.2f} ms; "
        f"the same frame {REPEATS} times gave {'the same bits' if found['repeatable'] else 'different bits'}"
    )


def _to_accept(recipe: Recipe, arguments: argparse.Namespace) -> list[Precision]:
    if not arguments.plan:
        return arguments.precision or precisions_of(open_model_folder(recipe.engine))
    return arguments.precision or (["fp32"] if arguments.via == "torch-tensorrt" else ["fp16", "int8"])


def _tensorrt_options(arguments: argparse.Namespace) -> dict[str, str]:
    python = {"python": str(arguments.python)} if arguments.python else {}
    return {"library": arguments.library, "cuda": arguments.cuda, **python}


def _share(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2%}"
