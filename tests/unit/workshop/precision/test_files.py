"""Files of lower precision beside a taught engine, from the verb to the inspector that serves them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_inspect import model_folder
from edge_inspect.acceptance import compare
from edge_inspect.cli.main import main
from edge_inspect.config import PluginBlock, load_recipe
from edge_inspect.errors import ConfigError, EngineError
from edge_inspect.inspector import open_inspector
from edge_inspect.model_folder import add_precisions, open_model_folder
from edge_inspect.runtimes.reference import open_reference
from edge_inspect.thresholds import load_thresholds
from edge_inspect.workshop.precision import files
from edge_inspect.workshop.precision.files import build_precisions
from edge_inspect.workshop.precision.quantised import measure_ranges
from edge_inspect.workshop.teach import Taught

pytestmark = pytest.mark.workshop


@pytest.fixture(scope="module")
def built(taught: tuple[Path, Taught], good_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The taught part with both files, made by the verb, and what the verb said."""
    folder = tmp_path_factory.mktemp("built") / "part"
    shutil.copytree(taught[0].parent, folder)
    said = folder / "said.json"
    with pytest.MonkeyPatch.context() as patch, said.open("w") as file:
        patch.setattr("sys.stdout", file)
        assert main(["build", "--recipe", str(folder / "recipe.yaml"), "--frames", str(good_folder), "--json"]) == 0
    return folder / "recipe.yaml", json.loads(said.read_text())


def fresh(taught: tuple[Path, Taught], folder: Path) -> Path:
    shutil.copytree(taught[0].parent, folder / "part")
    return folder / "part" / "recipe.yaml"


