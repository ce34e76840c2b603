"""The sheet of measured speed: one machine after another, those nobody has measured said so, each with the command that fills it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_inspect.field.bench_targets import judgements

BEGIN, END = "<!-- measured: written by tools/measure-benchmark-sheet -->", "<!-- end of what is measured -->"

_COMMAND = "tools/measure-benchmark-sheet ENGINES --machine {name!r} --runtime tensorrt --precision {precision}{python}"
_JETSON = " --python /usr/bin/python3"

UNMEASURED = {
    "Jetson Nano": _COMMAND.format(name="Jetson Nano", precision="fp32 fp16", python=_JETSON),
    "Jetson Orin Nano": _COMMAND.format(name="Jetson Orin Nano", precision="fp16 int8", python=_JETSON),
    "Jetson AGX Orin": _COMMAND.format(name="Jetson AGX Orin", precision="fp16 int8", python=_JETSON),
    "RTX 4060": _COMMAND.format(name="RTX 4060", precision="fp16 int8", python=""),
    "A100": _COMMAND.format(name="A100", precision="fp16 int8", python=""),
}
"""Machines that the papers and our users have, and nobody has measured yet; by name the command that does."""

BUSY = 0.5
"""A machine whose load is above this at the start was not ours alone."""

Sheet = Mapping[str, Any]


def load_sheet(path: Path) -> dict[str, Any]:
    """The measured machines, by name; none where the file is of another kind or missing."""
    try:
        machines: dict[str, Any] = json.loads(path.read_bytes())["machines"]
    except (OSError, ValueError, KeyError):
        return {}
    return machines


def filled(page: str, machines: Mapping[str, Sheet]) -> str:
    """The page with what stands between its two marks written anew; a page without marks gets them at its end."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = (before.strip(), "\n".join([BEGIN, *lines(machines), END]), after.strip())
    return "\n\n".join(part for part in parts if part) + "\n"


def lines(machines: Mapping[str, Sheet]) -> Iterator[str]:
    """The measured part of the page."""
    for name, sheet in machines.items():
        yield from _machine(name, sheet)
    yield from ("", "## Not measured", "")
    yield from ("| machine | frame to verdict | the one command that fills this row |", "|---|---|---|")
    yield from (f"| {name} | not measured | `{command}` |" for name, command in UNMEASURED.items() if name not in machines)
    yield from (
        "",
        "ENGINES is the folder that `tools/make-benchmark-engines` makes (on any machine with the extra `train`; copy it). With `--runtime",
        "tensorrt` the plans are built first, on the device. Send the result in: add `docs/results/benchmark.json` and this page, as they",
        "are then, to a pull request, or attach the JSON to an issue. Rows without the machine's facts are not taken; the tool writes",
        "them.",
    )


def _machine(name: str, sheet: Sheet) -> Iterator[str]:
    device = sheet["device"]
    load = sheet["load_at_start"]
    yield from ("", f"## {name}", "")
    packages = ", ".join(f"{package} {version}" for package, version in device["packages"].items() if version)
    yield f"{device['cpu']}, {device['usable_cores']} cores, kernel {device['kernel']}, Python {device['python']}, {packages}."
    yield f"Power mode {_told(device['power_mode'])}, governor {_told(device['governor'])}, GPU {_told(device['gpu'])}."
    yield (
        f"**The machine was shared** (load {load:.1f} at the start): take ratios, no millisecond here is that of a quiet machine."
        if load > BUSY
        else f"The machine was quiet (load {load:.1f} at the start)."
    )
    if again := [f"{section} (load {one:.1f})" for section, one in sheet.get("loads", {}).items() if one != load]:
        yield f"Measured again, by themselves: {', '.join(again)}."
    for section in (_targets, _frames, _start, _station, _line, _scaling, _locator, _threads, _tiles, _steps, _choices, _peers):
        yield from section(sheet)
    if failed := sheet.get("failed"):
        yield from ("", "Not measured, as it failed: " + "; ".join(f"{name}: {why}" for name, why in failed.items()) + ".")


def _targets(sheet: Sheet) -> Iterator[str]:
    found = list(judgements(sheet))
    if not found:
        return
    missed = [one for one in found if not one.reached]
    yield from ("", f"### Promised: {len(found) - len(missed)} of {len(found)} reached", "")
    yield from ("| | wanted | measured | |", "|---|---|---|---|")
    yield from (f"| {one.what} | {one.wanted} | {one.measured} | {'reached' if one.reached else '**not reached**'} |" for one in found)


