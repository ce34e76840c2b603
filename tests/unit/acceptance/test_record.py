"""`acceptance.json`: an acceptance holds for one engine, here, against one threshold, and for nothing else."""

import json
from dataclasses import replace

import pytest

from edge_inspect.acceptance import ACCEPTANCE_FILE, AcceptanceRecord, bind, compare, demand_acceptance, with_acceptance, write_acceptance
from edge_inspect.cli.main import main
from edge_inspect.config import PluginBlock, load_recipe
from edge_inspect.errors import ConfigError, EngineError
from edge_inspect.inspector import open_inspector
from edge_inspect.model_folder import open_model_folder
from edge_inspect.runtimes.onnx_runtime import open_onnx
from edge_inspect.thresholds import load_thresholds, save_thresholds

ONNX = PluginBlock(kind="onnx")


@pytest.fixture
def bound(recipe_file):
    """The tiny engine's binding here, and what the gate finds."""
    recipe = load_recipe(recipe_file)
    model = open_model_folder(recipe.engine)
    thresholds = load_thresholds(recipe.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=recipe.sha256)
    with open_onnx(model=model) as runtime:
        binding = bind(model, runtime, kind="onnx", device={"machine": "x86_64", "processor": "one"}, thresholds=thresholds)
        return binding, compare(runtime, model, image_threshold=thresholds.image_threshold)


def test_what_was_accepted_here_holds(bound, tmp_path):
    binding, acceptance = bound
    written = write_acceptance(tmp_path / "deep" / ACCEPTANCE_FILE, binding, acceptance)
    assert demand_acceptance(tmp_path / "deep" / ACCEPTANCE_FILE, binding).model_dump_json() == written.model_dump_json()
    assert written.accepted
    assert written.result["frames"] == 7
    assert set(binding.made_of) == {"onnxruntime"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("engine_sha256", "0" * 64),
        ("file_sha256", "0" * 64),
        ("made_of", {"onnxruntime": "0.1"}),
        ("made_of", {"tensorrt": "10.3.0", "plan_sha256": "0" * 64, "gpu": "Orin (8.7)"}),
        ("device", {"machine": "aarch64", "processor": "two"}),
        ("calibration_id", "another"),
    ],
)
def test_it_does_not_hold_for_anything_else(bound, tmp_path, field, value):
    binding, acceptance = bound
    write_acceptance(tmp_path / ACCEPTANCE_FILE, binding, acceptance)
    with pytest.raises(EngineError, match=rf"accepted for something else: {field} was .*, here is .*build --accept"):
        demand_acceptance(tmp_path / ACCEPTANCE_FILE, binding.model_copy(update={field: value}))


def test_an_acceptance_for_new_thresholds_leaves_that_for_those_in_force_and_no_other(bound, tmp_path):
    binding, acceptance = bound
    path = tmp_path / ACCEPTANCE_FILE
    before, now, new = (binding.model_copy(update={"calibration_id": name}) for name in ("before", "now", "new"))
    for old, one in (("", before), ("before", now), ("now", new)):
        path.write_bytes(with_acceptance(path, one, acceptance, in_force=old))
    assert demand_acceptance(path, now).binding == now
    assert demand_acceptance(path, new).binding == new
    with pytest.raises(EngineError, match="calibration_id was new, here is before"):
        demand_acceptance(path, before)
    write_acceptance(path, new, replace(acceptance, complaints=("it wavers",)))
    for one in (now, new):
        with pytest.raises(EngineError):
            demand_acceptance(path, one)


def test_another_runtime_or_precision_was_never_accepted(bound, tmp_path):
    binding, acceptance = bound
    write_acceptance(tmp_path / ACCEPTANCE_FILE, binding, acceptance)
    for other in ({"runtime": "openvino"}, {"precision": "int8"}):
        with pytest.raises(EngineError, match=r"no acceptance of (fp32|int8) in runtime (onnx|openvino) stands there"):
            demand_acceptance(tmp_path / ACCEPTANCE_FILE, binding.model_copy(update=other))


