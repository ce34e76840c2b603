"""`edge-inspect challenge`: golden parts at shift start."""

import json

import pytest

from tests.conftest import write_part
from tests.unit.field.msa.conftest import write_picture


@pytest.fixture
def golden(station):
    """Two golden good parts and one defective, beside the recipe."""
    write_picture(station / "cell" / "challenge" / "good" / "1.png", 2, 1)
    write_picture(station / "cell" / "challenge" / "good" / "2.png", 4, 2)
    write_picture(station / "cell" / "challenge" / "bad" / "dent" / "1.png", 40, 3)
    return station


def test_golden_parts_with_their_verdicts_pass_and_the_record_says_what_decided(golden, told):
    code, out, _ = told("challenge")
    assert code == 0
    assert "right        bad/dent/1.png: expected NG, said NG score 40.000" in out
    assert "challenge    passed: 3 of 3 golden parts" in out
    [written] = json.loads((golden / "data" / "challenge.json").read_text())["challenges"]
    thresholds = json.loads((golden / "cell" / "thresholds.json").read_text())
    bound = written["bound"]
    assert (written["passed"], written["part"], written["how"]) == (True, "cell", "stored pictures")
    assert (bound["engine"]["engine_sha256"], bound["recipe_sha256"]) == (thresholds["engine_sha256"], thresholds["recipe_sha256"])
    assert bound["engine"]["calibration_id"]
    assert [one["verdict"] for one in written["parts"]] == ["OK", "OK", "NG"]


def test_a_threshold_that_lets_the_golden_defect_pass_fails_the_challenge(golden, told):
    write_part(golden / "cell", image_threshold=50.0, pixel_threshold=50.0)
    code, found, _ = told("challenge", "--json")
    assert (code, found["passed"]) == (1, False)
    assert [(one["name"], one["verdict"]) for one in found["parts"] if not one["right"]] == [("bad/dent/1.png", "OK")]
    assert [one["passed"] for one in json.loads((golden / "data" / "challenge.json").read_text())["challenges"]] == [False]


@pytest.mark.parametrize("kind", ["good", "bad"])
def test_a_fault_is_the_wrong_verdict_even_for_a_defective_part(golden, told, kind):
    (golden / "cell" / "challenge" / kind / "torn.png").write_bytes(b"")
    code, out, _ = told("challenge")
    assert code == 1
    assert f"WRONG        {kind}/torn.png: expected {'OK' if kind == 'good' else 'NG'}, said FAULT: " in out
    assert "is empty" in out
    assert "FAILED: 3 of 4" in out


def test_without_a_station_the_record_lies_beside_the_recipe(golden, told):
    code, _, _ = told("challenge", "--recipe", "cell/recipe.yaml", "--runtime", "onnx", "--folder", "cell/challenge")
    assert code == 0
    assert json.loads((golden / "cell" / "challenge.json").read_text())["challenges"][0]["passed"]


def test_a_challenge_without_defective_parts_proves_nothing_and_is_refused(golden, told):
    (golden / "cell" / "challenge" / "bad" / "dent" / "1.png").unlink()
    code, _, err = told("challenge")
    assert code == 1
    assert "has no picture" in err
    assert not (golden / "data" / "challenge.json").exists()


def test_a_record_that_cannot_be_written_is_no_pass(golden, told):
    (golden / "data").write_text("")
    code, _, err = told("challenge")
    assert code == 1
    assert "challenge.json: cannot be written" in err
