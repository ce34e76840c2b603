"""Parts that the model was made from give no threshold: it knows them."""

from __future__ import annotations

import pytest

from edge_inspect.cameras.pictures import hash_pixels, read_picture
from edge_inspect.cli.main import main
from edge_inspect.thresholds.history import read_history
from tests.conftest import with_taught_frames, write_part

from .conftest import write_pictures

PROMISED = ("--false-rejects", "0.1")


@pytest.fixture
def taught(station):
    """The station with an engine that was made from the first thirty of its good pictures."""
    frames = [hash_pixels(read_picture(station / "good" / f"{number:03}.png")) for number in range(30)]
    write_part(station / "cell", model=with_taught_frames(station / "engine", frames))
    return station


def test_they_are_left_out_with_their_count_and_names_and_count_in_nothing(taught, said):
    code, found, _ = said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    assert (code, found["good"]) == (0, 30)
    assert found["taught"] == [f"{number:03}.png" for number in range(30)]
    assert found["left_out"] == [
        "30 good parts that the model was taught on, so that it knows them and a promise from them would be void: "
        "000.png, 001.png, 002.png, 003.png, 004.png and 25 more"
    ]
    assert "of 30 held-out good scores" in found["promise"]
    assert found["false_rejects"]["new"]["parts"] == 30
    entry = read_history(taught / "cell" / "thresholds.json")[-1]
    assert len(entry.change.good_frames) == entry.thresholds.sample.images == 30


def test_where_only_such_parts_are_given_nothing_is_promised(taught, said):
    write_pictures(taught / "known", [2 + number % 11 for number in range(30)])
    code, found, err = said("--good", "known", *PROMISED)
    assert (code, found) == (78, None)
    assert "0 usable good parts" in err
    assert "30 good parts that the model was taught on" in err


def test_a_defective_part_that_was_taught_as_good_is_told(taught, said):
    (taught / "bad" / "wrong.png").write_bytes((taught / "good" / "003.png").read_bytes())
    (taught / "good" / "003.png").unlink()
    _, found, _ = said("--good", "good", "--bad", "bad", *PROMISED)
    assert found["defective"] == 11
    assert "1 defective parts are among those that the model was taught on as good ones: wrong.png" in " ".join(found["told"])


def test_where_the_model_does_not_say_the_promise_claims_nothing_and_a_note_says_so(station, said, capsys):
    _, found, _ = said("--good", "good", *PROMISED)
    assert found["taught"] is None
    assert "held-out" not in found["promise"]
    assert any("cannot be checked that these are others" in told for told in found["told"])
    assert main(["calibrate", "--good", "good", *PROMISED]) == 0
    assert "know         the model folder does not say which pictures the model was taught on" in capsys.readouterr().out
