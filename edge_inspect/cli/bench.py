"""`edge-inspect bench`: milliseconds from frame to verdict on this device."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_inspect.config import PluginBlock
    from edge_inspect.model_folder import ModelFolder

NAME = "bench"
HELP = "measure frame to verdict on this device, by stage"
EXAMPLE = "edge-inspect bench --model engines/cell --size 1024x1024"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--model", type=Path, required=True, help="model folder, engines/<model>")
    parser.add_argument("--runtime", help="runtime to open it with (default: the one a station takes)")
    parser.add_argument("--threads", type=_at_least(1), help="threads for one inference (default: the library's choice)")
    parser.add_argument("--size", type=_size, default=(1024, 1024), metavar="WxH", help="frame size in pixels (default: 1024x1024)")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=3, help="channels of a frame (default: %(default)s)")
    parser.add_argument("--frames", type=_at_least(1), default=300, help="frames to time (default: %(default)s)")
    parser.add_argument("--interval-ms", type=_at_least(0), default=0, help="wait before each frame, as a line does (default: none)")
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "int8"), default="fp32", help="which of the model's files (default %(default)s)"
    )
    parser.add_argument("--soak", type=_at_least(2_001), metavar="N", help="also run N frames and report how memory grows")
    parser.add_argument("--startup", action="store_true", help="also time imports and the start until ready")
    parser.add_argument("--plc", action="store_true", help="also time until a Modbus client sees a verdict")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        EdgeInspectError: the engine cannot be opened or is not accepted.
    """
    from edge_inspect.config import DEFAULT_RUNTIME, PluginBlock
    from edge_inspect.model_folder import open_model_folder

    options = {"precision": arguments.precision, **({} if arguments.threads is None else {"threads": arguments.threads})}
    runtime = PluginBlock(kind=arguments.runtime or DEFAULT_RUNTIME, **options)
    report = _report(open_model_folder(arguments.model), runtime, arguments)
    print(json.dumps(report, indent=2) if arguments.json else "\n".join(_lines(report)))
    return 0


def _report(model: ModelFolder, runtime: PluginBlock, arguments: argparse.Namespace) -> dict[str, Any]:
    from edge_inspect.cli.progress import ProgressBars
    from edge_inspect.field.benchmark import make_frames, measure, open_bench, soak
    from edge_inspect.field.device import device_facts
    from edge_inspect.field.startup import measure_startup
    from edge_inspect.field.wire import measure_visible

    width, height = arguments.size
    with open_bench(model, runtime) as bench, ProgressBars() as bars:
        frames = make_frames(model, width, height, arguments.channels)
        report: dict[str, Any] = {
            "model": model.manifest.model,
            "engine_sha256": model.engine_sha256,
            "runtime": runtime.kind,
            "precision": arguments.precision,
            "threads": arguments.threads,
            "interval_ms": arguments.interval_ms,
            "network": model.manifest.input.model_dump(),
            "frame": {"width": width, "height": height, "channels": arguments.channels},
            **asdict(measure(bench, frames, arguments.frames, interval_s=arguments.interval_ms / 1e3, progress=bars.show)),
            "acceptance": asdict(bench.acceptance),
        }
        if arguments.soak is not None:
            report["memory"] = asdict(soak(bench, frames, arguments.soak, progress=bars.show))
    if arguments.startup:
        report["startup"] = asdict(measure_startup(model.path, runtime))
    if arguments.plc:
        report["plc_visible_ms"] = measure_visible()
    return {**report, "device": device_facts()}


def _lines(report: dict[str, Any]) -> Iterator[str]:
    frame, network, device = report["frame"], report["network"], report["device"]
    yield f"{device['cpu']}, {device['usable_cores']} of {device['cores']} cores, load {device['load_1min']:.1f}"
    yield (
        f"{report['model']} ({report['engine_sha256'][:12]}, {report['precision']}) in {report['runtime']}: {report['frames']} frames of "
        f"{frame['width']} x {frame['height']} x {frame['channels']} px to an image of "
        f"{network['width']} x {network['height']} x {network['channels']}"
    )
    yield f"{'ms':24}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}"
    yield _row("frame to verdict", report["frame_to_verdict_ms"])
    yield _row("engine alone", report["engine_ms"])
    yield _row("everything but engine", report["everything_but_engine_ms"])
    yield from (_row(f"  {stage}", spread) for stage, spread in report["stages_ms"].items() if stage != "infer")
    if "plc_visible_ms" in report:
        yield _row("visible to a PLC", report["plc_visible_ms"])
    if "memory" in report:
        memory = report["memory"]
        yield (
            f"memory: {memory['settled_mb']:.1f} MB after {memory['settled_frames']} frames, {memory['final_mb']:.1f} MB after "
            f"{memory['frames']}: {memory['growth_percent']:+.2f} %"
        )
    if "startup" in report:
        startup = report["startup"]
        yield f"start: import {startup['import_ms']} ms, of the line {startup['import_line_ms']} ms; ready {startup['ready_ms']} ms"


def _row(name: str, spread: dict[str, float]) -> str:
    return f"{name:24}" + "".join(f"{spread[rank]:9.3f}" for rank in ("p50", "p95", "p99", "max"))


def _size(text: str) -> tuple[int, int]:
    width, times, height = text.partition("x")
    if not (times and width.isdigit() and height.isdigit() and 1 <= int(width) <= 32_768 and 1 <= int(height) <= 32_768):
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted WIDTHxHEIGHT in pixels, such as 1024x1024")
    return int(width), int(height)


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