def _frames(sheet: Sheet) -> Iterator[str]:
    if "rows" not in sheet:
        return
    yield from ("", "### A frame of 1024 x 1024 colour to its verdict", "")
    yield "Frames timed in turns with the bare engine; no outlier left out. *Rest*: everything but the engine."
    yield ""
    heads = (
        "engine",
        "precision",
        "runtime",
        "p50",
        "p95",
        "p99",
        "max",
        "engine p50",
        "rest p50",
        "jitter",
        "frames/s",
        "of the engine's",
    )
    yield from (f"| {' | '.join(heads)} | outliers |", "|---" * (len(heads) + 1) + "|")
    for row in sheet["rows"]:
        verdict, rates = row["frame_to_verdict_ms"], row["throughput_per_s"]
        cells = [f"{verdict[rank]:.2f}" for rank in ("p50", "p95", "p99", "max")]
        cells += [f"{row['engine_ms']['p50']:.2f}", f"{row['everything_but_engine_ms']['p50']:.2f}", f"{row['jitter_ms']:.2f}"]
        cells += [
            f"{rates['frames']:.1f}",
            f"{rates['frames'] / rates['bare_engine']:.3f}",
            f"{row['outliers']['count']} of {row['frames']}",
        ]
        yield f"| {row['model']} | {row['precision']} | {row['runtime']} | " + " | ".join(cells) + " |"


def _threads(sheet: Sheet) -> Iterator[str]:
    if "threads" in sheet:
        yield from ("", "### Threads and runtimes, one engine", "")
        yield from ("| runtime | threads | p50 | p99 | engine p50 |", "|---|---|---|---|---|")
        for row in sheet["threads"]:
            verdict, engine = row["frame_to_verdict_ms"], row["engine_ms"]
            cells = (row["runtime"], str(row["threads"] or "all"), f"{verdict['p50']:.2f}", f"{verdict['p99']:.2f}", f"{engine['p50']:.2f}")
            yield f"| {' | '.join(cells)} |"


def _start(sheet: Sheet) -> Iterator[str]:
    if "startup" in sheet:
        start, memory = sheet["startup"], sheet["memory"]
        cached = (
            "none kept by this runtime" if start["first_verdict_cached_ms"] is None else f"{start['first_verdict_cached_ms'] / 1e3:.2f} s"
        )
        yield from ("", "### Start, memory, energy, wire", "", "| | measured |", "|---|---|")
        yield f"| `import edge_inspect` / the whole line | {start['import_ms']:.1f} / {start['import_line_ms']:.0f} ms |"
        yield f"| process start to engine accepted and warm | {start['ready_ms'] / 1e3:.2f} s |"
        yield f"| process start to first verdict | {start['first_verdict_ms'] / 1e3:.2f} s |"
        yield f"| the same, graphs in the cache | {cached} |"
        yield f"| memory at most, of that process | {start['peak_mb']:.0f} MB |"
        yield f"| memory over {memory['settled_frames']} to {memory['frames']} frames | {memory['growth_percent']:+.2f} % |"
        visible = sheet["plc_visible_ms"]
        yield f"| verdict visible to a Modbus client, p50 / p99 | {visible['p50']:.1f} / {visible['p99']:.1f} ms |"
        energy = sheet["energy"]
        joules = energy["source"] if energy["joules_per_frame"] is None else f"{energy['joules_per_frame']:.3f} J ({energy['source']})"
        yield f"| energy of a frame | {joules} |"
    if built := sheet.get("build"):
        yield from ("", f"Build + accept of {built['model']} {built['precision']} from {built['frames']} frames: {built['seconds']:.1f} s.")


def _station(sheet: Sheet) -> Iterator[str]:
    if station := sheet.get("station"):
        yield from ("", f"### The process of a station, {station['recipe']} {station['precision']} (`tools/measure-station`)", "")
        if memory := station.get("memory"):
            seen = ", ".join(f"{mb:.1f} MB after {parts} parts" for parts, mb in memory["rss_mb_after_frames"].items())
            yield f"Resident: {seen}, {memory['most_mb']:.1f} MB at most; {memory['open_files']} files open."
        if triggered := station.get("triggered"):
            shares = {"trigger to result, as the PLC sees it": triggered["trigger_to_result_ms"]}
            shares["of it: the engine with its warp"] = triggered["infer_ms"]
            if "camera_ms" in triggered:
                shares["the camera, by itself"] = triggered["camera_ms"]
            yield f"{triggered['triggers']} parts on a PLC's trigger, camera {triggered['camera']}, {triggered['faults']} FAULT:"
            yield from ("", "| | p50 | p95 | p99 | max |", "|---|---|---|---|---|")
            for what, times in shares.items():
                yield f"| {what} | " + " | ".join(f"{times[rank]:.2f}" for rank in ("p50", "p95", "p99", "max")) + " |"


