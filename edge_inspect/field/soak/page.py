"""The runs of a soak as a page: what was wanted beside what was measured, and each figure of the run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from edge_inspect.field.bench_targets import Judgement

BEGIN, END = "<!-- measured: written by tools/soak -->", "<!-- end of what is measured -->"

Run = Mapping[str, Any]

MOST_SLOPE_MB_PER_H = 1.0
SHORTEST_SLOPE_S = 600.0
"""Memory of a shorter time says nothing about hours."""
MOST_STOP_S = 2.0
LEAST_RATE = 0.99
"""Share of the parts a second that were asked for."""
_WRONG = ("lost", "doubled", "differ", "unasked", "unnoted")


def filled(page: str, recorded: Mapping[str, Any]) -> str:
    """The page with what stands between its two marks written anew; a page without marks gets them at its end.

    Args:
        page: the page as it is.
        recorded: `runs`, by name, and `stops`, as docs/results/soak.json holds them.
    """
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = (before.strip(), "\n".join([BEGIN, *_lines(recorded), END]), after.strip())
    return "\n\n".join(part for part in parts if part) + "\n"


def judgements(run: Run) -> Iterator[Judgement]:
    """What is promised of a run, held against what it found."""
    yield from _asked(run)
    sums = [run["plc"] + run["overrun"] + run["unread"], run["ok"] + run["ng"] + run["fault"], run["database"], run["log"]]
    books = f"{run['triggers']:,} = " + " = ".join(f"{number:,}" for number in sums)
    yield _judged("triggers = PLC's side = verdicts = database = log", "the same", books, {run["triggers"]} == set(sums))
    wrong = [run[name] for name in _WRONG]
    yield _judged("lost, doubled, different, unasked, never noted", "0", ", ".join(map(str, wrong)), not any(wrong))
    yield _judged("alarms left when all is mended", "none", "; ".join(sorted(run["alarms"])) or "none", not run["alarms"])
    if (run["rss_slope_over_s"] or 0) >= SHORTEST_SLOPE_S:
        slope, (lowest, highest) = run["rss_slope_mb_per_h"], run["rss_slope_interval_mb_per_h"]
        told = f"{slope} ({lowest} to {highest})"
        yield _judged("memory slope after warm-up [MB/h], 95 % interval", f"<= {MOST_SLOPE_MB_PER_H:g}", told, slope <= MOST_SLOPE_MB_PER_H)
    yield _judged("SIGTERM to the end [s]", f"<= {MOST_STOP_S:g}", f"{run['stop_s']:.2f}", run["stop_s"] <= MOST_STOP_S)


def _asked(run: Run) -> Iterator[Judgement]:
    """How much of what the command line asked for came about."""
    asked = run["asked"]
    if asked["rate"]:
        rate = run["usual_rate_per_s"] or 0.0
        yield _judged("parts a second, median of all seconds", f"{asked['rate']:g}", f"{rate:.1f}", rate >= LEAST_RATE * asked["rate"])
    if asked["frames"] is not None:
        yield _judged("parts", f"{asked['frames']:,}", f"{run['triggers']:,}", run["triggers"] >= asked["frames"])
    if asked["kills"]:
        killed = run["faults"].get("killed", 0)
        yield _judged("kills (SIGKILL)", str(asked["kills"]), str(killed), killed >= asked["kills"])


def _lines(recorded: Mapping[str, Any]) -> Iterator[str]:
    for name, run in recorded.get("runs", {}).items():
        yield from ("", f"## {name}: `{run['command']}`", "", _where(run), "")
        yield from [f"**It did not come to its end**: {run['failed']}"] if "failed" in run else _run(run)
    if stops := recorded.get("stops"):
        yield from ("", f"## SIGTERM in each state: `{stops['command']}`", "", _where(stops), "")
        yield from _stops(stops)


def _where(run: Run) -> str:
    device = run["device"]
    load = " and ".join(f"{one:.1f}" for one in (run["load_before"], run["load_after"]))
    memory_gb = int(device["memory"].split()[0]) * 1024 / 1e9
    machine = f"{device['cpu']}, {device['usable_cores']} cores, {memory_gb:.0f} GB of memory, Python {device['python']}"
    return f"{machine}; revision {run['revision']}, {run['on']}; load average {load}, before and after."


def _run(run: Run) -> Iterator[str]:
    yield from ("| | wanted | measured | |", "|---|---|---|---|")
    yield from (f"| {one.what} | {one.wanted} | {one.measured} | {_word(one.reached)} |" for one in judgements(run))
    yield from ("", "| | |", "|---|---|")
    yield from (f"| {what} | {told} |" for what, told in _facts(run))
    if points := run["points"]:
        yield from ("", *_row("after [s]", (f"{point['s']:.0f}" for point in points)), "|---" * (len(points) + 1) + "|")
        yield from _row("parts", (f"{point['parts']:,.0f}" for point in points))
        yield from _row("memory [MB]", (_figure(point["rss_mb"]) for point in points))
        yield from _row("descriptors", (_figure(point["descriptors"]) for point in points))


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    yield "length [s], parts a second on average, with all that was broken", f"{run['seconds']}, {run['rate_per_s']:.1f}"
    yield "OK, NG, FAULT", ", ".join(f"{run[name]:,}" for name in ("ok", "ng", "fault"))
    yield (
        "read by the PLC; thrown away, for it was too slow; killed before it could",
        f"{run['plc']:,}; {run['overrun']:,}; {run['unread']:,}",
    )
    yield "memory [MB] and descriptors at the end", f"{_figure(run['rss_mb'])}, {_figure(run['descriptors'])}"
    yield "descriptors and threads grown after warm-up", f"{_figure(run['descriptors_grown'])}, {_figure(run['threads_grown'])}"
    for share in ("p50", "p99") if run["latency_ms"] else ():
        first, last = (_figure(run["latency_ms"][f"{when}_{share}"]) for when in ("first", "last"))
        yield f"trigger to result [ms], first fifth against last, {share}", f"{first}, {last}"
    yield "what was broken", ", ".join(f"{name} {times}" for name, times in run["faults"].items()) or "nothing"
    if run["overload"]:
        yield "pictures could not keep up with `--rate max`", "; ".join(run["overload"].values())
    if run["left_out"]:
        yield "could not be broken here", ", ".join(run["left_out"])


def _stops(stops: Run) -> Iterator[str]:
    yield from (f"pytest: {stops['outcome']}.", "", "| state | times | median [s] | longest [s] | wanted | |", "|---|---|---|---|---|---|")
    for state, times in stops["stop_s"].items():
        reached = _word(max(times) <= MOST_STOP_S)
        yield f"| {state} | {len(times)} | {median(times):.2f} | {max(times):.2f} | <= {MOST_STOP_S:g} | {reached} |"


def _row(name: str, cells: Iterator[str] | Sequence[str]) -> Iterator[str]:
    yield f"| {name} | " + " | ".join(cells) + " |"


def _figure(value: float | None) -> str:
    return "not measured" if value is None or math.isnan(value) else f"{value:.1f}".removesuffix(".0")


def _judged(what: str, wanted: str, measured: str, reached: bool) -> Judgement:
    return Judgement(what=what, wanted=wanted, measured=measured, reached=reached)


def _word(reached: bool) -> str:
    return "reached" if reached else "**not reached**"
