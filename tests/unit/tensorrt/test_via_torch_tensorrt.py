"""`build --via torch-tensorrt` with a torch_tensorrt that is played: a plan that the worker runs, and what is refused."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from fake_tensorrt.torch_tensorrt import Dynamo

from edge_inspect.acceptance import accept
from edge_inspect.cli.main import main
from edge_inspect.config import Recipe, load_recipe
from edge_inspect.errors import ConfigError, EngineError
from edge_inspect.model_folder import open_model_folder
from edge_inspect.runtimes.tensorrt_runtime import open_tensorrt

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from edge_inspect.workshop.export import export  # noqa: E402
from edge_inspect.workshop.models.catalogue import CATALOGUE, configure  # noqa: E402
from edge_inspect.workshop.plan_via_torch import TorchSystem, build_plan_via_torch  # noqa: E402
from edge_inspect.workshop.training import train  # noqa: E402

TOY = Path(__file__).parents[1] / "workshop" / "toy_system.py"


def plates(channels: int = 3) -> list[tuple[str, np.ndarray]]:
    random = np.random.default_rng(0)
    pictures = random.normal(100, 4, (20, 40, 48, channels))
    pictures[:, 10:20, 6:-6] += 60
    return [(f"{place:02}.png", np.clip(one, 0, 255).astype(np.uint8)) for place, one in enumerate(pictures)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """Two trainings of a toy, and a recipe whose engine was exported from the first."""
    spec = spec_from_file_location("toy_system", TOY)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("via_torch")
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(CATALOGUE, "toy", module.ToyEntry())
        for seed in (0, 1):
            config = configure("toy", {"width": 32, "height": 32, "epochs": 20, "patience": 20, "learning_rate": 0.01})
            part = Recipe(part="plate", engine=folder / "engine")
            train(plates(), name="toy", config=config, recipe=part, out=folder / f"trained{seed}", seed=seed)
        recipe = folder / "recipe.yaml"
        recipe.write_text("part: plate\nengine: engine\n", encoding="utf-8")
        export(folder / "trained0", recipe=load_recipe(recipe))
        yield SimpleNamespace(recipe=recipe, trained=folder / "trained0", other=folder / "trained1", model=folder / "engine")


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, fake) -> Dynamo:
    """torch_tensorrt on the fake device; torch itself stays on the CPU."""
    dynamo, module = Dynamo(fake("11.0.0.114"), (8, 6)), ModuleType("torch_tensorrt")
    module.dynamo = dynamo
    monkeypatch.setitem(sys.modules, "torch_tensorrt", module)
    return dynamo


ON_FAKES = TorchSystem(library="fake_tensorrt.tensorrt", cuda="fake_tensorrt.cuda", device="cpu")


@pytest.mark.parametrize("in_process", [True, False], ids=["in process", "worker"])
def test_the_worker_runs_a_plan_of_torch_tensorrt_and_it_is_accepted(in_process, made, played, monkeypatch):
    model = open_model_folder(made.model)
    plan, built = build_plan_via_torch(model, made.trained, where=ON_FAKES)
    assert plan == model.path / "model.fp32.plan"
    assert (built.sidecar.via, built.sidecar.tensorrt, built.sidecar.precision) == ("torch-tensorrt", "11.0.0.114", "fp32")
    modules = {"library": "fake_tensorrt.tensorrt", "cuda": "fake_tensorrt.cuda"}
    with open_tensorrt(model=model, plan=plan, in_process=in_process, **modules) as runtime:
        assert accept(runtime, model, image_threshold=None).complaints == ()


def test_torch_tensorrt_is_told_to_leave_nothing_to_torch(made, played):
    build_plan_via_torch(open_model_folder(made.model), made.trained, where=ON_FAKES, workspace_mb=64)
    told = played.called
    assert (told["require_full_compilation"], told["min_block_size"], told["workspace_size"]) == (True, 1, 64 << 20)
    assert [(tuple(one.shape), one.dtype) for one in told["arg_inputs"]] == [((1, 32, 32, 3), torch.uint8)]
    assert told["timing_cache_path"].endswith("model.fp32.timing")


def test_another_training_is_not_built_into_this_engines_plan(made, played):
    with pytest.raises(EngineError, match=r"trained1: is not what .*engine was exported from: .*; name that folder, or export again"):
        build_plan_via_torch(open_model_folder(made.model), made.other, where=ON_FAKES)
    assert played.called == {}


def test_a_training_of_another_system_is_refused(made, played):
    tiny = open_model_folder(Path(__file__).parents[2] / "golden" / "models" / "tiny")
    with pytest.raises(EngineError, match=r"trained0: holds toy for 32 x 32 x 3, .*tiny is .* for 64 x 48 x 3; name the folder"):
        build_plan_via_torch(tiny, made.trained, where=ON_FAKES)


def test_a_conversion_that_fails_is_one_sentence_with_what_else_serves(made, played):
    played.failing = RuntimeError("While interpreting the module got an error:\nConversion of function grid_sampler_2d")
    with pytest.raises(
        EngineError, match=r"cannot convert toy: RuntimeError: While .* got an error: Conversion of .*\(--via onnx\)"
    ) as said:
        build_plan_via_torch(open_model_folder(made.model), made.trained, where=ON_FAKES)
    assert "\n" not in str(said.value)


def test_a_machine_without_torch_tensorrt_or_driver_is_told_what_to_do(made, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    with pytest.raises(ConfigError, match=r"torch_tensorrt cannot be imported: .*edge-inspect\[torch-tensorrt\]"):
        build_plan_via_torch(open_model_folder(made.model), made.trained, where=ON_FAKES)
    (tmp_path / "no_driver.py").write_text("raise AssertionError('Torch not compiled with CUDA enabled')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ConfigError, match=r"no_driver cannot be imported: AssertionError: Torch not compiled with CUDA enabled; .*--via onnx"
    ):
        build_plan_via_torch(open_model_folder(made.model), made.trained, where=TorchSystem(module="no_driver"))


def test_a_tensorrt_without_uint8_is_refused(made, played, fake):
    fake("8.2.1")
    with pytest.raises(EngineError, match=r"tensorrt 8\.2\.1\.8 takes no uint8 frames"):
        build_plan_via_torch(open_model_folder(made.model), made.trained, where=ON_FAKES)


def test_the_verb_builds_it_and_says_what_it_built(made, played, monkeypatch, capsys):
    monkeypatch.setattr("edge_inspect.workshop.plan_via_torch.TorchSystem", lambda **_: ON_FAKES)
    build = ["build", "--recipe", str(made.recipe), "--plan", "--via", "torch-tensorrt", "--trained", str(made.trained)]
    assert main([*build, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["plans"]
    assert (told["via"], told["tensor_names"]) == ("torch-tensorrt", {"score_map": "output0", "image_score": "output1"})
    assert main([*build, "--precision", "fp32"]) == 0
    assert "model.fp32.plan" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--trained", "t"], "it says how plans are built; add --plan"),
        (["--plan"], "from which training? Give --trained DIR"),
        (["--plan", "--trained", "t", "--precision", "fp16"], "builds float32 only: leave --precision out"),
        (["--plan", "--trained", "t", "--python", "/usr/bin/python3"], "builds in this interpreter: leave --python out"),
    ],
)
def test_what_the_verb_needs_is_asked_for(options, sentence, made, capsys):
    assert main(["build", "--recipe", str(made.recipe), "--via", "torch-tensorrt", *options]) == 78
    assert sentence in capsys.readouterr().err