def _locator(sheet: Sheet) -> Iterator[str]:
    if located := sheet.get("locator"):
        place, warp = located["stages_ms"]["place"], located["stages_ms"]["warp"]
        size = f"{located['frame']['width']} x {located['frame']['height']}"
        yield from (
            "",
            f"Locating a loose part in {size}: p50 {place['p50']:.2f} ms, p99 {place['p99']:.2f} ms; its warp {warp['p50']:.2f} ms.",
        )


def _peers(sheet: Sheet) -> Iterator[str]:
    if peers := sheet.get("peers"):
        yield from ("", "### Peers in turns with ours (`tools/measure-peers`)", "")
        yield from (f"- {name}: {row.get('said', row)}" for name, row in peers["peers"].items())


def _line(sheet: Sheet) -> Iterator[str]:
    if "line" in sheet:
        yield from ("", "### A whole station: loop, Modbus, log, database, pictures of NG in the background", "")
        yield from (
            "| parts/s | missed | exposure to PLC p50 | p99 | wait p50 | infer p50 | record p50 | reached parts/s |",
            "|---|---|---|---|---|---|---|---|",
        )
        for line in sheet["line"]:
            total, stages = line["exposure_to_plc_ms"], line["stages_ms"]
            cells = [f"{total['p50']:.2f}", f"{total['p99']:.2f}", *(f"{stages[name]['p50']:.2f}" for name in ("wait", "infer", "record"))]
            rate = "as fast as it goes" if line["rate_per_s"] is None else f"{line['rate_per_s']:g}"
            yield f"| {rate} | {line['missed']} of {line['parts']} | " + " | ".join(cells) + f" | {line['throughput_per_s']:.1f} |"


def _scaling(sheet: Sheet) -> Iterator[str]:
    if "scaling" in sheet:
        scaling = sheet["scaling"]
        yield from ("", f"### Several stations, {scaling['model']} {scaling['precision']}, one thread each (`tools/measure-scaling`)", "")
        yield f"One station with all cores: {scaling['all_cores_parts_per_s']:.1f} parts/s. Ratios are medians over turns."
        yield from ("", "| stations | parts/s together | of one station with all cores |", "|---|---|---|")
        yield from (f"| {row['stations']} | {row['parts_per_s']:.1f} | {row['of_one_with_all_cores']:.3f} |" for row in scaling["rows"])


def _tiles(sheet: Sheet) -> Iterator[str]:
    if "tiles" in sheet:
        tiles = sheet["tiles"]
        yield from ("", f"### Tiles, {tiles['model']} {tiles['precision']} (`tools/measure-tiles`)", "")
        yield f"Time grows as megapixels to the power {tiles['exponent']:.2f} (1 is linear)."
        yield from ("", "| tiles | megapixels | p50 [ms] | ms a megapixel |", "|---|---|---|---|")
        yield from (f"| {row['tiles']} | {row['mpx']:g} | {row['p50_ms']:.1f} | {row['ms_per_mpx']:.1f} |" for row in tiles["rows"])


def _steps(sheet: Sheet) -> Iterator[str]:
    if "steps" in sheet:
        steps = sheet["steps"]
        yield from ("", f"### Against revision {steps['before']}, in turns (`tools/measure-before-after`)", "")
        yield from _ratios("piece", "time after / before", steps["rows"])


def _choices(sheet: Sheet) -> Iterator[str]:
    for model, rows in sheet.get("choices", {}).items():
        yield from ("", f"### What was decided for an engine on the CPU, {model}, in turns (`tools/measure-engine-choices`)", "")
        yield from _ratios("decision", "time with / without", rows)


def _ratios(what: str, of: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from (f"| {what} | {of} | 95 % from | to | claim |", "|---|---|---|---|---|")
    for row in rows:
        yield f"| {row['what']} | {row['ratio']:.3f} | {row['low']:.3f} | {row['high']:.3f} | {row['claim']} |"


def _told(value: object) -> object:
    return "not told" if value is None else value["name"] if isinstance(value, Mapping) else value
