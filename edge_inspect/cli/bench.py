"""`edge-inspect bench`: milliseconds from frame to verdict on this device."""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_inspect.cli.bench_tables import comparison_lines, report_lines
from edge_inspect.cli.onnx_needed import refuse_without
from edge_inspect.cli.progress import ProgressBars

if TYPE_CHECKING:
    from edge_inspect.config import PluginBlock, Recipe
    from edge_inspect.field.bench_cases import Case
    from edge_inspect.field.benchmark import Bench

NAME = "bench"
HELP = "measure frame to verdict on this device, by stage; compare runs"
EXAMPLE = "edge-inspect bench --model engines/cell --size 1024x1024 --precision fp32 int8 --threads 1 2"

SLOWER_BY = 0.05
"""A run is refused against its baseline when it is slower by more than this, beyond what noise explains."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", type=Path, nargs="+", metavar="DIR", help="model folders, engines/<model>, on the whole frame")
    what.add_argument("--recipe", type=Path, metavar="FILE", help="recipe.yaml: with its locator, region of interest, masks and rules")
    what.add_argument("--station", type=Path, metavar="FILE", help="station.yaml: the same, then the whole station with records and wire")
    what.add_argument(
        "--compare", type=Path, nargs=2, metavar="JSON", help="two reports: how much longer the second took, if noise lets it say"
    )
    parser.add_argument("--runtime", nargs="+", default=[], help="runtimes to open it with (default: the one a station takes)")
    parser.add_argument("--threads", type=_at_least(1), nargs="+", default=[], metavar="N", help="threads for one inference (default: all)")
    precisions = ("fp32", "fp16", "int8")
    parser.add_argument("--precision", choices=precisions, nargs="+", default=[], help="which of the model's files (default: fp32)")
    parser.add_argument("--size", type=_size, nargs="+", default=[], metavar="WxH", help="frame sizes in pixels (default: 1024x1024)")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=3, help="channels of a frame (default: %(default)s)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="the camera's pictures to show (default: the golden frames)")
    parser.add_argument("--frames", type=_at_least(1), default=300, help="frames to time, of each (default: %(default)s)")
    parser.add_argument("--rounds", type=_at_least(1), default=10, help="turns that they are timed in (default: %(default)s)")
    parser.add_argument("--interval-ms", type=_at_least(0), default=0, help="wait before each frame, as a line does (default: none)")
    parser.add_argument("--rate", type=_rate, metavar="PER_S", help="also let parts come at this rate, and count missed deadlines")
    parser.add_argument("--deadline-ms", type=_rate, metavar="MS", help="with --rate (default: until the next part; a station's own)")
    parser.add_argument("--soak", type=_at_least(2_001), metavar="N", help="also run N frames and report how memory grows")
    parser.add_argument("--startup", action="store_true", help="also time imports and the start until ready and until the first verdict")
    parser.add_argument("--energy", action="store_true", help="also read what a frame costs in energy, where the device tells")
    parser.add_argument("--plc", action="store_true", help="also time until a Modbus client sees a verdict")
    parser.add_argument("--baseline", type=Path, metavar="JSON", help="fail when this run is slower than that report, beyond its noise")
    parser.add_argument("--tolerance", type=float, default=SLOWER_BY, metavar="X", help="with --baseline: allowed (default %(default)s)")
    parser.add_argument("--out", type=Path, metavar="JSON", help="also write the report into a file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw it, .png or .html (needs the extra evaluate)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print, or compare.

    Returns:
        0, or 1 where the run is slower than its baseline.

    Raises:
        EdgeInspectError: an engine cannot be opened or is not accepted, or a report cannot be read.
    """
    if arguments.compare:
        return _compare(arguments)
    if arguments.plot is not None:
        refuse_without("--plot", {"matplotlib": "matplotlib"}, extra="evaluate")
    report = _report(arguments)
    text = _as_json(report)
    if arguments.out is not None:
        _write(arguments.out, text + "\n")
    if arguments.plot is not None:
        from edge_inspect.field.bench_plots import draw_report

        draw_report(report, arguments.plot)
    print(text if arguments.json else "\n".join(report_lines(report)))
    return 0 if arguments.baseline is None else _held_against(report, arguments)


def _compare(arguments: argparse.Namespace) -> int:
    from edge_inspect.field.comparison import compare_reports, load_report

    comparisons = compare_reports(*map(load_report, arguments.compare))
    if arguments.json:
        print(_as_json([asdict(comparison) for comparison in comparisons]))
    else:
        print("\n".join(line for comparison in comparisons for line in comparison_lines(comparison)))
    return 0


def _held_against(report: dict[str, Any], arguments: argparse.Namespace) -> int:
    from edge_inspect.field.comparison import compare_reports, load_report, slower_rows

    comparisons = compare_reports(load_report(arguments.baseline), report)
    print("\n".join(line for comparison in comparisons for line in comparison_lines(comparison)), file=sys.stderr)
    slower = slower_rows(comparisons, tolerance=arguments.tolerance)
    for sentence in slower:
        print(f"edge-inspect: slower than {arguments.baseline}: {sentence}", file=sys.stderr)
    return 1 if slower else 0


