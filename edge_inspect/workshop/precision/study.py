"""What lower precisions cost: the same labelled pictures through float32, float16 and INT8, in the runtime that serves on this machine.

Ranges and layers come from good training pictures alone; test pictures are looked at once. `tools/measure-precision` runs this on
the engines that `tools/measure-accuracy` leaves behind, and writes docs/results/precision.json and precision.md.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from edge_inspect.config import PluginBlock, load_recipe
from edge_inspect.durable import replace_file
from edge_inspect.inspector import Inspector, open_inspector
from edge_inspect.model_folder import PRECISION_FILES
from edge_inspect.workshop.evaluation.evaluate import Evaluation, evaluate
from edge_inspect.workshop.evaluation.labelled import LabelledSet
from edge_inspect.workshop.evaluation.summary import summary
from edge_inspect.workshop.precision.files import Made, build_precisions
from edge_inspect.workshop.teach import teach

if TYPE_CHECKING:  # it imports torch, and what teach makes needs none
    from edge_inspect.workshop.accuracy import DataSet

RESULTS = "precision.json"
INFERENCES = 100
"""Of every precision, one after the other in turns, so that what else the machine does meets all of them."""
KEPT = ("image_auroc", "pixel_auroc", "recall", "false_reject_rate")
Row = dict[str, Any]

HEAD = """# Lower precisions

Written by `tools/measure-precision` from precision.json. The engines of `tools/measure-accuracy`, each in OpenVINO with 2 threads as
float32, float16 and INT8 file on the same test pictures. Ranges, and the layers that stay in float32, come from at most 64 good
training pictures. Flipped: pictures whose verdict at the unchanged threshold differs from float32's; *farthest* is how far the
farthest of them lay from the threshold, *move* the largest move of any picture's score, both as a part of the room between the
median good score and the threshold (a defect's score may move farther than any good one's). ms: median of 100 inferences taken in
turns, warp included; ratios compare, times do not (the machine was busy). `plain` is the flagship as it was before DECISIONS 83 and
84, measured then. Float16 runs as float32 in OpenVINO on a CPU: its
figures are of its rounded weights only. Nothing here ran on a GPU.
"""


def measure_precisions(
    recipe_file: Path,
    frames: Sequence[Path],
    labelled: LabelledSet,
    *,
    family: str,
    threads: int = 2,
    part_of: re.Pattern[str] | None = None,
) -> list[Row]:
    """Make both files of a recipe's engine and judge all three; one row each.

    Args:
        recipe_file: `recipe.yaml` with its engine and thresholds.
        frames: pictures of good parts, for ranges and harm.
        labelled: the test pictures.
        family: what the rows call the engine.
        threads: of the runtime.
        part_of: as `evaluate` takes it.

    Raises:
        EdgeInspectError: a file cannot be made, or does not serve.
    """
    made: dict[str, Made] = {one.precision: one for one in build_precisions(load_recipe(recipe_file), frames, ["fp16", "int8"])}
    blocks: dict[str, PluginBlock] = {
        name: PluginBlock.model_validate({"kind": "openvino", "threads": threads, "precision": name}) for name in PRECISION_FILES
    }
    judged = {
        name: evaluate(recipe_file, labelled, runtime=block, part_of=part_of, calibration_held=False) for name, block in blocks.items()
    }
    times = _engine_ms(recipe_file, blocks)
    return [{"family": family, **_row(judged, name, made.get(name), times)} for name in judged]


def teach_for_study(folder: Path, data_set: DataSet, pictures: Sequence[Path]) -> Path:
    """What `edge-inspect teach` makes of a set's good pictures, with the set's locator; its recipe. What was taught before stays.

    Raises:
        ConfigError: too few or unfit pictures.
    """
    recipe_file = folder / "recipe.yaml"
    if not (folder / "thresholds.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        content: dict[str, Any] = {"part": data_set.name, "engine": "engine"}
        if data_set.locator is not None:
            content["locator"] = data_set.locator.model_dump(mode="json")
        recipe_file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        width, height = data_set.size or (256, 256)
        teach(pictures, recipe=load_recipe(recipe_file), width=width, height=height, part_of=data_set.part_of)
    return recipe_file


def _row(judged: Mapping[str, Evaluation], name: str, made: Made | None, times: Mapping[str, float]) -> Row:
    here, whole = summary(judged[name]), summary(judged["fp32"])
    figures = {key: here[key] for key in KEPT}
    row: Row = {
        "set": judged[name].set_name,
        "precision": name,
        **figures,
        "image_auroc_loss": whole["image_auroc"] - here["image_auroc"],
        "pixel_auroc_loss": None if here["pixel_auroc"] is None else whole["pixel_auroc"] - here["pixel_auroc"],
        "images": len(judged[name].judged),
        **_flips(judged["fp32"], judged[name]),
        "engine_ms": round(times[name], 2),
        "engine_ms_share_of_fp32": round(times[name] / times["fp32"], 3),
    }
    if made is not None:
        row |= {"float32_layers": list(made.said.float32_layers), "layers": made.said.layers, "build_s": round(made.seconds, 1)}
        row |= {"harm_worst": made.said.worst, "harm_mean": made.said.mean, "frames": made.said.frames}
    return row


def _flips(whole: Evaluation, other: Evaluation) -> Row:
    """Pictures whose verdict differs, and the farthest float32 score of them from the threshold, as a part of the largest harm's room."""
    threshold = whole.thresholds.image_threshold
    room = threshold - whole.thresholds.sample.median
    pairs = list(zip(whole.judged, other.judged, strict=True))
    flipped = [one.score for one, two in pairs if one.verdict != two.verdict and one.score is not None]
    moved = [abs(one.score - two.score) / room for one, two in pairs if one.score is not None and two.score is not None]
    return {
        "flipped": len(flipped),
        "farthest_flip": max((abs(score - threshold) / room for score in flipped), default=0.0),
        "largest_move": max(moved),
    }


