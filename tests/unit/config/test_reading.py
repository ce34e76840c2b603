"""Every mistake of a file is told at once, with file, line, key, value and what to write instead."""

import pytest

from edge_inspect.config import load_recipe, load_station
from edge_inspect.errors import ConfigError

STATION = """\
name: cell-3
recipe: recipe.yaml
camera: {kind: folder, path: parts}
deadline_ms: 200
"""
RECIPE = """\
part: cell
engine: engine
"""


@pytest.fixture
def wrong(tmp_path):
    """Write a file, read it, and give the sentences it is refused with, without the folder's name."""

    def refuse(text, load=load_station):
        path = tmp_path / "file.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert caught.value.exit_code == 78
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return refuse


def wrong_recipe(wrong, lines):
    return wrong(RECIPE + lines, load_recipe)


def test_an_unknown_key_is_told_with_the_one_that_was_meant(wrong):
    assert wrong(STATION + "deadlin: 3\n") == ["file.yaml:5: deadlin: unknown key; did you mean deadline_ms?"]


def test_an_unknown_key_that_is_like_none_is_told_with_all_there_are(wrong):
    (sentence,) = wrong_recipe(wrong, "frame:\n  width: 3\n  height: 4\n  colour: red\n")
    assert sentence == "file.yaml:6: frame.colour: unknown key; write one of height, width"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("masks:\n  bordr_px: 3\n", "file.yaml:4: masks.bordr_px: unknown key; did you mean border_px?"),
        (
            "decision:\n  regions:\n    min_area_p: 3\n",
            "file.yaml:5: decision.regions.min_area_p: unknown key; did you mean min_area_px?",
        ),
        ("decision: {regions: {max_cont: 3}}\n", "file.yaml:3: decision.regions.max_cont: unknown key; did you mean max_count?"),
    ],
)
def test_an_unknown_key_of_a_block_is_told_with_its_way(wrong, lines, sentence):
    assert wrong_recipe(wrong, lines) == [sentence]


def test_an_unknown_key_within_a_list_is_told_with_its_number_and_line(wrong):
    (sentence,) = wrong(STATION + "outputs:\n  - jsonl\n  - kind: images\n    background:\n      quee: 3\n")
    assert sentence == "file.yaml:9: outputs.1.background.quee: unknown key; did you mean queue?"


def test_a_point_within_a_list_is_told_with_its_number_and_line(wrong):
    (sentence,) = wrong_recipe(wrong, "masks:\n  ignore:\n    - [[0, 0], [1, 1], [2, 0]]\n    - - [0, 0]\n      - [1, a]\n      - [2, 0]\n")
    assert sentence == "file.yaml:7: masks.ignore.1.1.1: got 'a'; should be a number"


def test_a_point_without_a_second_number_is_told(wrong):
    (sentence,) = wrong_recipe(wrong, "masks: {ignore: [[[0, 0], [1], [2, 0]]]}\n")
    assert sentence == "file.yaml:3: masks.ignore.0.1.1: is missing; add it"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("mm_per_px: 0", "mm_per_px: got 0; should be greater than 0"),
        ("mm_per_px: -0.5", "mm_per_px: got -0.5; should be greater than 0"),
        ("mm_per_px: .inf", "mm_per_px: got inf; should be a finite number"),
        ("mm_per_px: .nan", "mm_per_px: got nan; should be a finite number"),
        ("mm_per_px: '0.5'", "mm_per_px: got '0.5'; should be a number"),
        ("mm_per_px: true", "mm_per_px: got True; should be a number"),
        ("mm_per_px: [1]", "mm_per_px: got [1]; should be a number"),
        ("frame: {width: 10.5, height: 3}", "frame.width: got 10.5; should be a whole number"),
        ("frame: {width: 10, height: 40000}", "frame.height: got 40000; should be less than or equal to 32768"),
        ("frame: 640x480", "frame: got '640x480'; should be keys and values"),
        ("frame: {width: 640}", "frame.height: is missing; add it"),
        ("thresholds: 3", "thresholds: got 3; should be text; put it in quotes"),
        ("decision: {image_score: 1}", "decision.image_score: got 1; should be true or false"),
        ("decision: {image_score: 'yes'}", "decision.image_score: got 'yes'; should be true or false"),
        ("masks: {include: here}", "masks.include: got 'here'; should be a list"),
        (
            "region_of_interest: {left: -1, top: 0, width: 1, height: 1}",
            "region_of_interest.left: got -1; should be greater than or equal to 0",
        ),
        (
            "region_of_interest: {left: 1, top: 0, width: 1, height: 1, rotation_deg: 181}",
            "region_of_interest.rotation_deg: got 181; should be less than or equal to 180",
        ),
    ],
)
def test_a_wrong_value_is_told_with_what_to_write(wrong, line, what):
    assert wrong_recipe(wrong, line + "\n") == [f"file.yaml:3: {what}"]


def test_a_polygon_of_two_points_is_refused(wrong):
    (sentence,) = wrong_recipe(wrong, "masks: {ignore: [[[0, 0], [1, 1]]]}\n")
    assert sentence == "file.yaml:3: masks.ignore.0: got [[0, 0], [1, 1]]; should have at least 3 items, not 2"