def _report(arguments: argparse.Namespace) -> dict[str, Any]:
    from edge_inspect.field.bench_cases import open_cases
    from edge_inspect.field.benchmark import measure_together
    from edge_inspect.field.device import device_facts

    cases = _cases(arguments)
    with ProgressBars() as bars, open_cases(cases) as subjects:
        timed = measure_together(
            subjects, arguments.frames, interval_s=arguments.interval_ms / 1e3, rounds=arguments.rounds, progress=bars.show
        )
        rows = [
            {**case.described(frames), "interval_ms": arguments.interval_ms, **asdict(timings), "acceptance": asdict(bench.acceptance)}
            for case, (bench, frames), timings in zip(cases, subjects, timed, strict=True)
        ]
        for row, (bench, frames) in zip(rows, subjects, strict=True):
            row.update(_while_open(bench, frames, arguments, bars))
    for row, case in zip(rows, cases, strict=True):
        row.update(_afterwards(case, arguments))
    common: dict[str, Any] = {"plc_visible_ms": _visible()} if arguments.plc else {}
    if len(rows) == 1:
        return {**rows[0], **common, "device": device_facts()}
    return {"rows": rows, **common, "device": device_facts()}


def _while_open(bench: Bench, frames: Any, arguments: argparse.Namespace, bars: ProgressBars) -> dict[str, Any]:
    """What else is asked for of an opened engine."""
    from edge_inspect.field.benchmark import soak
    from edge_inspect.field.device import child_processes, most_resident_bytes, resident_bytes
    from edge_inspect.field.energy import find_meter, measure_energy
    from edge_inspect.field.nvidia import gpu_memory_mb
    from edge_inspect.field.pace import keep_pace

    told: dict[str, Any] = {
        "memory_mb": {
            "resident": round(resident_bytes() / 1e6, 1),
            "peak": round(most_resident_bytes() / 1e6, 1),
            "gpu": gpu_memory_mb((*child_processes(), _own_id())),
        }
    }
    if arguments.rate is not None and arguments.station is None:
        deadline_ms = arguments.deadline_ms or 1e3 / arguments.rate
        paced = keep_pace(bench.inspector.inspect, frames, arguments.frames, rate_per_s=arguments.rate, deadline_ms=deadline_ms)
        told["line"] = asdict(paced)
    if arguments.energy:
        told["energy"] = asdict(measure_energy(lambda: bench.inspector.inspect(frames[0]), find_meter()))
    if arguments.soak is not None:
        told["memory"] = asdict(soak(bench, frames, arguments.soak, progress=bars.show))
    return told


def _afterwards(case: Case, arguments: argparse.Namespace) -> dict[str, Any]:
    """What is asked for in processes or a station of its own."""
    from edge_inspect.field.line_bench import measure_line
    from edge_inspect.field.startup import measure_startup

    told: dict[str, Any] = {}
    if arguments.startup:
        told["startup"] = asdict(measure_startup(case.model.path, case.runtime))
    if arguments.station is not None:
        told["line"] = asdict(
            measure_line(arguments.station, case.frames(), arguments.frames, runtime=case.runtime, rate_per_s=arguments.rate)
        )
    return told


def _own_id() -> int:
    import os

    return os.getpid()


def _visible() -> dict[str, float]:
    from edge_inspect.field.wire import measure_visible

    return measure_visible()


def _cases(arguments: argparse.Namespace) -> list[Case]:
    """Everything that the words ask for."""
    from edge_inspect.field.bench_cases import Case, runtimes_of, size_of
    from edge_inspect.model_folder import open_model_folder

    block, recipe, public_key = _wanted(arguments)
    runtimes = runtimes_of(block, kinds=arguments.runtime, precisions=arguments.precision, threads=arguments.threads)
    folders = arguments.model if recipe is None else [recipe.engine]
    return [
        Case(
            model=open_model_folder(folder, public_key=public_key),
            recipe=recipe,
            runtime=runtime,
            size=size_of(recipe, size),
            channels=arguments.channels,
            images=arguments.images,
        )
        for folder in folders
        for size in arguments.size or [None]
        for runtime in runtimes
    ]


def _wanted(arguments: argparse.Namespace) -> tuple[PluginBlock, Recipe | None, Path | None]:
    """Runtime, recipe, and the key that a station asks its models to be signed with."""
    from edge_inspect.config import DEFAULT_RUNTIME, PluginBlock, load_recipe, load_station

    if arguments.station is not None:
        settings = load_station(arguments.station)
        return settings.runtime, load_recipe(settings.recipe), settings.public_key
    recipe = None if arguments.recipe is None else load_recipe(arguments.recipe)
    return PluginBlock(kind=DEFAULT_RUNTIME), recipe, None


def _as_json(value: Any) -> str:
    """Indented, but a list of numbers on one line."""
    return re.sub(r"\[\s+([^\[\]{}\"]*?)\s+\]", lambda found: f"[{' '.join(found.group(1).split())}]", json.dumps(value, indent=2))


def _write(path: Path, text: str) -> None:
    from edge_inspect.errors import ConfigError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: the report cannot be written: {error.strerror}; name another file") from error


def _size(text: str) -> tuple[int, int]:
    width, times, height = text.partition("x")
    if not (times and width.isdigit() and height.isdigit() and 1 <= int(width) <= 32_768 and 1 <= int(height) <= 32_768):
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted WIDTHxHEIGHT in pixels, such as 1024x1024")
    return int(width), int(height)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 100_000:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a number above 0, such as 12.5")
    return value


class _at_least:  # noqa: N801 - reads as a function where it is used
    """Argument type: a whole number from `least` on."""

    def __init__(self, least: int) -> None:
        self._least = least

    def __call__(self, text: str) -> int:
        """The number.

        Raises:
            argparse.ArgumentTypeError: it is no whole number, or a smaller one.
        """
        if not text.isdigit() or int(text) < self._least:
            raise argparse.ArgumentTypeError(f"got {text!r}, wanted a whole number from {self._least} on")
        return int(text)