def _engine_ms(recipe_file: Path, blocks: Mapping[str, PluginBlock]) -> dict[str, float]:
    """Median time of one inference by precision, measured in turns [ms]."""
    taken: dict[str, list[float]] = {name: [] for name in blocks}
    with ExitStack() as stack:
        opened = {
            name: stack.enter_context(open_inspector(recipe_file, block, base=recipe_file.parent, calibration_held=False))
            for name, block in blocks.items()
        }
        for _ in range(INFERENCES):
            for name, inspector in opened.items():
                taken[name].append(_one_ms(inspector))
    return {name: float(np.median(values)) for name, values in taken.items()}


def _one_ms(inspector: Inspector) -> float:
    started = time.perf_counter_ns()
    inspector.rehearse()
    return (time.perf_counter_ns() - started) / 1e6


def record(out: Path, rows: Sequence[Row], *, machine: str) -> None:
    """Put rows in the place of those of the same family, set and precision, and write the page."""
    key = ("family", "set", "precision")
    file = out / RESULTS
    known: list[Row] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    merged = {tuple(row[name] for name in key): row for row in [*known, *({**row, "machine": machine} for row in rows)]}
    kept = [merged[each] for each in sorted(merged)]
    out.mkdir(parents=True, exist_ok=True)
    replace_file(file, (json.dumps(kept, indent=1) + "\n").encode())
    replace_file(out / "precision.md", ("\n".join(_page(kept)) + "\n").encode())


def _page(rows: Sequence[Row]) -> Iterator[str]:
    yield HEAD
    yield "| system | set | precision | image AUROC | loss | pixel AUROC loss | flipped | farthest | move | layers in int8 | ms | of fp32 |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        loss = "none" if row["pixel_auroc_loss"] is None else f"{row['pixel_auroc_loss']:+.4f}"
        layers = f"{row['layers'] - len(row['float32_layers'])} of {row['layers']}" if row.get("layers") else ""
        yield (
            f"| {row['family']} | {row['set']} | {row['precision']} | {row['image_auroc']:.4f} | {row['image_auroc_loss']:+.4f} | {loss} "
            f"| {row['flipped']} of {row['images']} | {row['farthest_flip']:.3f} | {row['largest_move']:.3f} | {layers} "
            f"| {row['engine_ms']:.1f} | {row['engine_ms_share_of_fp32']:.2f} |"
        )
