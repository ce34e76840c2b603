"""`edge-inspect msa` from a table and from pictures."""

import json
from datetime import datetime, timezone

import pytest

from edge_inspect.datatypes import Inspection, Latency, Verdict
from edge_inspect.outputs.database import open_database
from tests.unit.field.msa.conftest import write_picture

HEADER = "part,reference,trial,verdict\n"
GOOD_STUDY = HEADER + "a,good,1,OK\na,good,2,ok\nb,NG,1,NG\nb,bad,2,NG\n"


@pytest.fixture
def pictures(station):
    """Three good parts and two defective ones, two pictures each; one picture of a good part shows a defect."""
    for part in range(3):
        for trial in range(2):
            write_picture(station / "good" / f"{part}_{trial}.png", 30 if (part, trial) == (2, 1) else 2, part * 2 + trial)
    for part in range(7, 9):
        for trial in range(2):
            write_picture(station / "bad" / "dent" / f"{part}_{trial}.png", 40, part * 2 + trial)
    return station


def test_a_table_without_a_mistake_is_accepted(station, told):
    (station / "study.csv").write_text(GOOD_STUDY)
    code, out, _ = told("msa", "study.csv")
    assert code == 0
    assert "verdicts of study.csv\n1 good parts, 1 defective, 4 showings, 0 of them FAULT" in out
    assert "accepted, sample too small to be sure" in out
    assert out.endswith("study        accepted by the customary limits\n")


@pytest.mark.parametrize("text", [GOOD_STUDY, "\ufeff" + GOOD_STUDY.replace(",", ";"), GOOD_STUDY.replace(",", ", ")])
def test_tables_of_spreadsheets_are_read(station, told, text):
    (station / "study.csv").write_text(text, encoding="utf-8")
    code, found, _ = told("msa", "study.csv", "--json")
    assert (code, found["standing"]) == (0, "accepted")
    assert found["counts"] == {"caught": 2, "missed": 0, "passed": 2, "rejected": 0, "faults": 0}


def test_a_json_table_with_misses_and_a_fault_is_not_accepted(station, told):
    rows = [{"part": 1, "reference": "good", "trial": 1, "verdict": "FAULT"}, {"part": 2, "reference": "bad", "trial": 1, "verdict": "OK"}]
    (station / "study.json").write_text(json.dumps(rows))
    code, found, _ = told("msa", "study.json", "--json")
    assert (code, found["standing"], found["counts"]["faults"]) == (1, "not accepted", 1)
    assert found["figures"]["false_alarm_rate"]["value"] is None
    assert found["wrong"] == {"1": ["FAULT"], "2": ["OK"]}
    _, out, _ = told("msa", "study.json")
    assert "not shown" in out
    assert "wrong        2: known as defective, said OK" in out


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.csv", HEADER + "a,good,1,\n", "row 1: has no verdict"),
        ("a.csv", "part,verdict\na,OK\n", "row 1: has no reference, trial"),
        ("a.csv", HEADER + "a,perhaps,1,OK\n", "write good or bad"),
        ("a.csv", HEADER + "a,good,1,OKAY\n", "write OK, NG or FAULT"),
        ("a.json", "{", "is no JSON"),
        ("a.json", "{}", "wanted a list of objects"),
        ("a.csv", "\udcff", "cannot be read as text"),
    ],
)
def test_a_wrong_table_is_refused_with_its_row(station, told, name, text, wanted):
    (station / name).write_bytes(text.encode(errors="surrogateescape"))
    code, _, err = told("msa", name)
    assert code == 78
    assert wanted in err


@pytest.mark.parametrize("words", [[], ["none.csv", "--good", "good"], ["--good", "good"], ["--bad", "bad"]])
def test_msa_wants_one_source_of_verdicts(station, told, words):
    code, _, err = told("msa", *words)
    assert code == 78
    assert "from which verdicts?" in err


def test_pictures_are_shown_to_the_engine_and_named_parts_repeat(pictures, told):
    code, found, _ = told("msa", "--good", "good", "--bad", "bad", "--part-of", r"(\d+)_", "--report", "out/msa.html", "--json")
    assert code == 1
    assert found["figures"]["effectiveness"]["value"] == pytest.approx(4 / 5)
    assert found["figures"]["repeatability"]["value"] == pytest.approx(4 / 5)
    assert found["figures"]["false_alarm_rate"]["value"] == pytest.approx(1 / 6)
    assert found["wrong"] == {"2": ["OK", "NG"]}
    assert "pictures of cell, decided by engine" in found["source"]
    page = (pictures / "out" / "msa.html").read_text()
    assert "By the customary limits: not accepted." in page
    assert "OK NG" in page
    assert "http" not in page
    assert "<script" not in page


def test_without_a_pattern_every_picture_is_a_part_and_a_twin_is_left_out(pictures, told):
    twin = pictures / "good" / "9_9.png"
    twin.write_bytes((pictures / "good" / "0_0.png").read_bytes())
    (pictures / "bad" / "torn.png").write_bytes(b"")
    words = ("msa", "--recipe", "cell/recipe.yaml", "--runtime", "onnx", "--good", "good", "--bad", "bad", "--report", "msa.html")
    _, found, _ = told(*words, "--json")
    assert found["counts"] == {"caught": 4, "missed": 0, "passed": 5, "rejected": 1, "faults": 1}
    assert found["wrong"]["bad/torn.png"] == ["FAULT"]
    assert found["told"][0].startswith("9_9.png: left out, it is the same frame as 0_0.png")
    assert "is empty" in (pictures / "msa.html").read_text()
    _, out, _ = told(*words)
    assert "know         every part was shown once" in out


