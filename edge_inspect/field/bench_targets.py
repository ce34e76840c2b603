"""What this product promises of its speed, held against what a machine measured: a line each, reached or by how much not.

The figures are for two cores with AVX-512 VNNI, a frame of 1024 x 1024 in colour, on a machine that does nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Sheet = Mapping[str, Any]

WANTED_MS = {128: 4.0, 256: 9.0, 512: 30.0, 1024: 100.0}
"""Frame to verdict of the INT8 flagship by the network's side [px]."""

PAPERS_MS = {128: 55.0, 1024: 201.0}
"""What the papers' figures are for a comparable system, on hardware of their own (docs/models.md names the papers)."""

BELOW_PAPERS = {128: 10.0, 1024: 2.0}
"""How many times below the papers' figure."""

ENGINES_MS = {"flagship-256": 7.0, "autoencoder-256": 16.0, "triplet-1024": 80.0}
"""The bare INT8 engine, by the benchmark engine's name."""

JUDGED = "flagship-256"
"""Where a promise names no size."""

REST_SHARE, REST_MS = 0.1, 1.0
TAIL = 1.5
"""p99 over p50 on a quiet machine."""
OF_ENGINE = 0.95
"""Throughput of a station over the bare engine's; of four stations over one's."""
MOST_MB, MOST_GROWTH = 350.0, 1.0
FIRST_MS, FIRST_CACHED_MS = 3000.0, 1000.0
VISIBLE_MS = {"p50": 3.0, "p99": 10.0}
BEYOND_ENGINE_MS = {"p50": 6.0, "p99": 15.0}
"""Trigger to result beyond the engine's median."""
BUILD_S = 60.0
PEERS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One promise: what was promised of what, what was measured, and whether that is enough."""

    what: str
    wanted: str
    measured: str
    reached: bool


def judgements(sheet: Sheet) -> Iterator[Judgement]:
    """Every promise that this machine's figures say something about."""
    rows = {(row["model"], row["precision"]): row for row in sheet.get("rows", ()) if row["runtime"] == "openvino"}
    yield from _frames(rows)
    yield from _engines(rows)
    yield from _rest(rows)
    yield from _start(sheet)
    yield from _station(sheet)
    yield from _several(sheet)


def _frames(rows: Mapping[tuple[str, str], Sheet]) -> Iterator[Judgement]:
    for side, wanted in WANTED_MS.items():
        if row := rows.get((f"flagship-{side}", "int8")):
            median = row["frame_to_verdict_ms"]["p50"]
            yield _at_most(f"frame to verdict, flagship INT8, {side} x {side}, p50", median, wanted, "ms")
            if side in PAPERS_MS:
                times = PAPERS_MS[side] / median
                yield _at_least(f"times below the papers' {PAPERS_MS[side]:g} ms at {side} x {side}", times, BELOW_PAPERS[side])


def _engines(rows: Mapping[tuple[str, str], Sheet]) -> Iterator[Judgement]:
    for name, wanted in ENGINES_MS.items():
        if row := rows.get((name, "int8")):
            engine = row["engine_ms"]["p50"]
            whole = rows.get((name, "fp32"))
            beside = "" if whole is None else f"; {engine / whole['engine_ms']['p50']:.2f} of its float32 time"
            yield _at_most(f"bare engine, {name} INT8, p50{beside}", engine, wanted, "ms")


def _rest(rows: Mapping[tuple[str, str], Sheet]) -> Iterator[Judgement]:
    for (name, precision), row in rows.items():
        if name == JUDGED:
            wanted = max(REST_SHARE * row["engine_ms"]["p50"], REST_MS)
            rest = row["everything_but_engine_ms"]["p50"]
            yield _at_most(f"everything but the engine, {name} {precision}, p50", rest, wanted, "ms")
    for (name, precision), row in rows.items():
        if name.startswith("flagship"):
            times = row["frame_to_verdict_ms"]["p99"] / row["frame_to_verdict_ms"]["p50"]
            yield _at_most(f"p99 over p50 of frame to verdict, {name} {precision}", times, TAIL)


def _start(sheet: Sheet) -> Iterator[Judgement]:
    if start := sheet.get("startup"):
        yield _at_most("process start to first verdict", start["first_verdict_ms"] / 1e3, FIRST_MS / 1e3, "s")
        if start["first_verdict_cached_ms"] is not None:
            cached = start["first_verdict_cached_ms"] / 1e3
            yield _at_most("the same, compiled graphs in the cache", cached, FIRST_CACHED_MS / 1e3, "s")
    if visible := sheet.get("plc_visible_ms"):
        for rank, wanted in VISIBLE_MS.items():
            yield _at_most(f"verdict visible to a Modbus client, {rank}", visible[rank], wanted, "ms")
    if built := sheet.get("build"):
        yield _at_most(f"build + accept, {built['model']} {built['precision']}", built["seconds"], BUILD_S, "s")


def _station(sheet: Sheet) -> Iterator[Judgement]:
    station = sheet.get("station", {})
    if memory := station.get("memory"):
        yield _at_most(f"memory of a running station, {station['recipe']} {station['precision']}", memory["most_mb"], MOST_MB, "MB")
        frames = " to ".join(memory["rss_mb_after_frames"])
        yield _at_most(f"its growth, {frames} parts", memory["growth_percent"], MOST_GROWTH, "%")
    if triggered := station.get("triggered"):
        engine = triggered["infer_ms"]["p50"]
        for rank, wanted in BEYOND_ENGINE_MS.items():
            beyond = triggered["trigger_to_result_ms"][rank] - engine
            what = f"trigger to result over Modbus ({triggered['camera']}) beyond the engine's {engine:.1f} ms, {rank}"
            yield _at_most(what, beyond, wanted, "ms")


def _several(sheet: Sheet) -> Iterator[Judgement]:
    for line in sheet.get("line", ()):
        if line["rate_per_s"] is None and "bare_engine_per_s" in line:
            yield _at_least(
                "a station's parts a second over the bare engine's", line["throughput_per_s"] / line["bare_engine_per_s"], OF_ENGINE
            )
    for row in sheet.get("scaling", {}).get("rows", ()):
        if row["stations"] == 4:
            yield _at_least("four stations' parts a second over one station's", row["of_one_with_all_cores"], OF_ENGINE)
    for name, row in sheet.get("peers", {}).get("peers", {}).items():
        if "peer_over_ours" in row:
            yield _at_least(f"{name}'s time over ours (accuracy not compared here)", row["peer_over_ours"], PEERS)


def _at_most(what: str, value: float, wanted: float, unit: str = "") -> Judgement:
    return Judgement(what=what, wanted=_with("<=", wanted, unit), measured=_with("", value, unit), reached=value <= wanted)


def _at_least(what: str, value: float, wanted: float) -> Judgement:
    return Judgement(what=what, wanted=_with(">=", wanted, ""), measured=_with("", value, ""), reached=value >= wanted)


def _with(sign: str, value: float, unit: str) -> str:
    return " ".join(word for word in (sign, f"{value:.3g}" if sign else f"{value:.4g}", unit) if word)
