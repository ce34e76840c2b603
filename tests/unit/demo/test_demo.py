"""What the demo teaches, shows and sums up."""

import pytest

from edge_inspect.demo.line import MARK, free_port, lay_out, running_station
from edge_inspect.demo.parts import Part, mvtec_folder, solar_cells
from edge_inspect.demo.summary import auroc, sentences, summarise
from edge_inspect.errors import ConfigError, EdgeInspectError


@pytest.fixture
def screws(tmp_path):
    for folder, count in (("train/good", 6), ("test/good", 4), ("test/scratch", 3), ("test/dent", 9)):
        (tmp_path / "screw" / folder).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "screw" / folder / f"{number:03d}.png").touch()
    return tmp_path


def test_a_folder_in_mvtec_layout_is_taught_on_train_good_and_run_on_test(screws):
    found = mvtec_folder(screws, "screw", 8)
    assert len(found.taught) == 6
    assert sum(part.good for part in found.parts) == 4
    assert len(found.parts) == 8
    assert not {part.picture for part in found.parts} & set(found.taught)
    assert {part.label for part in found.parts} <= {"good", "scratch", "dent"}
    assert found == mvtec_folder(screws, "screw", 8)


def test_where_one_kind_is_short_the_other_fills_up(screws):
    assert sum(part.good for part in mvtec_folder(screws, "screw", 100).parts) == 4
    assert len(mvtec_folder(screws, "screw", 100).parts) == 16


@pytest.mark.parametrize("broken", ["missing", "empty"])
def test_a_folder_of_another_layout_is_one_sentence(tmp_path, broken):
    if broken == "empty":
        (tmp_path / "screw" / "train" / "good").mkdir(parents=True)
    with pytest.raises(ConfigError, match="MVTec AD layout"):
        mvtec_folder(tmp_path, "screw", 8)


@pytest.mark.workshop
def test_solar_cells_are_never_both_taught_and_inspected():
    found = solar_cells(200)
    assert len(found.taught) == 400
    assert len(found.parts) == 200
    assert sum(part.good for part in found.parts) == 100
    assert not {part.picture for part in found.parts} & set(found.taught)


def test_without_the_data_set_the_demo_says_what_to_install(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("edge_inspect.demo.parts.files", missing)
    with pytest.raises(ConfigError, match=r"edge-inspect\[demo\]"):
        solar_cells(10)


def test_auroc_is_the_share_of_pairs_in_the_right_order_with_ties_half():
    assert auroc([1, 2, 3], [4, 5]) == 1
    assert auroc([1, 2], [2]) == 0.75
    assert auroc([3], [1]) == 0
    assert auroc([], [1]) is None


def record(verdict, score):
    stages = dict.fromkeys(("wait", "place", "infer", "find", "decide", "emit", "verdict"), 2.0)
    return {"verdict": verdict, "score": score, "latency_ms": stages}


def test_the_summary_holds_verdicts_against_labels():
    records = [record("OK", 1.0), record("NG", 3.0), record("NG", 9.0), record("OK", 2.0), record("FAULT", None)]
    summary = summarise(records, ["good", "good", "dent", "dent", "good"], bound=0.03, promise="at most 3 %")
    assert (summary["parts"], summary["ok"], summary["ng"], summary["fault"]) == (5, 2, 2, 1)
    assert summary["false_reject_rate"] == pytest.approx(2 / 3, abs=1e-4)
    assert summary["detected_rate"] == 0.5
    assert summary["auroc"] == 0.75
    assert summary["latency_ms"]["p99"] == 2.0
    assert any("at most 3 %" in line for line in sentences(summary))


def test_a_summary_of_one_kind_of_part_has_no_auroc():
    summary = summarise([record("OK", 1.0)], ["good"], bound=None, promise="none")
    assert summary["auroc"] is None
    assert summary["detected_rate"] is None
    assert any("not defined" in line for line in sentences(summary))


def test_the_demo_clears_its_own_folder_and_never_another(tmp_path):
    picture = tmp_path / "a b.png"
    picture.touch()
    parts = [Part(picture=picture, label="good")]
    for _ in range(2):
        lay_out(tmp_path / "demo", "cell", parts, port=1502, deadline_ms=100)
    assert (tmp_path / "demo" / MARK).exists()
    assert (tmp_path / "demo" / "parts" / "00001_good_a_b.png").resolve() == picture.resolve()
    with pytest.raises(ConfigError, match="not an earlier demo"):
        lay_out(tmp_path, "cell", parts, port=1502, deadline_ms=100)


def test_a_station_that_does_not_start_says_why(tmp_path):
    station_file = lay_out(tmp_path / "demo", "cell", [], port=free_port(), deadline_ms=100)
    with pytest.raises(EdgeInspectError, match=r"did not become ready.*has no picture"), running_station(station_file):
        pass
