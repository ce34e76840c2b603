"""Two runs against each other: what may be claimed, and what the noise forbids."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge_inspect.errors import ConfigError
from edge_inspect.field.comparison import compare_reports, compare_turns, load_report, rows_of, slower_rows

FRAME = {"width": 64, "height": 48, "channels": 3}


def row(median_ms, *, noise=0.02, rounds=10, yardstick_ms=1.0, seed=0, **said):
    """A row whose rounds differ by `noise`, as those of a machine with neighbours do."""
    random = np.random.default_rng(seed)
    levels = median_ms * (1 + noise * random.standard_normal(rounds))
    drawn = [(level * (1 + 0.01 * random.standard_normal(30))).tolist() for level in levels]
    yards = (yardstick_ms * (1 + 0.01 * random.standard_normal(rounds))).tolist()
    identity = {"model": "cell", "runtime": "openvino", "precision": "fp32", "threads": None, "frame": FRAME, "engine_sha256": "ab"}
    return {**identity, "rounds_ms": {"frame_to_verdict": drawn, "engine": drawn}, "yardstick_ms": yards, **said}


def report(*rows, cpu="Xeon", **facts):
    content = rows[0] if len(rows) == 1 else {"rows": list(rows)}
    return {**content, "device": {"cpu": cpu, **facts}}


def claims(first, second):
    [comparison] = compare_reports(first, second)
    return {ratio.what: ratio for ratio in comparison.ratios}


def test_a_run_that_took_half_again_as_long_is_slower():
    said = claims(report(row(10)), report(row(15, seed=1)))["frame_to_verdict p50"]
    assert said.claim == "slower"
    assert said.low < 1.5 < said.high
    assert said.ratio == pytest.approx(1.5, abs=0.05)


def test_a_run_that_took_two_thirds_is_faster():
    assert claims(report(row(15)), report(row(10, seed=1)))["engine p50"].claim == "faster"


def test_works_timed_in_turns_need_no_yardstick():
    before, after = (row(ms, seed=ms)["rounds_ms"]["engine"] for ms in (10, 8))
    ratio = compare_turns("frame lent", before, after)
    assert (ratio.what, ratio.claim, ratio.adjusted) == ("frame lent", "faster", None)
    assert ratio.low < 0.8 < ratio.high
    assert compare_turns("the same", before, before).claim.startswith("no claim")


def test_within_the_noise_nothing_is_claimed_and_the_width_is_told():
    said = claims(report(row(10, noise=0.3)), report(row(10.5, noise=0.3, seed=1)))["frame_to_verdict p50"]
    assert said.claim.startswith("no claim: within the noise, ")
    assert said.low < 1 < said.high


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_the_same_software_twice_is_not_refused(seed):
    comparisons = compare_reports(report(row(10, seed=seed)), report(row(10, seed=100 + seed)))
    assert slower_rows(comparisons, tolerance=0.05) == []


@pytest.mark.slow
def test_a_machine_that_was_slower_as_a_whole_is_told_apart_from_slower_software():
    said = claims(report(row(10)), report(row(15, yardstick_ms=1.5, seed=1)))["frame_to_verdict p50"]
    assert "the machine itself was not equally fast" in said.claim
    assert slower_rows(compare_reports(report(row(10)), report(row(15, yardstick_ms=1.5))), tolerance=0.05) == []


def test_two_kinds_of_processor_are_compared_without_the_yardstick():
    [comparison] = compare_reports(report(row(10)), report(row(20, yardstick_ms=2.0), cpu="Cortex"))
    assert {ratio.claim for ratio in comparison.ratios} == {"slower"}
    assert comparison.ratios[0].adjusted is None
    assert "cpu: Xeon and Cortex" in comparison.notes


def test_too_few_rounds_carry_no_claim():
    assert claims(report(row(10, rounds=3)), report(row(20, rounds=10)))["engine p50"].claim.startswith("no claim: 3 rounds, 4")


def test_what_became_slower_is_told_with_the_least_that_is_certain():
    [first, second] = slower_rows(compare_reports(report(row(10)), report(row(15, seed=1))), tolerance=0.05)
    assert first.startswith("cell fp32 openvino all threads, 64 x 48 x 3 px: frame_to_verdict p50 takes 1.")
    assert "engine p50" in second
    assert slower_rows(compare_reports(report(row(10)), report(row(15, seed=1))), tolerance=0.9) == []


def test_rows_are_matched_by_what_they_measured():
    first = report(row(10, threads=1), row(20, threads=2))
    comparisons = compare_reports(first, report(row(20, threads=2, seed=3), row(10, threads=4)))
    assert [comparison.row for comparison in comparisons] == ["cell fp32 openvino 2 threads, 64 x 48 x 3 px"]


def test_two_single_rows_are_compared_though_they_differ_and_it_is_told():
    [comparison] = compare_reports(report(row(10, engine_sha256="ab")), report(row(10, precision="int8", engine_sha256="cd")))
    assert "precision: fp32 and int8" in comparison.notes
    assert "engine_sha256: ab and cd" in comparison.notes


def test_reports_without_a_common_row_are_refused():
    with pytest.raises(ConfigError, match="share no row: the first has cell fp32 openvino 1 thread"):
        compare_reports(report(row(1, threads=1), row(1, threads=2)), report(row(1, threads=3), row(1, threads=4)))


NO_ROUNDS = "no rounds or no device"


@pytest.mark.parametrize(("text", "sentence"), [("[", "cannot be read as a report"), ("[]", NO_ROUNDS), ("{}", NO_ROUNDS)])
def test_what_is_no_report_is_refused(tmp_path, text, sentence):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        load_report(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_report(tmp_path / "missing.json")


def test_a_report_is_read_back(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report(row(10), row(20, threads=2))))
    assert len(rows_of(load_report(path))) == 2
