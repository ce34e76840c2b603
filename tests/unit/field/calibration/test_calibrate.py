"""`edge-inspect calibrate`, with the tiny engine whose scores can be predicted."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec

import cv2
import pytest

from edge_inspect.acceptance import ACCEPTANCE_FILE
from edge_inspect.cli.main import main
from edge_inspect.config import load_recipe
from edge_inspect.errors import ConfigError
from edge_inspect.field.calibration import sources
from edge_inspect.field.calibration.parts import Part, sample_of
from edge_inspect.field.calibration.sources import duration
from edge_inspect.model_folder import open_model_folder
from edge_inspect.service.alone import hold_alone
from edge_inspect.thresholds import load_thresholds, read_thresholds
from edge_inspect.thresholds.history import history_path, read_history

from .conftest import lines_in, picture, store, write_pictures

PROMISED = ("--false-rejects", "0.05")


def thresholds_of(station):
    return read_thresholds(station / "cell" / "thresholds.json")


def engine_of(station):
    return open_model_folder(load_recipe(station / "cell" / "recipe.yaml").engine).engine_sha256


def test_a_folder_of_good_parts_proposes_the_largest_score_and_changes_nothing(station, said):
    before = (station / "cell" / "thresholds.json").read_bytes()
    code, found, _ = said("--good", "good", *PROMISED)
    assert code == 0
    assert (found["good"], found["rule"]) == (60, "quantile")
    assert found["new"]["image_threshold"] == found["new"]["pixel_threshold"] == pytest.approx(12, abs=0.01)
    assert found["new"]["false_reject_bound"] == pytest.approx(0.0487, abs=1e-4)
    assert found["new"]["confidence"] == 0.95
    assert found["refusal"] == ""
    assert found["applied"] is None
    assert (station / "cell" / "thresholds.json").read_bytes() == before
    assert not history_path(station / "cell" / "thresholds.json").exists()


def test_sixty_good_parts_are_refused_a_promise_of_one_in_a_hundred_and_nothing_is_changed(station, said):
    before = (station / "cell" / "thresholds.json").read_bytes()
    code, found, _ = said("--good", "good", "--apply", "--reason", "new lamp")
    assert code == 1
    assert found["refusal"] == (
        "60 good parts carry a promise of 4.87%, not of 1.00%; bring 299 or more, or ask for what they carry: --false-rejects 0.049"
    )
    assert (station / "cell" / "thresholds.json").read_bytes() == before


def test_applied_thresholds_stand_in_force_in_the_history_and_in_the_acceptance(station, said):
    code, found, _ = said("--good", "good", "--bad", "bad", *PROMISED, "--apply", "--reason", "new lamp")
    assert (code, found["applied"]) == (0, 2)
    recipe = load_recipe(station / "cell" / "recipe.yaml")
    stands = load_thresholds(recipe.thresholds, engine_sha256=engine_of(station), recipe_sha256=recipe.sha256)
    first, second = read_history(recipe.thresholds)
    assert (first.change.action, second.change.action, second.change.reason) == ("found", "calibrated", "new lamp")
    assert stands == second.thresholds
    assert (len(second.change.good_frames), len(second.change.defective_frames)) == (60, 10)
    accepted = json.loads((station / "cell" / ACCEPTANCE_FILE).read_text())["records"]
    assert [record["binding"]["calibration_id"] for record in accepted] == [stands.calibration_id]
    assert main(["check"]) == 0


def test_without_a_reason_nothing_is_changed(station, said):
    code, _, err = said("--good", "good", *PROMISED, "--apply")
    assert code == 78
    assert "why are the thresholds changed? Give --reason TEXT" in err


def test_rules_that_weigh_defects_find_the_gap_between_good_and_defective(station, said):
    _, found, _ = said("--good", "good", "--bad", "bad", "--rule", "youden")
    assert found["new"]["image_threshold"] == pytest.approx(21, abs=0.6)
    assert set(found["others"]) - {"svm"} == {"quantile", "tail", "mean", "f1", "recall90"}
    assert ("svm" in found["others"]) == (find_spec("sklearn") is not None)
    assert found["escapes"]["new"]["seen"] == 0
    assert found["escapes"]["new"]["high"] == pytest.approx(0.308, abs=1e-3)
    assert found["false_rejects"]["new"]["seen"] == 0


def test_defective_parts_go_with_the_stations_archive_and_one_of_its_frames_among_them_is_no_good_part(station, said):
    store(station, [3, 5, 7, 9] * 10 + [34], calibration_id="old", engine_sha256=engine_of(station))
    cv2.imwrite(str(station / "bad" / "scratch.png"), picture(34, 41))
    code, found, _ = said("--since", "2h", "--only", "OK", "NG", "--bad", "bad", "--rule", "youden")
    assert (code, found["good"], found["defective"]) == (0, 40, 11)
    assert found["left_out"] == ["41: the same frame as scratch.png"]
    assert found["new"]["image_threshold"] == pytest.approx(19.5, abs=0.6)
    assert found["escapes"]["new"]["seen"] == 0


def test_defective_parts_go_with_the_camera(station, said):
    code, found, _ = said("--live", "60", "--bad", "bad", "--rule", "youden")
    assert (code, found["good"], found["defective"]) == (0, 60, 10)
    assert found["new"]["image_threshold"] == pytest.approx(21, abs=0.6)
    assert found["escapes"]["new"] == found["escapes"]["new"] | {"seen": 0, "parts": 10}


def test_a_rule_that_weighs_defects_is_not_offered_without_any(station, said):
    _, found, _ = said("--good", "good", *PROMISED)
    assert set(found["others"]) == {"tail", "mean"}
    code, _, err = said("--good", "good", "--rule", "f1")
    assert code == 78
    assert "--rule f1: weighs good parts against defective ones, and there are none; give --bad DIR" in err


def test_the_support_vector_machine_is_for_those_who_have_the_package(station, said):
    code, found, err = said("--good", "good", "--bad", "bad", "--rule", "svm")
    if find_spec("sklearn") is None:
        assert code == 78
        assert "needs scikit-learn" in err
    else:
        assert 12 < found["new"]["image_threshold"] < 30


def test_flipped_verdicts_are_named_with_what_they_were(station, said):
    write_pictures(station / "edge", [15, 15, 16])
    _, found, _ = said("--good", "good", "--bad", "edge", *PROMISED)
    assert {flip["part"] for flip in found["flips"]} == {"000.png", "001.png", "002.png"}
    assert {(flip["before"], flip["after"]) for flip in found["flips"]} == {("OK", "NG")}
    assert found["escapes"]["old"]["seen"] == 3
    assert found["escapes"]["new"]["seen"] == 0


def test_a_part_that_is_not_good_after_all_is_left_out_by_name(station, said):
    write_pictures(station / "good2", [5] * 30 + [90])
    _, found, _ = said("--good", "good2", "--false-rejects", "0.1", "--leave-out", "030.png")
    assert found["highest_good"][0][1] == pytest.approx(5, abs=0.01)
    assert found["left_out"] == ["030.png: left out by --leave-out"]


def test_the_same_frame_twice_counts_once_and_a_damaged_one_is_named(station, said):
    (station / "good" / "copy.png").write_bytes((station / "good" / "000.png").read_bytes())
    (station / "good" / "torn.png").write_bytes(b"no picture")
    _, found, _ = said("--good", "good", *PROMISED)
    assert found["good"] == 60
    assert any("copy.png: the same frame as 000.png" in reason for reason in found["left_out"])
    assert any("torn.png" in reason and "no picture" in reason for reason in found["left_out"])


def test_the_stations_archive_is_read_beside_it_and_never_changed(station, said):
    store(station, [3, 5, 7, 9, 11, 13] * 10 + [40], calibration_id="old", engine_sha256=engine_of(station))
    with hold_alone(station / "data"):
        code, found, _ = said("--since", "2h", *PROMISED)
    assert code == 0
    assert found["good"] == 60
    assert found["new"]["image_threshold"] == pytest.approx(13, abs=0.01)
    assert any("only parts that the station passed" in told for told in found["told"])
    assert found["stored_rejects"]["new"] == pytest.approx(found["stored_rejects"]["new"] | {"seen": 1, "parts": 61})
    assert lines_in(station / "data" / "inspections.sqlite") == 61


def test_rejects_that_a_person_has_looked_at_can_be_taken_too(station, said):
    store(station, [5] * 40 + [25, 90], calibration_id="old", engine_sha256=engine_of(station))
    _, found, _ = said("--since", "2h", "--only", "OK", "NG", "--leave-out", "42", "--false-rejects", "0.1")
    assert found["good"] == 41
    assert found["highest_good"][0][:1] == ["41"]
    assert not any("that the station passed" in told for told in found["told"])


def test_what_is_older_than_asked_for_does_not_count(station, said):
    store(station, [5] * 20, calibration_id="old", engine_sha256=engine_of(station), age_s=7300)
    code, _, err = said("--since", "2h")
    assert code == 78
    assert "0 usable good parts, 10 or more are needed, and 299 to promise 1.00%" in err


def test_a_recorded_score_counts_only_where_it_is_of_this_engine_and_recipe(station, said):
    here = thresholds_of(station).calibration_id
    store(station, [3, 5, 7] * 10, keep_frames=False, calibration_id=here, engine_sha256=engine_of(station))
    _, found, _ = said("--since", "2h", "--false-rejects", "0.2")
    assert found["good"] == 30
    assert "of 30 stored parts only the recorded score is left: the raw frame was not kept (`keep`, `raw`)" in found["told"]
    recipe = station / "cell" / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "masks: {border_px: 2}\n")
    code, _, err = said("--since", "2h")
    assert code == 78
    assert "its raw frame was not kept, and its score is not of this engine and recipe" in err


def test_parts_in_front_of_the_camera_are_scored_and_beside_a_station_that_inspects_nothing_it_gives_up(station, said, monkeypatch):
    monkeypatch.setattr(sources, "PATIENCE_S", 0.2)
    code, found, _ = said("--live", "60", *PROMISED)
    assert (code, found["good"]) == (0, 60)
    with hold_alone(station / "data"):
        code, _, err = said("--live", "60")
    assert code == 1
    assert "gave no part of cell" in err
    assert not (station / "data" / "sample-asked.json").exists()


def test_thresholds_of_another_recipe_are_told_and_new_ones_proposed_all_the_same(station, said):
    recipe = station / "cell" / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "masks: {border_px: 2}\n")
    code, found, _ = said("--good", "good", *PROMISED, "--apply", "--reason", "mask")
    assert code == 0
    assert found["old"] is None
    assert re.search(r"made for recipe \w{12}, but \w{12} is running", found["no_old"])
    assert main(["check"]) == 0


def test_the_history_is_shown_compared_and_taken_back(station, said, capsys):
    said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    code, shown, _ = said("--history")
    assert code == 0
    assert [entry["change"]["reason"] for entry in shown["entries"]] == ["stood there without an entry", "new lamp"]
    _, changed, _ = said("--diff", "1", "2")
    assert changed["image_threshold"][0] == 20.0
    code, entry, _ = said("--rollback", "1", "--reason", "too strict")
    assert (code, entry["number"]) == (0, 3)
    assert thresholds_of(station).image_threshold == 20.0
    assert main(["check"]) == 0
    assert main(["calibrate", "--history"]) == 0
    assert "rolled back, to #1: too strict" in capsys.readouterr().out


def test_a_rollback_to_thresholds_of_another_recipe_is_refused_with_both_hashes(station, said):
    said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    recipe = station / "cell" / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "masks: {border_px: 2}\n")
    code, _, err = said("--rollback", "1", "--reason", "back")
    assert code == 78
    assert re.search(r"made for recipe \w{12}, but \w{12} is running; calibrate the part again with this recipe", err)


def test_thresholds_that_flip_a_golden_frame_of_this_engine_are_refused(station, said, monkeypatch):
    from edge_inspect.errors import EngineError
    from edge_inspect.scoring import Scorer

    def refused(self, thresholds, *, kind):
        raise EngineError("no agreement, no service: golden frame 1 flips its verdict")

    monkeypatch.setattr(Scorer, "gate", refused)
    before = (station / "cell" / "thresholds.json").read_bytes()
    code, _, err = said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    assert code == 1
    assert "flips its verdict" in err
    assert (station / "cell" / "thresholds.json").read_bytes() == before


def test_an_edited_history_is_told_with_exit_code_78(station, said):
    said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    history = history_path(station / "cell" / "thresholds.json")
    history.write_text(history.read_text().replace("new lamp", "old lamp"))
    code, _, err = said("--history")
    assert code == 78
    assert "thresholds-history.jsonl:2: the history is not as it was written" in err


def test_thresholds_edited_by_hand_are_told_with_exit_code_1(station, said):
    said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    stands = station / "cell" / "thresholds.json"
    stands.write_text(json.dumps(json.loads(stands.read_text()) | {"image_threshold": 99.0}))
    code, shown, _ = said("--history")
    assert code == 1
    assert "edited by hand" in shown["complaint"]


def test_the_table_on_the_terminal_says_what_changes_and_what_to_do(station, capsys):
    assert main(["calibrate", "--good", "good", "--bad", "bad", *PROMISED]) == 0
    out = capsys.readouterr().out
    assert "part         cell: 60 good parts, 10 defective, 0 stored" in out
    assert re.search(r"image threshold +20 +12", out)
    assert "unchanged    put it in force with --apply --reason TEXT" in out
    assert main(["calibrate", "--good", "good"]) == 0
    assert "not enough   60 good parts carry" in capsys.readouterr().out
    assert main(["calibrate", "--good", "good", *PROMISED, "--apply", "--reason", "x"]) == 0
    assert "in force     as #2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ((), "from which parts? Give --good DIR"),
        (("--recipe", "cell/recipe.yaml", "--live", "5"), "--recipe: has no station"),
        (("--bad", "bad"), "from which parts? Give --good DIR"),
        (("--good", "good", "--false-rejects", "0.9"), "wanted above 0 and at most 0.5"),
        (("--good", "good", "--confidence", "1"), "0.5 to below 1"),
        (("--good", "good", "--job", "7"), "has no job 7; it has none"),
    ],
)
def test_what_makes_no_sense_is_told(station, said, words, what):
    code, _, err = said(*words)
    assert code == 78
    assert what in err


def test_a_recipe_without_a_station_is_calibrated_from_a_folder(station, said):
    code, found, _ = said("--recipe", "cell/recipe.yaml", "--runtime", "onnx", "--good", "good", *PROMISED)
    assert (code, found["stored_rejects"]) == (0, None)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("45m", 2700), ("2h", 7200), ("1.5d", 129_600)])
def test_lengths_of_time_as_people_write_them(text, seconds):
    assert duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2x", "-2h", "0h", "two h"])
def test_what_is_no_length_of_time_is_told(text):
    with pytest.raises(Exception, match="is no length of time; write 90s, 45m, 2h or 3d"):
        duration(text)


def test_parts_without_a_frame_are_told_apart_by_their_names():
    parts = [Part(name=str(n), sha256="", good=True, score=1.0) for n in (1, 2, 2)]
    assert [part.name for part in sample_of(parts).parts] == ["1", "2"]


def test_the_page_holds_everything_and_loads_nothing(station, capsys):
    if find_spec("matplotlib") is None:
        assert main(["calibrate", "--good", "good", "--report", "r.html"]) == ConfigError.exit_code
        assert "pip install 'edge-inspect[calibrate]'" in capsys.readouterr().err
        return
    store(station, [5] * 10, calibration_id="old", engine_sha256=engine_of(station))
    assert main(["calibrate", "--good", "good", "--bad", "bad", *PROMISED, "--report", "r.html", "--plots", "plots"]) == 0
    page = (station / "r.html").read_text()
    assert "What changes" in page
    assert page.count("data:image/png") == 3
    assert page.count("data:image/jpeg") >= 12
    assert not re.search(r'(src|href)="?http', page)
    assert sorted(path.name for path in (station / "plots").iterdir()) == ["rates.png", "scores.png", "stored.png"]
    assert (station / "plots" / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert main(["calibrate", "--good", "good", "--report", "good/000.png/r.html"]) == 1
    assert "cannot be written" in capsys.readouterr().err
