"""Does NVIDIA's own parser take what we export, and build it? tensorrt_rtx says so on a machine without a GPU.

Every precision of every model folder is built for every kind of GPU: docs/results/tensorrt_rtx_builds.json. What it says:
parser and strongly typed builder of the 11.x kind take this graph. What it does not say: anything about speed, about
scores, or about the parsers of TensorRT 8.2 to 10.x.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_inspect.durable import replace_file
from edge_inspect.errors import EngineError
from edge_inspect.model_folder import MANIFEST_FILE, ModelFolder, Precision, open_model_folder
from edge_inspect.workshop.tensorrt_api import Here, TensorRt
from edge_inspect.workshop.tensorrt_build import BuildSpec, build_plan, graph_file

CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0")
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
RESULT_FILE = "tensorrt_rtx_builds.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One build.

    Attributes:
        model: path of the model folder, below the one that was asked for.
        family: of models.
        precision: of the plan.
        sm: compute capability that it was built for, as in SM86.
        built: whether there is a plan.
        seconds: parsing and building [s].
        bytes: size of the plan; None where there is none.
        reason: why there is none; empty where there is one.
        tensorrt: module and version.
    """

    model: str
    family: str
    precision: Precision
    sm: str
    built: bool
    seconds: float | None
    bytes: int | None
    reason: str
    tensorrt: str


def model_folders(folder: Path) -> dict[str, ModelFolder]:
    """The verified model folders at or below a folder, by their path in it.

    Raises:
        EngineError: there is none, or one of them is not the one that was made.
    """
    found = sorted(path.parent for path in folder.rglob(MANIFEST_FILE))
    if not found:
        raise EngineError(f"{folder}: no model folder here or below; teach or export a model first")
    return {str(path.relative_to(folder)) if path != folder else folder.name: open_model_folder(path) for path in found}


def build_rows(
    trt: Any,
    models: Mapping[str, ModelFolder],
    *,
    capabilities: tuple[str, ...] = CAPABILITIES,
    told: Callable[[Row], None] = lambda _: None,
) -> Iterator[Row]:
    """Build every precision that each model folder has a graph for, for each kind of GPU on its own.

    Args:
        trt: `tensorrt_rtx`.
        models: to build, by name.
        capabilities: of the GPUs to build for.
        told: called with every row as it is measured.
    """
    rtx = Here(trt)
    for name, model in models.items():
        for precision in PRECISIONS:
            graph = model.path / graph_file(rtx.api, precision)
            if graph.name not in model.manifest.files:
                continue
            for capability in capabilities:
                row = _row(rtx, {"model": name, "family": model.manifest.family}, graph, precision, capability)
                told(row)
                yield row


def record(folder: Path, rows: Iterable[Row]) -> Path:
    """Add rows to the result file; a row of the same model, precision and GPU is replaced."""
    path = folder / RESULT_FILE
    known = json.loads(path.read_text())["rows"] if path.exists() else []
    merged = {_key(row): row for row in [*known, *(asdict(row) for row in rows)]}
    page = {"made_by": "tools/measure-tensorrt-rtx", "rows": [merged[key] for key in sorted(merged)]}
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(path, (json.dumps(page, indent=1) + "\n").encode())
    return path


def _key(row: dict[str, Any]) -> tuple[str, str, int, int]:
    return row["family"], row["model"], PRECISIONS.index(row["precision"]), int(row["sm"][2:])


def _row(rtx: TensorRt, model: dict[str, str], graph: Path, precision: Precision, capability: str) -> Row:
    same: dict[str, Any] = {
        **model,
        "precision": precision,
        "sm": "SM" + capability.replace(".", ""),
        "tensorrt": rtx.api.named,
    }
    try:
        built = build_plan(rtx, graph.read_bytes(), BuildSpec(precision=precision, ahead_of_time=(capability,)))
    except EngineError as error:
        return Row(built=False, seconds=None, bytes=None, reason=str(error), **same)
    return Row(built=True, seconds=built.sidecar.build_s, bytes=len(built.plan), reason="", **same)
