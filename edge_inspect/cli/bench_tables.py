"""What `edge-inspect bench` shows to a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_inspect.field.comparison import Comparison

RANKS = ("p50", "p95", "p99", "max")
Row = Mapping[str, Any]


def report_lines(report: Row) -> Iterator[str]:
    """The report: the machine, then each row; several rows are summed up in a table first."""
    yield from _device_lines(report["device"])
    rows = report.get("rows", [report])
    if len(rows) > 1:
        yield from _summary(rows)
    for row in rows:
        yield from _row_lines(row)
    if "plc_visible_ms" in report:
        yield _spread("visible to a PLC", report["plc_visible_ms"])


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Ratios of two rows, with their intervals and what may be claimed."""
    yield comparison.row
    yield f"{'second / first':24}{'ratio':>9}{'95 % from':>12}{'to':>9}  claim"
    for ratio in comparison.ratios:
        yield f"{ratio.what:24}{ratio.ratio:9.3f}{ratio.low:12.3f}{ratio.high:9.3f}  {ratio.claim}"
    yield from (f"  differs: {note}" for note in comparison.notes)


def _device_lines(device: Row) -> Iterator[str]:
    yield f"{device['cpu']}, {device['usable_cores']} of {device['cores']} cores, load {device['load_1min']:.1f}"
    facts = {
        "board": device["board"],
        "clock": device["clock_mhz"] and f"{device['clock_mhz']} MHz",
        "governor": device["governor"],
        "power mode": device["power_mode"],
        "temperature": device["temperature_c"] and f"{device['temperature_c']:.0f} C",
        "GPU": device["gpu"] and device["gpu"]["name"],
        "driver": device["gpu"]["driver_version"] if device["gpu"] else device["nvidia_driver"],
        "TensorRT": device["packages"].get("tensorrt"),
    }
    yield ", ".join(f"{name} {value or 'not told'}" for name, value in facts.items())


def _summary(rows: list[Row]) -> Iterator[str]:
    head = ("engine", "precision", "runtime", "threads", "frame", "verdict p50", "p99", "engine p50", "jitter", "per s")
    table = [head, *(_summed(row) for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    for line in table:
        left = [word.ljust(width) for word, width in zip(line[:5], widths[:5], strict=True)]
        right = [word.rjust(width) for word, width in zip(line[5:], widths[5:], strict=True)]
        yield "  ".join([*left, *right])


def _summed(row: Row) -> tuple[str, ...]:
    verdict, frame = row["frame_to_verdict_ms"], row["frame"]
    return (
        row["model"],
        row["precision"],
        row["runtime"],
        str(row["threads"] or "all"),
        f"{frame['width']}x{frame['height']}x{frame['channels']}",
        f"{verdict['p50']:.2f}",
        f"{verdict['p99']:.2f}",
        f"{row['engine_ms']['p50']:.2f}",
        f"{row['jitter_ms']:.2f}",
        f"{row['throughput_per_s']['frames']:.1f}",
    )


def _row_lines(row: Row) -> Iterator[str]:
    frame, network = row["frame"], row["network"]
    threads = "" if row["threads"] is None else f", {row['threads']} thread{'' if row['threads'] == 1 else 's'}"
    yield (
        f"{row['model']} ({row['engine_sha256'][:12]}, {row['precision']}) in {row['runtime']}{threads}: {row['frames']} frames of "
        f"{frame['width']} x {frame['height']} x {frame['channels']} px to an image of "
        f"{network['width']} x {network['height']} x {network['channels']}"
    )
    yield f"{'ms':24}" + "".join(f"{rank:>9}" for rank in RANKS)
    yield _spread("frame to verdict", row["frame_to_verdict_ms"])
    yield _spread("engine alone", row["engine_ms"])
    yield _spread("everything but engine", row["everything_but_engine_ms"])
    yield from (_spread(f"  {stage}", values) for stage, values in row["stages_ms"].items() if stage != "infer")
    yield from _steadiness(row)
    yield from _line(row["line"]) if "line" in row else ()
    yield from _extras(row)


def _steadiness(row: Row) -> Iterator[str]:
    rates, far, yard = row["throughput_per_s"], row["outliers"], row["yardstick_ms"]
    yield f"jitter {row['jitter_ms']:.3f} ms; {rates['frames']:.1f} frames/s, the bare engine {rates['bare_engine']:.1f}/s"
    if far["count"]:
        worst = ", ".join(f"{duration:.1f} (frame {number})" for number, duration in far["worst"][:3])
        yield f"outliers: {far['count']} of {row['frames']} frames above {far['above_ms']:.2f} ms, all counted above: {worst}"
    yield f"yardstick {min(yard):.2f} to {max(yard):.2f} ms over {len(yard)} rounds" + (
        ": the machine was not steady, take ratios only" if max(yard) > 1.25 * min(yard) else ""
    )


def _line(line: Row) -> Iterator[str]:
    rate = "as fast as it goes" if line["rate_per_s"] is None else f"at {line['rate_per_s']:g} parts/s"
    yield f"line {rate}: {line['missed']} of {line['parts']} parts missed their deadline of {line['deadline_ms']:g} ms"
    if "stages_ms" not in line:
        yield _spread("  exposure to verdict", line["exposure_to_verdict_ms"])
        yield _spread("  wait", line["wait_ms"])
        return
    yield _spread("  exposure to PLC", line["exposure_to_plc_ms"])
    yield from (_spread(f"    {stage}", values) for stage, values in line["stages_ms"].items())
    left_out = f"; not opened: {', '.join(line['left_out'])}" if line["left_out"] else ""
    yield f"  {line['throughput_per_s']:.1f} parts/s, {line['faults']} other faults, {line['resident_mb']:.0f} MB{left_out}"


def _extras(row: Row) -> Iterator[str]:
    held = row["memory_mb"]
    gpu = "not told" if held["gpu"] is None else f"{held['gpu']:.0f} MB"
    yield f"memory of this process: {held['resident']:.0f} MB, at most {held['peak']:.0f} MB; on the GPU: {gpu}"
    if "memory" in row:
        memory = row["memory"]
        yield (
            f"memory: {memory['settled_mb']:.1f} MB after {memory['settled_frames']} frames, {memory['final_mb']:.1f} MB after "
            f"{memory['frames']}: {memory['growth_percent']:+.2f} %"
        )
    if "startup" in row:
        start = row["startup"]
        cached = "" if start["first_verdict_cached_ms"] is None else f", with a filled cache {start['first_verdict_cached_ms']} ms"
        yield f"start: import {start['import_ms']} ms, of the line {start['import_line_ms']} ms; ready {start['ready_ms']} ms"
        yield f"first verdict: {start['first_verdict_ms']} ms after the start of the process{cached}; at most {start['peak_mb']:.0f} MB"
    if "energy" in row:
        energy = row["energy"]
        told = "" if energy["watts"] is None else f": {energy['joules_per_frame']:.3f} J a frame, {energy['watts']:.1f} W"
        yield f"energy: {energy['source']}{told}" + ("" if energy["watts"] is None else f" (waiting {energy['idle_watts']:.1f} W)")


def _spread(name: str, values: Mapping[str, float]) -> str:
    return f"{name:24}" + "".join(f"{values[rank]:9.3f}" for rank in RANKS)
