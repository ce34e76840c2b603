"""`edge-inspect build --plan` with the fakes, and the station's own way to open what it built."""

import json
import shutil
from pathlib import Path

import pytest

from edge_inspect.acceptance import accept
from edge_inspect.cli.main import main
from edge_inspect.errors import EngineError
from edge_inspect.model_folder import open_model_folder
from edge_inspect.runtimes.tensorrt_runtime import open_tensorrt

pytestmark = pytest.mark.workshop
MODELS = Path(__file__).parents[2] / "golden" / "models"
FAKES = ["--library", "fake_tensorrt.tensorrt", "--cuda", "fake_tensorrt.cuda"]


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    shutil.copytree(MODELS / "tiny", tmp_path / "engine")
    file = tmp_path / "recipe.yaml"
    file.write_text("part: tiny\nengine: engine\n", encoding="utf-8")
    return file


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler, c++, to run the kernel's source on the CPU")
@pytest.mark.parametrize("version", ["8.2.1", "8.6.1", "10.3.0", "11.4.0.106"])
def test_a_plan_is_built_beside_the_model_and_serves_when_it_agrees(version, fake, recipe_file, capsys):
    fake(version)
    assert main(["build", "--recipe", str(recipe_file), "--plan", "--precision", "fp32", "--json", *FAKES]) == 0
    (told,) = json.loads(capsys.readouterr().out)["plans"]
    assert (told["precision"], told["float_input"]) == ("fp32", version == "8.2.1")
    assert told["warp"]["compiler"] == "nvcc, Build fake.1"
    assert told["tensorrt"].startswith(version)
    model = open_model_folder(recipe_file.parent / "engine")
    assert Path(told["plan"]) == model.path / "model.fp32.plan"
    with open_tensorrt(model=model, library="fake_tensorrt.tensorrt", cuda="fake_tensorrt.cuda", in_process=True) as runtime:
        assert runtime._buffers.raw is not None
        assert accept(runtime, model, image_threshold=None).complaints == ()


@pytest.mark.skipif(shutil.which("c++") is None, reason="the fake nvcc wants a host compiler, as the real one does")
def test_a_device_without_a_compiler_gets_a_plan_whose_frames_are_warped_on_the_cpu(fake, recipe_file, capsys, monkeypatch):
    fake("10.3.0")
    build = ["build", "--recipe", str(recipe_file), "--plan", "--precision", "fp32", *FAKES]
    assert main(build) == 0
    assert "frames       warped on the GPU, compiled by nvcc, Build fake.1" in capsys.readouterr().out
    monkeypatch.setattr("edge_inspect.workshop.warp_compiler.find_nvcc", lambda: None)
    monkeypatch.setattr("edge_inspect.workshop.warp_compiler.nvrtc_libraries", lambda: iter(()))
    assert main(build) == 0
    assert "frames       warped on the CPU: no CUDA compiler here: put nvcc on the PATH" in capsys.readouterr().out
    model = open_model_folder(recipe_file.parent / "engine")
    assert not (model.path / "model.fp32.plan.warp").exists()
    with open_tensorrt(model=model, library="fake_tensorrt.tensorrt", cuda="fake_tensorrt.cuda", in_process=True) as runtime:
        assert runtime._buffers.raw is None


def test_a_precision_that_has_no_file_yet_is_refused_with_what_makes_it(fake, recipe_file, capsys):
    fake("11.4.0.106")
    assert main(["build", "--recipe", str(recipe_file), "--plan", "--precision", "fp16", *FAKES]) == 1
    assert "has no model.fp16.onnx; make it on recorded good frames" in capsys.readouterr().err


def test_flags_leave_what_is_no_network_in_float32(fake, recipe_file, capsys):
    fake("8.6.1")
    assert main(["build", "--recipe", str(recipe_file), "--plan", "--precision", "fp16", *FAKES]) == 0
    assert "model.fp16.plan" in capsys.readouterr().out


def test_a_machine_without_tensorrt_or_cuda_is_told_so(fake, recipe_file, capsys):
    fake("8.6.1")
    assert main(["build", "--recipe", str(recipe_file), "--plan", "--library", "tensorrt_that_is_not_here"]) == 1
    assert "tensorrt_that_is_not_here" in capsys.readouterr().err
    absent = ["--library", "fake_tensorrt.tensorrt", "--cuda", "cuda_that_is_not_here"]
    assert main(["build", "--recipe", str(recipe_file), "--plan", *absent]) == 1
    assert "cuda_that_is_not_here: cannot be imported" in capsys.readouterr().err


def test_the_float32_file_needs_no_making(recipe_file, capsys):
    assert main(["build", "--recipe", str(recipe_file), "--precision", "fp32"]) == 78
    assert "that file is there already" in capsys.readouterr().err


def test_a_plan_of_another_model_is_not_served(fake, recipe_file):
    fake("8.6.1")
    main(["build", "--recipe", str(recipe_file), "--plan", "--precision", "fp32", *FAKES])
    other = next(path for path in sorted(MODELS.iterdir()) if (path / "manifest.json").is_file() and path.name != "tiny")
    shutil.copy(recipe_file.parent / "engine" / "model.fp32.plan", recipe_file.parent / "other.plan")
    shutil.copy(recipe_file.parent / "engine" / "model.fp32.plan.json", recipe_file.parent / "other.plan.json")
    plan = recipe_file.parent / "other.plan"
    with (
        pytest.raises(EngineError, match=r"other\.plan: was built from graph"),
        open_tensorrt(model=open_model_folder(other), plan=plan, library="fake_tensorrt.tensorrt", cuda="fake_tensorrt.cuda"),
    ):
        pass


def test_a_plan_of_another_precision_than_the_station_asks_for_is_not_served(fake, recipe_file):
    fake("8.6.1")
    main(["build", "--recipe", str(recipe_file), "--plan", "--precision", "fp16", *FAKES])
    model = open_model_folder(recipe_file.parent / "engine")
    with (
        pytest.raises(EngineError, match=r"model\.fp16\.plan: is fp16, the station asks for fp32; write precision: fp16"),
        open_tensorrt(model=model, library="fake_tensorrt.tensorrt", cuda="fake_tensorrt.cuda"),
    ):
        pass