def test_a_choice_is_told_with_what_there_is_to_choose(wrong):
    assert wrong(STATION + "trigger: never\n") == ["file.yaml:5: trigger: got 'never'; should be 'camera' or 'plc'"]


def test_a_long_value_is_shortened(wrong):
    (sentence,) = wrong(STATION + f"trigger: {'x' * 300}\n")
    assert "got 'xxxxxxxx" in sentence
    assert len(sentence) < 140


def test_a_missing_key_is_told_at_the_block_that_lacks_it(wrong):
    assert wrong("name: a\nrecipe: b\ncamera: folder\n") == ["file.yaml:1: deadline_ms: is missing; add it"]
    assert wrong(STATION + "plc:\n  port: 3\n") == ["file.yaml:5: plc.kind: is missing; add it"]


def test_a_rule_between_keys_says_what_to_write(wrong):
    assert wrong(STATION + "trigger: plc\n") == [
        "file.yaml:1: (whole file): trigger: plc needs a plc block; give one, or write trigger: camera"
    ]
    assert wrong_recipe(wrong, "decision: {regions: {min_area_mm2: 1}}\n") == [
        "file.yaml:1: (whole file): decision.regions.min_area_mm2 needs mm_per_px: give the scale, or use min_area_px"
    ]
    assert wrong_recipe(wrong, "decision: {image_score: false}\n") == [
        "file.yaml:3: decision: nothing decides: set image_score to true, or give regions"
    ]


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines(wrong):
    text = "nam: cell-3\nrecipe: 3\ncamera: {kind: ''}\noutputs:\n  - jsonl\n  - 7\njobs: {1000: a, x: b, 3: 4}\ntrigger: 5\n"
    assert wrong(text) == [
        "file.yaml:1: name: is missing; add it",
        "file.yaml:1: deadline_ms: is missing; add it",
        "file.yaml:1: nam: unknown key; did you mean name?",
        "file.yaml:2: recipe: got 3; should be text; put it in quotes",
        "file.yaml:3: camera.kind: got ''; should have at least 1 character",
        "file.yaml:6: outputs.1: got 7; should be keys and values",
        "file.yaml:7: jobs.1000: got '1000'; should be less than or equal to 999",
        "file.yaml:7: jobs.x: got 'x'; should be a whole number",
        "file.yaml:7: jobs.3: got 4; should be text; put it in quotes",
        "file.yaml:8: trigger: got 5; should be 'camera' or 'plc'",
    ]


@pytest.mark.parametrize(("text", "key", "line"), [("name: b\n", "name", 5), ("plc:\n  kind: modbus\n  port: 1\n  port: 2\n", "port", 8)])
def test_a_key_given_twice_is_refused(wrong, text, key, line):
    assert wrong(STATION + text) == [f"file.yaml:{line}: {key}: is given twice; keep one"]


def test_a_job_given_twice_is_refused(wrong):
    assert wrong(STATION + "jobs:\n  1: a\n  '1': b\n") == ["file.yaml:7: 1: is given twice; keep one"]


def test_a_mistake_in_a_block_used_twice_is_told(wrong):
    """YAML's anchors are allowed; the line is that of the block."""
    assert wrong(STATION + "outputs:\n  - &log {kind: jsonl, background: {queue: 0}}\n  - *log\n") == [
        "file.yaml:6: outputs.0.background.queue: got 0; should be greater than or equal to 1",
        "file.yaml:6: outputs.1.background.queue: got 0; should be greater than or equal to 1",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "name: [1, 2\n",
        "\tname: a\n",
        "name: a: b\n",
        "name: a\n---\nname: b\n",
        "name: !!python/object/apply:os.system [ls]\n",
        "name: !!timestamp 2026-99-99\n",
        "name: !!timestamp 2026-11-21\n",
        "? [1, 2]\n: 3\n",
        "name: &a [*a]\n",
        b"name: caf\xe9\n",
        b"name: \x00\n",
    ],
)
def test_what_is_not_yaml_is_told_as_one_sentence(wrong, text):
    (sentence,) = wrong(text)
    assert sentence.startswith("file.yaml: not YAML: ")
    assert sentence.endswith("; correct the line named")


def test_the_line_of_what_is_not_yaml_is_named(wrong):
    (sentence,) = wrong("name: a\nrecipe: b\ncamera: [1\n")
    assert "line 4" in sentence


@pytest.mark.parametrize(("text", "got"), [("", "None"), ("# nothing yet\n", "None"), ("- a\n", "['a']"), ("just words\n", "'just words'")])
def test_a_file_without_keys_is_refused(wrong, text, got):
    assert wrong(text) == [f"file.yaml: expected keys and values, got {got}; see Station in docs/configuration.md"]


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.yaml: cannot be read: No such file or directory; check the path and the permissions"):
        load_station(tmp_path / "no.yaml")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_recipe(tmp_path)


def test_what_looks_like_a_date_is_text(tmp_path):
    (tmp_path / "file.yaml").write_text(STATION.replace("cell-3", "2026-11-21"))
    assert load_station(tmp_path / "file.yaml").name == "2026-11-21"


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    (tmp_path / "file.yaml").write_bytes(b"\xef\xbb\xbf" + STATION.replace("cell-3", "Zelle-ä").encode())
    assert load_station(tmp_path / "file.yaml").name == "Zelle-ä"
