"""What may stand in `station.yaml`."""

import pytest
from pydantic import ValidationError

from edge_inspect.config import DEFAULT_RUNTIME, PluginBlock, load_station
from edge_inspect.errors import ConfigError

SMALL = "name: cell-3\nrecipe: r/recipe.yaml\ncamera: folder\ndeadline_ms: 200\n"


@pytest.fixture
def read(tmp_path):
    def write_and_load(more=""):
        (tmp_path / "station.yaml").write_text(SMALL + more)
        return load_station(tmp_path / "station.yaml")

    return write_and_load


def test_paths_come_back_beside_the_file(read, tmp_path):
    station = read("jobs: {1: a.yaml, 7: /b.yaml}\n")
    assert station.recipe == tmp_path / "r" / "recipe.yaml"
    assert station.data == tmp_path / "data"
    assert {job: str(path) for job, path in station.jobs.items()} == {1: str(tmp_path / "a.yaml"), 7: "/b.yaml"}


def test_a_public_key_is_asked_for_only_where_one_is_named_and_lies_beside_the_file(read, tmp_path):
    assert read().public_key is None
    assert read("public_key: key.pub\n").public_key == tmp_path / "key.pub"


def test_a_relative_file_gives_absolute_paths(read, tmp_path, monkeypatch):
    read()
    monkeypatch.chdir(tmp_path)
    assert load_station((tmp_path / "station.yaml").relative_to(tmp_path)).recipe == tmp_path / "r" / "recipe.yaml"


def test_a_small_file_has_its_defaults(read):
    station = read()
    assert (station.trigger, station.plc, station.outputs, station.jobs) == ("camera", (), (), {})
    assert station.runtime.kind == DEFAULT_RUNTIME


def test_a_bare_word_is_a_kind_everywhere(read):
    station = read("runtime: onnx\nplc: modbus\noutputs: [jsonl, {kind: images, keep: [NG]}]\n")
    assert [station.camera.kind, station.runtime.kind, station.plc[0].kind] == ["folder", "onnx", "modbus"]
    assert [output.kind for output in station.outputs] == ["jsonl", "images"]


def test_options_stand_beside_the_kind_as_they_were_written(read):
    (output,) = read("outputs:\n  - {kind: images, keep: [NG, FAULT], quota_mb: 2.5, background: {queue: 3}}\n").outputs
    assert output.options == {"keep": ["NG", "FAULT"], "quota_mb": 2.5}
    assert output.background.queue == 3


def test_a_plc_trigger_with_a_plc_is_good(read):
    assert read("trigger: plc\nplc: modbus\n").trigger == "plc"


def test_a_plc_may_be_several_wires_and_one_needs_no_list(read, tmp_path):
    several = read("plc:\n  - {kind: modbus, port: 1502}\n  - mqtt\n  - {kind: opcua, may_change_job: true}\n").plc
    assert [(wire.kind, wire.may_change_job) for wire in several] == [("modbus", False), ("mqtt", False), ("opcua", True)]
    assert several[0].place_of("port") == f"{tmp_path}/station.yaml:6: plc.0.port"
    assert read("plc: {kind: modbus, port: 1}\n").plc[0].place_of("port") == f"{tmp_path}/station.yaml:5: plc.port"
    assert read("plc:\n").plc == ()


def test_a_mistake_in_a_single_wire_is_told_where_it_stands(read):
    with pytest.raises(ConfigError, match=r"station.yaml:5: plc.kind: is missing"):
        read("plc: {port: 1}\n")
    with pytest.raises(ConfigError, match=r"station.yaml:6: plc.0.may_change_job: got 'yes, please'"):
        read("plc:\n  - {kind: modbus, may_change_job: 'yes, please'}\n")


def test_an_option_knows_its_line(read, tmp_path):
    station = read("outputs:\n  - jsonl\n  - kind: images\n    quota_mb: 3\n")
    output = station.outputs[1]
    assert output.place_of("quota_mb") == f"{tmp_path}/station.yaml:8: outputs.1.quota_mb"
    assert output.place_of("path") == f"{tmp_path}/station.yaml:7: outputs.1.path"
    assert station.camera.place_of("path") == f"{tmp_path}/station.yaml:3: camera.path"


def test_a_block_of_no_file_has_no_line():
    assert PluginBlock(kind="folder", path="a").place_of("path") == ""


def test_a_station_does_not_change_after_reading(read):
    station = read()
    with pytest.raises(ValidationError, match="frozen"):
        station.deadline_ms = 5
    with pytest.raises(ValidationError, match="frozen"):
        station.camera.kind = "other"