def test_each_runtime_and_precision_keeps_its_newest(bound, tmp_path):
    binding, acceptance = bound
    other = binding.model_copy(update={"runtime": "openvino"})
    for one in (binding, other, binding):
        write_acceptance(tmp_path / ACCEPTANCE_FILE, one, acceptance)
    records = json.loads((tmp_path / ACCEPTANCE_FILE).read_text())["records"]
    assert [record["binding"]["runtime"] for record in records] == ["openvino", "onnx"]


def test_a_refusal_is_written_down_and_holds_for_nobody(bound, recipe_file, tmp_path):
    binding, _ = bound
    model = open_model_folder(load_recipe(recipe_file).engine)
    with open_onnx(model=model) as runtime:
        refused = compare(runtime, model, image_threshold=None, tolerance=-1.0)
    assert not write_acceptance(tmp_path / ACCEPTANCE_FILE, binding, refused).accepted
    with pytest.raises(EngineError, match=r"the engine was refused: golden frame .*; build it again"):
        demand_acceptance(tmp_path / ACCEPTANCE_FILE, binding)


def test_an_infinite_difference_can_be_written_and_read(bound, tmp_path):
    binding, acceptance = bound
    write_acceptance(tmp_path / ACCEPTANCE_FILE, binding, replace(acceptance, worst_absolute=float("inf"), complaints=("nan",)))
    text = (tmp_path / ACCEPTANCE_FILE).read_text()
    assert json.loads(text)["records"][0]["result"]["worst_absolute"] == "infinite"


@pytest.mark.parametrize("text", ["", "{}x", '{"format": 1, "records": [{"accepted": true}]}'])
def test_a_damaged_file_is_refused_with_what_to_do(bound, tmp_path, text):
    (tmp_path / ACCEPTANCE_FILE).write_text(text)
    with pytest.raises(ConfigError, match=r"acceptance\.json: not acceptances of this version.*remove it and accept it here"):
        demand_acceptance(tmp_path / ACCEPTANCE_FILE, bound[0])


# a station that asks for it


def test_without_an_acceptance_an_engine_does_not_serve_where_one_is_required(recipe_file):
    with (
        pytest.raises(EngineError, match=r"cell/acceptance\.json: no acceptance of fp32 in runtime onnx stands there; accept it here"),
        open_inspector(recipe_file, ONNX, base=recipe_file.parent, accepted_before=True),
    ):
        pass


def test_the_verb_accepts_and_the_station_serves_until_the_threshold_changes(recipe_file, capsys):
    assert main(["build", "--recipe", str(recipe_file), "--accept", "--runtime", "onnx"]) == 0
    said = capsys.readouterr().out
    assert "accepted in onnx on" in said
    assert "0 verdicts flipped" in said
    assert "20 times gave the same bits" in said
    with open_inspector(recipe_file, ONNX, base=recipe_file.parent, accepted_before=True) as inspector:
        thresholds = inspector.thresholds
        assert inspector.acceptance.complaints == ()
    save_thresholds(load_recipe(recipe_file).thresholds, thresholds.model_copy(update={"image_threshold": 30.0}))
    with (
        pytest.raises(EngineError, match="accepted for something else: calibration_id was"),
        open_inspector(recipe_file, ONNX, base=recipe_file.parent, accepted_before=True),
    ):
        pass


def test_the_verb_says_no_with_exit_code_1_and_writes_that_down(recipe_file, capsys, monkeypatch):
    monkeypatch.setattr("edge_inspect.acceptance.gate.TOLERANCE", -1.0)
    assert main(["build", "--recipe", str(recipe_file), "--accept", "--runtime", "onnx", "--json"]) == 1
    (record,) = json.loads(capsys.readouterr().out)["accepted"]
    assert AcceptanceRecord.model_validate(record).accepted is False
    assert record["result"]["complaints"]
    assert not json.loads((recipe_file.parent / ACCEPTANCE_FILE).read_text())["records"][0]["accepted"]


def test_a_runtime_without_accept_is_a_usage_nobody_means(recipe_file, capsys):
    assert main(["build", "--recipe", str(recipe_file), "--runtime", "onnx", "--precision", "int8"]) == 78
    assert "only --accept opens a runtime" in capsys.readouterr().err
