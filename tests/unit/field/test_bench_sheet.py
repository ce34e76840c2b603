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
    "startup": {
        "import_ms": 0.2,
        "import_line_ms": 310.0,
        "ready_ms": 800.0,
        "first_verdict_ms": 900.0,
        "first_verdict_cached_ms": None,
        "peak_mb": 180.0,
    },
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
            "bare_engine_per_s": 100.0,
        }
    ],
    "station": {
        "recipe": "flagship-256",
        "precision": "int8",
        "memory": {
            "rss_mb_after_frames": {"2004": 300.0, "6001": 301.5},
            "most_mb": 351.0,
            "growth_percent": 0.5,
            "open_files": 15,
        },
        "triggered": {
            "camera": "pylon",
            "triggers": 500,
            "faults": 0,
            "trigger_to_result_ms": SPREAD | {"p99": 30.0},
            "infer_ms": SPREAD | {"p50": 8.0},
        },
    },
    "build": {"model": "flagship-256", "precision": "int8", "frames": 28, "seconds": 48.3},
    "locator": {"frame": {"width": 1024, "height": 1024}, "stages_ms": {"place": SPREAD, "warp": SPREAD}},
    "peers": {
        "peers": {"anomalib": {"peer_over_ours": 5.4, "said": "5.40 times ours"}, "other": {"not_measured": "absent", "said": "absent"}}
    },
    "scaling": {
        "model": "m",
        "precision": "int8",
        "all_cores_parts_per_s": 90.0,
        "rows": [{"stations": 4, "parts_per_s": 88.0, "of_one_with_all_cores": 0.98}],
    },
    "tiles": {"model": "m", "precision": "fp32", "exponent": 1.01, "rows": [{"tiles": 4, "mpx": 0.26, "p50_ms": 9.0, "ms_per_mpx": 34.0}]},
    "choices": {"m": [{"what": "frame lent", "ratio": 0.9, "low": 0.8, "high": 0.95, "claim": "faster"}]},
    "steps": {"before": "9196d4a", "rows": [{"what": "find", "ratio": 0.5, "low": 0.4, "high": 0.6, "claim": "faster"}]},
}


def text(**changes):
    return "\n".join(lines({"this one": {**SHEET, **changes}}))


def test_a_measured_machine_has_all_its_tables():
    page = text()
    for words in (
        "| flagship-128 | int8 | openvino | 11.00 | 12.00 | 13.00 | 14.00 | 11.00 | 11.00 | 0.50 | 90.0 | 0.900 | 2 of 300 |",
        "| frame to verdict, flagship INT8, 128 x 128, p50 | <= 4 ms | 11 ms | **not reached** |",
        "| times below the papers' 55 ms at 128 x 128 | >= 10 | 5 | **not reached** |",
        "| p99 over p50 of frame to verdict, flagship-128 int8 | <= 1.5 | 1.182 | reached |",
        "| memory of a running station, flagship-256 int8 | <= 350 MB | 351 MB | **not reached** |",
        "| its growth, 2004 to 6001 parts | <= 1 % | 0.5 % | reached |",
        "| trigger to result over Modbus (pylon) beyond the engine's 8.0 ms, p50 | <= 6 ms | 3 ms | reached |",
        "| trigger to result over Modbus (pylon) beyond the engine's 8.0 ms, p99 | <= 15 ms | 22 ms | **not reached** |",
        "| a station's parts a second over the bare engine's | >= 0.95 | 0.8 | **not reached** |",
        "| four stations' parts a second over one station's | >= 0.95 | 0.98 | reached |",
        "| build + accept, flagship-256 int8 | <= 60 s | 48.3 s | reached |",
        "| anomalib's time over ours (accuracy not compared here) | >= 3 | 5.4 | reached |",
        "- other: absent",
        "Resident: 300.0 MB after 2004 parts, 301.5 MB after 6001 parts, 351.0 MB at most; 15 files open.",
        "Locating a loose part in 1024 x 1024: p50 11.00 ms",
        "| process start to first verdict | <= 3 s | 0.9 s | reached |",
        "none kept by this runtime",
        "| energy of a frame | not measured: no meter |",
        "| as fast as it goes | 1 of 60 |",
        "| 4 | 88.0 | 0.980 |",
        "to the power 1.01",
        "| find | 0.500 | 0.400 | 0.600 | faster |",
        "GPU A100",
        "numpy 2.0.",
    ):
        assert words in page, words


def test_the_engine_and_what_is_around_it_are_judged_where_no_size_is_named():
    row = ROW | {"model": "flagship-256", "network": {"width": 256, "height": 256, "channels": 3}}
    page = text(rows=[row, row | {"precision": "fp32", "engine_ms": SPREAD | {"p50": 22.0}}])
    assert "| bare engine, flagship-256 INT8, p50; 0.50 of its float32 time | <= 7 ms | 11 ms | **not reached** |" in page
    assert "| everything but the engine, flagship-256 int8, p50 | <= 1.1 ms | 11 ms | **not reached** |" in page
    assert "| everything but the engine, flagship-256 fp32, p50 | <= 2.2 ms | 11 ms | **not reached** |" in page


def test_a_start_from_the_cache_is_judged_where_the_runtime_keeps_one():
    assert "in the cache | <= 1 s" not in text()
    page = text(startup=SHEET["startup"] | {"first_verdict_cached_ms": 1200.0})
    assert "| the same, compiled graphs in the cache | <= 1 s | 1.2 s | **not reached** |" in page


def test_a_machine_that_is_still_being_measured_shows_what_it_has():
    page = "\n".join(lines({"this one": {"device": DEVICE, "load_at_start": 0.1}}))
    assert "## this one" in page
    assert "###" not in page
    assert "Not measured, as it failed: tiles: ended with 1." in text(failed={"tiles": "ended with 1"})


def test_what_was_decided_for_an_engine_stands_with_its_ratio():
    assert "| frame lent | 0.900 | 0.800 | 0.950 | faster |" in text(choices=SHEET["choices"])


def test_a_station_may_have_been_looked_at_for_one_thing_only():
    page = text(station={"recipe": "r", "precision": "int8", "triggered": SHEET["station"]["triggered"]})
    assert "Resident" not in page
    assert "500 parts on a PLC's trigger" in page
    assert "the camera, by itself" not in page
    with_camera = SHEET["station"]["triggered"] | {"camera_ms": SPREAD}
    assert "| the camera, by itself |" in text(station={"recipe": "r", "precision": "int8", "triggered": with_camera})
    assert "500 parts" not in text(station={"recipe": "r", "precision": "int8", "memory": SHEET["station"]["memory"]})


def test_a_machine_that_was_shared_is_said_to_have_been():
    assert "The machine was quiet" in text()
    assert "**The machine was shared** (load 7.5 at the start)" in text(load_at_start=7.5)


def test_a_section_that_was_measured_again_says_its_own_load():
    assert "Measured again, by themselves: start (load 0.3)." in text(load_at_start=7.5, loads={"frames": 7.5, "start": 0.3})
    assert "Measured again" not in text(load_at_start=7.5, loads={"frames": 7.5})


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