def pictures(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_the_verb_makes_both_files_and_says_what_they_cost(built):
    recipe_file, said = built
    model = open_model_folder(load_recipe(recipe_file).engine)
    assert [one["precision"] for one in said["made"]] == ["fp16", "int8"]
    half, eight = said["made"]
    assert half["worst"] < eight["worst"] <= 0.1
    assert eight["layers"] > 40
    assert len(eight["float32_layers"]) < eight["layers"] / 2
    assert model.manifest.precisions["int8"].model_dump(mode="json").items() <= eight.items()
    assert {"model.fp16.onnx", "model.int8.onnx"} <= set(model.manifest.files)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_a_station_serves_the_file_that_its_runtime_block_asks_for(built, kind, precision):
    if kind == "openvino":
        pytest.importorskip("openvino")
    block = PluginBlock.model_validate({"kind": kind, "precision": precision})
    with open_inspector(built[0], block, base=Path.cwd(), calibration_held=False) as inspector:  # INT8 moves what a dozen pictures had set
        assert inspector.model.precision == precision
        assert inspector.model.model_file.name == {"fp32": "model.onnx"}.get(precision, f"model.{precision}.onnx")


def test_what_the_files_say_of_the_golden_frames_differs_by_precision(built):
    model = open_model_folder(load_recipe(built[0]).engine)
    apart = {}
    for precision in ("fp32", "fp16", "int8"):
        with open_reference(model=model.at(precision)) as runtime:
            apart[precision] = compare(runtime, model.at(precision), image_threshold=None, tolerance=1.0).worst_relative
    assert apart["fp32"] < 1e-5 < apart["fp16"] < 0.02 < 10 * apart["int8"]


def test_clipped_ranges_are_refused(taught, tmp_path, monkeypatch, good_folder):
    """INT8 that saturates: every range a sixteenth of what was measured, and no layer left out for it."""
    monkeypatch.setattr(files, "measure_ranges", lambda *given: {name: value / 16 for name, value in measure_ranges(*given).items()})
    monkeypatch.setattr(files, "STRICTER", (1.0,))
    recipe = load_recipe(fresh(taught, tmp_path))
    with pytest.raises(EngineError, match="int8 does not serve"):
        build_precisions(recipe, pictures(good_folder), ["int8"], allowed=1000.0)


def test_a_file_that_flips_a_verdict_is_not_written(taught, tmp_path, good_folder, monkeypatch):
    recipe = load_recipe(fresh(taught, tmp_path))
    before = {file.name: file.read_bytes() for file in recipe.engine.iterdir()}
    monkeypatch.setattr(files, "half_graph", lambda graph: shifted(graph, recipe))
    with pytest.raises(EngineError, match=r"engine: fp16 does not serve: golden frame \d+ flips its verdict.*or serve fp32"):
        build_precisions(recipe, pictures(good_folder), ["int8", "fp16"])
    assert {file.name: file.read_bytes() for file in recipe.engine.iterdir()} == before


def shifted(graph, recipe):
    """The same graph with all of its scores far below the threshold."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    model = open_model_folder(recipe.engine)
    threshold = load_thresholds(recipe.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=recipe.sha256).image_threshold
    copy.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(-100 * threshold), "much"))
    for node in copy.graph.node:
        node.output[:] = ["high" if name == "score_map" else name for name in node.output]
        node.input[:] = ["high" if name == "score_map" else name for name in node.input]
    copy.graph.node.insert(len(copy.graph.node) - 1, onnx.helper.make_node("Add", ["high", "much"], ["score_map"], name="lower"))
    copy.graph.node[-1].input[:] = ["score_map"]
    return copy


def test_a_precision_that_was_not_made_is_refused_with_what_makes_it(taught, tmp_path):
    recipe_file = fresh(taught, tmp_path)
    block = PluginBlock.model_validate({"kind": "onnx", "precision": "int8"})
    with (
        pytest.raises(EngineError, match=r"engine: has no model\.int8\.onnx; make it .*edge-inspect build --precision int8"),
        open_inspector(recipe_file, block, base=tmp_path),
    ):
        pass


def test_a_file_that_is_not_the_one_that_was_made_is_refused(built, tmp_path):
    folder = tmp_path / "part"
    shutil.copytree(built[0].parent, folder)
    (folder / "engine" / "model.int8.onnx").write_bytes(b"another")
    with pytest.raises(EngineError, match=r"model\.int8\.onnx: is not the file that was made"):
        open_model_folder(folder / "engine")


def test_a_file_made_anew_takes_the_old_one_s_place_and_leaves_the_other(built, tmp_path):
    shutil.copytree(built[0].parent, tmp_path / "part")
    model = open_model_folder(tmp_path / "part" / "engine")
    said = model.manifest.precisions["int8"].model_copy(update={"frames": 99})
    add_precisions(model, {"int8": (b"another graph", said)})
    again = open_model_folder(model.path)
    assert again.manifest.precisions["int8"].frames == 99
    assert again.manifest.precisions["fp16"] == model.manifest.precisions["fp16"]
    assert (model.path / "model.int8.onnx").read_bytes() == b"another graph"


def test_a_cut_while_a_file_is_made_anew_leaves_an_engine_that_serves_float32(built, tmp_path, monkeypatch):
    shutil.copytree(built[0].parent, tmp_path / "part")
    model = open_model_folder(tmp_path / "part" / "engine")
    whole = model_folder.replace_file

    def cut(path, content):
        if path.name == "manifest.json" and b"model.int8.onnx" in content:
            raise KeyboardInterrupt
        whole(path, content)

    monkeypatch.setattr(model_folder, "replace_file", cut)
    with pytest.raises(KeyboardInterrupt):
        add_precisions(model, {"int8": (b"another graph", model.manifest.precisions["int8"])})
    left = open_model_folder(model.path)
    assert left.engine_sha256 == model.engine_sha256
    assert set(left.manifest.precisions) == {"fp16"}


def test_without_a_recipe_or_with_an_impossible_share_the_verb_says_what_to_write(built, capsys):
    assert main(["build"]) == 78
    assert "which part? Give --recipe FILE" in capsys.readouterr().err
    assert main(["build", "--recipe", str(built[0]), "--allowed", "7"]) == 78
    assert "--allowed 7: must lie between 0 and 1" in capsys.readouterr().err


def test_too_few_frames_are_refused_with_their_number(built, good_folder):
    with pytest.raises(ConfigError, match="3 usable good images"):
        build_precisions(load_recipe(built[0]), pictures(good_folder)[:3], ["fp16"])


def test_the_targets_are_listed_without_a_part(capsys):
    assert main(["build", "--target", "list"]) == 0
    assert "Jetson Nano       5.3         fp32 fp16 " in capsys.readouterr().out
    assert main(["build", "--target", "list", "--json"]) == 0
    assert {"name": "A100", "compute_capability": "8.0"}.items() <= next(
        one for one in json.loads(capsys.readouterr().out) if one["name"] == "A100"
    ).items()


def test_the_report_for_people_names_layers_and_what_to_write(taught, tmp_path, good_folder, capsys):
    recipe_file = fresh(taught, tmp_path)
    assert main(["build", "--recipe", str(recipe_file), "--frames", str(good_folder), "--precision", "int8", "--allowed", "1"]) == 0
    said = capsys.readouterr().out
    assert "in int8 (with all of them" in said
    assert 'write "runtime: {kind: openvino, precision: int8}" into station.yaml' in said
    assert "signature" not in said
    engine = load_recipe(recipe_file).engine
    (engine / "manifest.json.sig").write_text("of before")
    assert main(["build", "--recipe", str(recipe_file), "--frames", str(good_folder), "--precision", "fp16"]) == 0
    assert f"sign it again (edge-inspect sign --model {engine})" in capsys.readouterr().out
    (engine / "manifest.json.sig").unlink()  # other tests may open this engine
