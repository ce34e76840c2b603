"""No file of torchvision is here: the names and shapes its published state dicts have are written out by rule."""

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from edge_inspect.errors import ConfigError
from edge_inspect.workshop.models import backbones_classic
from edge_inspect.workshop.models.backbones_classic import ClassicEncoder, ResNet50, Vgg16, load_weights

pytestmark = pytest.mark.torch

VGG16_PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG16_WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def vgg16_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for place, (channels, width) in zip(VGG16_PLACES, itertools.pairwise(VGG16_WIDTHS), strict=True):
        shapes |= {f"features.{place}.weight": (width, channels, 3, 3), f"features.{place}.bias": (width,)}
    return shapes


def resnet50_shapes() -> dict[str, tuple[int, ...]]:
    shapes = layer_shapes("conv1", "bn1", (64, 3, 7, 7))
    channels = 64
    for layer, (blocks, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], start=1):
        for block in range(blocks):
            place = f"layer{layer}.{block}"
            shapes |= layer_shapes(f"{place}.conv1", f"{place}.bn1", (width, channels, 1, 1))
            shapes |= layer_shapes(f"{place}.conv2", f"{place}.bn2", (width, width, 3, 3))
            shapes |= layer_shapes(f"{place}.conv3", f"{place}.bn3", (4 * width, width, 1, 1))
            if block == 0:
                shapes |= layer_shapes(f"{place}.downsample.0", f"{place}.downsample.1", (4 * width, channels, 1, 1))
            channels = 4 * width
    return shapes


def layer_shapes(convolution: str, norm: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    norms = {f"{norm}.{name}": () if name == "num_batches_tracked" else (shape[0],) for name in NORM}
    return {f"{convolution}.weight": shape, **norms}


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


class Small(nn.Module):
    """A network whose published state dict has a dense layer that it leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 2, 1))


def published() -> dict[str, torch.Tensor]:
    return {
        "features.0.weight": torch.full((2, 3, 1, 1), 7.0),
        "features.0.bias": torch.ones(2),
        "classifier.0.weight": torch.zeros(5, 2),
        "fc.bias": torch.zeros(5),
    }


def written(folder: Path, content: object) -> tuple[Path, str]:
    file = folder / "weights.pth"
    torch.save(content, file)
    return file, hashlib.sha256(file.read_bytes()).hexdigest()


def test_vgg16s_parameters_have_the_published_names_and_shapes() -> None:
    assert shapes_of(Vgg16()) == vgg16_shapes()
    assert sum(parameter.numel() for parameter in Vgg16().parameters()) == 14_714_688


def test_resnet50s_parameters_have_the_published_names_and_shapes() -> None:
    network = ResNet50()
    assert shapes_of(network) == resnet50_shapes()
    assert len(network.state_dict()) == 320 - len(("fc.weight", "fc.bias"))
    assert sum(parameter.numel() for parameter in network.parameters()) == 25_557_032 - 2048 * 1000 - 1000


def test_resnet50_strides_in_the_three_by_three_convolution() -> None:
    blocks = {name: layer.stride for name, layer in ResNet50().named_modules() if isinstance(layer, nn.Conv2d)}
    strided = {name for name, stride in blocks.items() if stride == (2, 2)}
    inner = {f"layer{layer}.0.{name}" for layer in (2, 3, 4) for name in ("conv2", "downsample.0")}
    assert strided == {"conv1", *inner}


@pytest.mark.parametrize(("name", "channels"), [("vgg16", 512), ("resnet50", 2048)])
def test_a_cell_of_the_features_is_thirty_two_pixels(name: backbones_classic.ClassicName, channels: int) -> None:
    encoder = ClassicEncoder(name).eval()
    with torch.no_grad():
        features = encoder(torch.rand(1, 3, 64, 96))
    assert features.shape == (1, channels, 2, 3)
    assert encoder.channels == channels
    assert torch.isfinite(features).all()


def test_a_grey_image_is_taken_as_three_equal_planes() -> None:
    encoder = ClassicEncoder("vgg16").eval()
    grey = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(encoder(grey), encoder(grey.expand(1, 3, 32, 32)))


def test_imagenets_mean_colour_reaches_the_network_as_zero() -> None:
    encoder = ClassicEncoder("vgg16")
    encoder.network = nn.Identity()  # type: ignore[assignment]
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    assert torch.equal(encoder(mean), torch.zeros(1, 3, 1, 1))


def test_a_residual_block_adds_its_input() -> None:
    block = ResNet50().eval().layer1[1]
    nn.init.zeros_(block.bn3.weight)
    maps = torch.rand(1, 256, 4, 4)
    with torch.no_grad():
        assert torch.equal(block(maps), maps)


def test_published_weights_are_taken_and_the_left_out_layers_skipped(tmp_path: Path) -> None:
    network = Small()
    load_weights(network, *written(tmp_path, published()))
    assert torch.equal(network.features[0].weight, torch.full((2, 3, 1, 1), 7.0))


def test_a_hash_is_taken_in_capitals_too(tmp_path: Path) -> None:
    file, sha256 = written(tmp_path, published())
    load_weights(Small(), file, sha256.upper())


def test_a_file_with_another_hash_is_refused_before_it_is_interpreted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = written(tmp_path, published())
    monkeypatch.setattr(backbones_classic.torch, "load", lambda *_, **__: pytest.fail("the file was interpreted"))
    with pytest.raises(ConfigError, match="encoder_weights_sha256 says 000000000000"):
        load_weights(Small(), file, "0" * 64)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.pth: encoder_weights cannot be read"):
        load_weights(Small(), tmp_path / "absent.pth", "0" * 64)


class Harmful:
    """What a pickle must not run."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (print, ("run",))


@pytest.mark.parametrize("content", [Harmful(), {"features.0.weight": Harmful()}])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, content: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="not a file of tensors alone"):
        load_weights(Small(), *written(tmp_path, content))
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut off"])
def test_a_file_that_torch_did_not_write_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="not a file of tensors alone"):
        load_weights(Small(), file, hashlib.sha256(content).hexdigest())


def test_a_file_of_one_tensor_is_no_state_dict(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a Tensor, not a state dict"):
        load_weights(Small(), *written(tmp_path, torch.zeros(2)))


@pytest.mark.parametrize("change", [{"features.0.bias": torch.ones(3)}, {"features.1.bias": torch.ones(2)}])
def test_weights_of_another_network_are_refused(tmp_path: Path, change: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ConfigError, match=r"not the weights of Small: .*torchvision's file of this network"):
        load_weights(Small(), *written(tmp_path, published() | change))
