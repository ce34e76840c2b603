"""The sheet of measured speed: what stands in it, and what is said of machines that nobody measured."""

from __future__ import annotations

import json

import pytest

from edge_inspect.field.bench_sheet import BEGIN, END, UNMEASURED, filled, lines, load_sheet

SPREAD = {"p50": 11.0, "p95": 12.0, "p99": 13.0, "max": 14.0}
ROW = {
    "model": "flagship-128",
    "precision": "int8",
    "runtime": "openvino",
    "threads": None,
    "network": {"width": 128, "height": 128, "channels": 3},
    "frames": 300,
    "frame_to_verdict_ms": SPREAD,
    "engine_ms": SPREAD,
    "everything_but_engine_ms": SPREAD,
    "jitter_ms": 0.5,
    "throughput_per_s": {"frames": 90.0, "bare_engine": 100.0},
    "outliers": {"count": 2},
}
DEVICE = {
    "cpu": "Xeon",
    "usable_cores": 2,
    "kernel": "6.1",
    "python": "3.11",
    "power_mode": None,
    "governor": None,
    "gpu": {"name": "A100"},
    "packages": {"numpy": "2.0", "tensorrt": None},
}
SHEET = {
    "device": DEVICE,
    "load_at_start": 0.1,
    "rows": [ROW],
    "threads": [ROW | {"threads": 1}],
    "startup": {"first_verdict_ms": 900.0, "first_verdict_cached_ms": None, "peak_mb": 180.0},
    "memory": {"settled_frames": 2000, "frames": 6000, "growth_percent": 0.1},
    "plc_visible_ms": SPREAD,
    "energy": {"source": "not measured: no meter", "joules_per_frame": None},
    "line": [
        {
            "rate_per_s": None,
            "missed": 1,
            "parts": 60,
            "exposure_to_plc_ms": SPREAD,
            "stages_ms": dict.fromkeys(("wait", "infer", "record"), SPREAD),
            "throughput_per_s": 80.0,
        }
    ],
    "scaling": {
        "model": "m",
        "precision": "int8",
        "all_cores_parts_per_s": 90.0,
        "rows": [{"stations": 4, "parts_per_s": 88.0, "of_one_with_all_cores": 0.98}],
    },
    "tiles": {"model": "m", "precision": "fp32", "exponent": 1.01, "rows": [{"tiles": 4, "mpx": 0.26, "p50_ms": 9.0, "ms_per_mpx": 34.0}]},
    "steps": {"before": "9196d4a", "rows": [{"what": "find", "ratio": 0.5, "low": 0.4, "high": 0.6, "claim": "faster"}]},
}


def text(**changes):
    return "\n".join(lines({"this one": {**SHEET, **changes}}))


def test_a_measured_machine_has_all_its_tables():
    page = text()
    for words in (
        "| flagship-128 | int8 | openvino | 11.00 | 12.00 | 13.00 | 14.00 | 11.00 | 11.00 | 0.50 | 90.0 | 0.900 | 2 of 300 |",
        "| 128 | 11.00 | <= 4 | 55 | 5.0 |",
        "| process start to first verdict | 0.90 s | <= 3 s |",
        "none kept by this runtime",
        "| energy of a frame | not measured: no meter | |",
        "| as fast as it goes | 1 of 60 |",
        "| 4 | 88.0 | 0.980 |",
        "to the power 1.01",
        "| find | 0.500 | 0.400 | 0.600 | faster |",
        "GPU A100",
        "numpy 2.0.",
    ):
        assert words in page, words


def test_a_machine_that_was_shared_is_said_to_have_been():
    assert "The machine was quiet" in text()
    assert "**The machine was shared** (load 7.5 at the start)" in text(load_at_start=7.5)


def test_machines_that_nobody_measured_are_named_with_their_command():
    page = "\n".join(lines({}))
    for name in ("Jetson Nano", "Jetson AGX Orin", "RTX 4060", "A100"):
        assert f"| {name} | not measured | `tools/measure-benchmark-sheet ENGINES --machine '{name}'" in page


def test_a_machine_that_was_measured_is_not_said_to_be_missing():
    assert "| A100 | not measured" not in "\n".join(lines({"A100": SHEET}))
    assert set(UNMEASURED) >= {"A100"}


def test_what_people_wrote_around_the_measured_part_stays():
    page = f"# Speed\n\nfirst\n\n{BEGIN}\nstale figures\n{END}\n\nlast\n"
    again = filled(page, {"this one": SHEET})
    assert again.startswith(f"# Speed\n\nfirst\n\n{BEGIN}\n")
    assert again.endswith("last\n")
    assert "stale figures" not in again
    assert filled(again, {"this one": SHEET}) == again
    assert BEGIN in filled("# Speed\n", {})


@pytest.mark.parametrize("content", [None, "[", "{}", json.dumps({"machines": {"A100": SHEET}})])
def test_a_sheet_is_read_where_there_is_one(tmp_path, content):
    path = tmp_path / "benchmark.json"
    if content is not None:
        path.write_text(content)
    assert list(load_sheet(path)) == (["A100"] if content and "A100" in content else [])
