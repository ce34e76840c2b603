"""Run the study of `teach_study` over data sets and write what it found: docs/results/teach.json and teach.md."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_inspect.workshop.graph import SMOOTHING_CELLS
from edge_inspect.workshop.study_pictures import Pictures, elpv_pictures, mvtec_pictures
from edge_inspect.workshop.teach import BLOCK, DIMENSIONS, POOLING
from edge_inspect.workshop.teach_study import Measured, Variant, cost, extract, measure

TILE = re.compile(r"^(\d+)_")
"""Tiles of one photograph are named 000_0, 000_1: they stay on one side of a split."""

VARIANTS: Mapping[str, Variant] = {
    "full per position, d=100 chosen": Variant(embed="chosen", dimensions=100, block=1),
    "full per position, d=64 chosen": Variant(embed="chosen", dimensions=64, block=1),
    "full per position, d=50 chosen": Variant(embed="chosen", dimensions=50, block=1),
    "full per position, d=40 chosen": Variant(embed="chosen", dimensions=40, block=1),
    "full per position, d=100 orthogonal": Variant(dimensions=100, block=1),
    "shared by 2x2, d=100 chosen": Variant(embed="chosen", dimensions=100, block=2),
    "shared by 2x2, d=100 orthogonal": Variant(dimensions=100, block=2),
    "shared by 2x2, d=50 orthogonal": Variant(dimensions=50, block=2),
    "shared by 2x2, 10 % pooled, d=100 chosen": Variant(embed="chosen", dimensions=100, block=2, pooling=0.1),
    "shared by 2x2, 10 % pooled, d=100 orthogonal": Variant(dimensions=100, block=2, pooling=0.1),
    "the same, sigma 0.5": Variant(dimensions=100, block=2, pooling=0.1, sigma=0.5),
    "the same, sigma 2": Variant(dimensions=100, block=2, pooling=0.1, sigma=2.0),
    "shared by 2x2, 20 % pooled, d=100 orthogonal, sigma 0.5": Variant(dimensions=100, block=2, pooling=0.2, sigma=0.5),
    "shared by 2x2, 40 % pooled, d=100 orthogonal, sigma 0.5": Variant(dimensions=100, block=2, pooling=0.4, sigma=0.5),
    "shared by 4x4, 10 % pooled, d=100 orthogonal, sigma 0.5": Variant(dimensions=100, block=4, pooling=0.1, sigma=0.5),
    "shared by 4x4, d=100 chosen": Variant(embed="chosen", dimensions=100, block=4),
    "shared by 4x4, d=100 orthogonal": Variant(dimensions=100, block=4),
    "shared by 4x4, all 176": Variant(embed="all", dimensions=176, block=4),
    "shared by 4x4, 20 % pooled, all 176": Variant(embed="all", dimensions=176, block=4, pooling=0.2),
    "one for all positions, d=100 orthogonal": Variant(dimensions=100, block=32),
    "rank 16 per position, d=100 orthogonal": Variant(dimensions=100, block=1, rank=16),
    "rank 32 per position, d=100 orthogonal": Variant(dimensions=100, block=1, rank=32),
    "rank 16 shared by 2x2, 10 % pooled, d=100 orthogonal, sigma 0.5": Variant(dimensions=100, block=2, pooling=0.1, sigma=0.5, rank=16),
    "rank 32 shared by 2x2, 10 % pooled, d=100 orthogonal, sigma 0.5": Variant(dimensions=100, block=2, pooling=0.1, sigma=0.5, rank=32),
}
"""The alternatives, by the name they are reported under; sigma is 1 cell (4 px) where none is named."""

TAUGHT = Variant(dimensions=DIMENSIONS, block=BLOCK, pooling=POOLING, sigma=SMOOTHING_CELLS)
"""What `teach` does: printed in bold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A data set, with how many defects are drawn on every training picture, and over how many splits it is measured."""

    pictures: Pictures
    copies: int
    splits: int


def tasks(data: Path) -> Iterator[Task]:
    """Every data set that is there: those in MVTec AD layout under `data`, and the solar cells.

    Raises:
        ConfigError: elpv_dataset is not installed.
    """
    for name, copies, splits, part_of in (
        ("grid_tiles", 6, 3, TILE),
        ("leather_tiles", 8, 3, TILE),
        ("cookie", 6, 3, None),
        ("hazelnut_toy", 6, 3, None),
        ("kolektor_tiles", 2, 2, TILE),
        ("screw", 2, 2, None),
    ):
        yield Task(pictures=mvtec_pictures(data / name, part_of), copies=copies, splits=splits)
    yield Task(pictures=elpv_pictures(), copies=2, splits=2)
    yield Task(pictures=mvtec_pictures(data / "magnetic_tile"), copies=1, splits=2)


def study(chosen: Iterable[Task], variants: Mapping[str, Variant], *, size: int = 256) -> Iterator[tuple[str, dict[str, Measured]]]:
    """Measure every variant on one data set after the other."""
    for task in chosen:
        extracted = extract(task.pictures, copies=task.copies, size=size)
        yield task.pictures.name, dict(zip(variants, measure(extracted, list(variants.values()), splits=task.splits), strict=True))


def costs(
    variants: Mapping[str, Variant], *, beside: Variant | None = None, size: int = 256, repeats: int = 300
) -> dict[str, dict[str, float]]:
    """Median milliseconds of the whole graph and megabytes of the file, by variant.

    Args:
        variants: by name.
        beside: measured again next to each, where the other rows' milliseconds are of another hour.
        size: of the network's image [px].
        repeats: inferences timed.
    """
    found = {}
    for name, variant in variants.items():
        milliseconds, size_bytes = cost(variant, size=size, repeats=repeats)
        found[name] = {"ms": round(milliseconds, 2), "megabytes": round(size_bytes / 1e6, 1)}
        if beside is not None:
            found[name]["beside_ms"] = round(cost(beside, size=size, repeats=repeats)[0], 2)
    return found


def recorded(folder: Path) -> dict[str, Any]:
    """The results that teach.json holds already, by variant."""
    results: dict[str, Any] = json.loads((folder / "teach.json").read_text(encoding="utf-8"))["variants"]
    return results


def record(
    folder: Path,
    variants: Mapping[str, Variant],
    measured: Mapping[str, Mapping[str, Measured]],
    spent: Mapping[str, Mapping[str, float]],
    *,
    kept: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write teach.json and teach.md; `measured` is by data set, then variant; `kept` are results of before, from `recorded`."""
    found = {
        name: {
            "variant": asdict(variant),
            "cost": dict(spent.get(name, {})),
            "drawn": {data: round(by_variant[name].drawn, 4) for data, by_variant in measured.items()},
            "test": {data: round(by_variant[name].test, 4) for data, by_variant in measured.items()},
        }
        for name, variant in variants.items()
    }
    results = {**kept, **found}
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"machine": platform.processor() or platform.machine(), "variants": results}
    (folder / "teach.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    (folder / "teach.md").write_text("\n".join(_page(results)) + "\n", encoding="utf-8")


def _page(results: Mapping[str, Any]) -> Iterator[str]:
    data = list(dict.fromkeys(name for result in results.values() for name in result["drawn"]))
    yield "# Teaching: which Gaussian head"
    yield ""
    yield "Written by `tools/measure-teach`. Lite0 at 256x256, levels /4 /8 /16, Gaussians at /8, map at /4; fitted on 70 % of the good"
    yield "training pictures, as `teach` does. **Drawn**: held-out good training pictures against the same with drawn defects (chooses)."
    yield "**Test**: real defects (chose none of these rows; the backbone's last level was chosen before, with a look at some of them)."
    yield "AUROC of the map's maximum. ms: whole graph, OpenVINO FP32, 2 threads, median."
    yield "Bold: what `teach` does. Milliseconds depend on what else the machine does; `edge-inspect bench` measures an engine alone."
    yield "Two milliseconds: the row was measured in a later run than the others, and the second is what `teach` does in that run."
    yield "Rank r: of every covariance the r strongest directions and one variance for all others (Tipping and Bishop 1999)."
    for kind in ("drawn", "test"):
        yield ""
        yield f"## {kind.capitalize()}"
        yield ""
        yield f"| variant | ms | MB | mean | {' | '.join(data)} |"
        yield f"|---|{'---|' * (len(data) + 3)}"
        for name, result in results.items():
            shown = f"**{name}**" if Variant(**result["variant"]) == TAUGHT else name
            yield f"| {shown} | {_costs_shown(result['cost'])} | {_values_shown(result[kind], data)} |"


def _costs_shown(spent: Mapping[str, float]) -> str:
    beside = f" / {spent['beside_ms']}" if "beside_ms" in spent else ""
    return f"{spent.get('ms', '')}{beside} | {spent.get('megabytes', '')}"


def _values_shown(values: Mapping[str, float], data: Sequence[str]) -> str:
    """Mean and cells. Without all its cells a row has no mean: over fewer data sets it would compare with no other."""
    if not set(data) <= set(values):
        return " | ".join(["not all measured", *(f"{values[name]:.3f}" if name in values else "not measured" for name in data)])
    return " | ".join(f"{value:.3f}" for value in (np.mean([values[name] for name in data]), *(values[name] for name in data)))