def test_a_pattern_that_finds_no_part_is_refused(pictures, told):
    code, _, err = told("msa", "--good", "good", "--bad", "bad", "--part-of", r"part(\d+)")
    assert code == 78
    assert "does not find a part's name" in err


def test_a_page_that_cannot_be_written_says_so(station, told):
    (station / "study.csv").write_text(GOOD_STUDY)
    (station / "file").write_text("")
    code, _, err = told("msa", "study.csv", "--report", "file/msa.html")
    assert code == 1
    assert "cannot be written" in err


def test_a_station_that_requires_acceptance_refuses_an_engine_that_has_none(pictures, told):
    text = (pictures / "station.yaml").read_text()
    (pictures / "station.yaml").write_text(text + "acceptance: required\n")
    code, _, err = told("msa", "--good", "good", "--bad", "bad")
    assert code == 1
    assert "acceptance.json" in err


@pytest.fixture
def recorded(station):
    """A station that has inspected three parts three times each and another one: 30 good, 31 good but once rejected, 40 defective."""
    (station / "station.yaml").write_text(
        (station / "station.yaml").read_text() + "outputs: [{kind: database, path: data/inspections.sqlite}]\n"
    )
    shown = [
        ("30-1", 2),
        ("31-1", 3),
        ("40-1", 90),
        ("x", 1),
        ("30-2", 2),
        ("31-2", 21),
        ("40-2", 91),
        ("30-3", 2),
        ("31-3", 3),
        ("40-3", 92),
    ]
    with open_database(station="cell-3", path=station / "data" / "inspections.sqlite") as database:
        for sequence, (part_id, score) in enumerate(shown, start=1):
            database.emit(
                Inspection(
                    sequence=sequence,
                    acquisition=0,
                    part_id=part_id,
                    taken_at=datetime.now(timezone.utc),
                    verdict=Verdict.NG if score > 20 else Verdict.OK,
                    reason="said by a test",
                    score=float(score),
                    threshold=20.0,
                    regions=(),
                    recipe="cell",
                    engine_sha256="",
                    calibration_id="one" if sequence < 9 else "other",
                    latency=Latency(),
                )
            )
    return station


def test_the_stations_own_records_are_a_study_where_a_list_says_which_part_each_is(recorded, told):
    (recorded / "parts.csv").write_text("part;reference\n30;good\n31;good\n40;bad\n")
    code, found, _ = told("msa", "--since", "1h", "--parts", "parts.csv", "--part-of", r"(\d+)-", "--json")
    assert code == 1
    assert found["counts"] == {"caught": 3, "missed": 0, "passed": 5, "rejected": 1, "faults": 0}
    assert found["wrong"] == {"31": ["OK", "NG", "OK"]}
    assert found["source"].startswith("records of station cell-3 of cell since")
    know = " ".join(found["told"])
    assert "1 inspections belong to no part of the list" in know
    assert "the thresholds changed meanwhile (one, other)" in know


def test_showings_can_be_named_by_their_number(recorded, told):
    rows = [
        {"inspection": number, "part": part, "reference": ref}
        for number, part, ref in [(1, "a", "good"), (5, "a", "good"), (3, "b", "bad"), (7, "b", "bad")]
    ]
    (recorded / "parts.json").write_text(json.dumps(rows))
    code, found, _ = told("msa", "--since", "1h", "--parts", "parts.json", "--report", "msa.html", "--json")
    assert code == 0
    assert found["counts"] == {"caught": 2, "missed": 0, "passed": 2, "rejected": 0, "faults": 0}
    assert "6 inspections belong to no part" in " ".join(found["told"])
    assert "records of station cell-3" in (recorded / "msa.html").read_text()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("part,reference\n99,good\n98,bad\n", "none of 10 inspections is of a part in this list"),
        ("part,reference\n30,good\n30,bad\n", "row 2: part 30 is called good in one row and bad in another"),
        ("part,reference\n30,fine\n", "write good or bad"),
        ("part\n30\n", "has no reference"),
        ("inspection,part,reference\n11,30,good\n", "row 1: inspection 11 is not among those since then"),
        ("inspection,part,reference\nten,30,good\n", "row 1: inspection ten is not among"),
        ("inspection,part,reference\n1,30,good\n1,31,good\n", "row 2: inspection 1 stands there twice"),
        ("inspection,part,reference\n1,30,good\n,31,good\n", "row 2: has no inspection"),
    ],
)
def test_a_list_that_is_wrong_is_told_with_its_row(recorded, told, content, says):
    (recorded / "parts.csv").write_text(content)
    code, _, err = told("msa", "--since", "1h", "--parts", "parts.csv")
    assert code == 78
    assert says in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--since", "1h"], "go together"),
        (["--parts", "parts.csv"], "go together"),
        (["--since", "1h", "--parts", "parts.csv", "--good", "good"], "leave TABLE, --good and --bad out"),
        (["--since", "1h", "--parts", "parts.csv", "--recipe", "cell/recipe.yaml"], "a recipe has no records"),
    ],
)
def test_words_that_do_not_go_with_the_records_are_refused(recorded, told, words, says):
    code, _, err = told("msa", *words)
    assert code == 78
    assert says in err
