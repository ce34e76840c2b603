from typing import Any

import pytest
from torch import nn

from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.models.catalogue import CATALOGUE, Entry, configure, make_system
from edge_inspect.workshop.models.system import System, SystemConfig

pytestmark = pytest.mark.torch

NAMES = sorted(CATALOGUE)
METHODS = ("optimizers", "prepare", "start_epoch", "step", "stop_loss", "settle", "forward")
SIZE = ImageSize(width=64, height=64, channels=1)


def test_every_system_of_the_papers_can_be_trained() -> None:
    assert set(CATALOGUE) == {
        *("dae", "dae_vgg16", "dae_resnet50", "cae", "cae_vgg16", "cae_resnet50"),
        *("gan", "mdaae", "sagan", "mdaae_gan", "mdaae_sagan"),
        *("triplet", "skip_sagan", "skip_gan", "iaead", "iaead_map", "padim"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_names_a_class_that_has_what_the_training_loop_asks_for(name: str) -> None:
    found = CATALOGUE[name].load()
    assert issubclass(found, nn.Module)
    assert issubclass(found.Config, SystemConfig)
    assert all(callable(getattr(found, method)) for method in METHODS)
    assert CATALOGUE[name].source


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_what_the_configuration_then_says(name: str) -> None:
    config, schema = configure(name, {}), CATALOGUE[name].load().Config
    plain = schema()
    assert {key: getattr(config, key) for key in CATALOGUE[name].preset} == dict(CATALOGUE[name].preset)
    assert all(getattr(config, key) == getattr(plain, key) for key in schema.model_fields if key not in CATALOGUE[name].preset)


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_that_was_saved_is_read_again_as_it_was(name: str) -> None:
    config = configure(name, {"epochs": 0, "illumination": "both"})
    assert configure(name, config.model_dump(mode="json")) == config


@pytest.mark.parametrize("name", NAMES)
def test_width_and_height_are_the_image_s_in_every_family(name: str) -> None:
    schema = CATALOGUE[name].load().Config
    for side in ("width", "height"):
        assert schema.model_fields[side].metadata == SystemConfig.model_fields[side].metadata


def test_no_two_systems_of_one_class_are_the_same() -> None:
    configured = [(CATALOGUE[name].load(), configure(name, {}).model_dump_json()) for name in NAMES]
    assert len(set(configured)) == len(NAMES)


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        configure("dae", {}).epochs = 3  # type: ignore[misc]


def test_what_a_person_sets_counts_more_than_the_preset() -> None:
    assert configure("mdaae", {}).adversary is False  # type: ignore[attr-defined]
    assert configure("mdaae", {"adversary": True}).adversary is True  # type: ignore[attr-defined]


def test_all_mistakes_in_a_configuration_are_told_at_once_with_the_keys_there_are() -> None:
    with pytest.raises(ConfigError) as told:
        configure("padim", {"epoch": 3, "width": 8, "backbone": "lite9"})
    said = str(told.value)
    assert said.startswith("configuration of padim: ")
    assert all(f"{key}: " in said for key in ("epoch", "width", "backbone"))
    assert "known keys: backbone, batch, block" in said


def test_padim_has_no_epochs() -> None:
    with pytest.raises(ConfigError, match="epochs: "):
        configure("padim", {"epochs": 1})


@pytest.mark.parametrize("ask", [lambda: configure("resnet", {}), lambda: make_system("resnet", SystemConfig(), SIZE)])
def test_an_unknown_system_is_refused_with_the_names_there_are(ask: Any) -> None:
    with pytest.raises(ConfigError, match=r"no system 'resnet'; known are cae, cae_resnet50, .*triplet$"):
        ask()


def test_a_size_that_the_network_cannot_take_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"40 x 64.*multiples of"):
        make_system("dae", configure("dae", {}), ImageSize(width=40, height=64, channels=1))


def test_a_system_that_was_made_is_one() -> None:
    system = make_system("dae", configure("dae", {}), SIZE)
    assert isinstance(system, System)
    assert system.config == configure("dae", {})


def test_an_entry_is_loaded_only_when_it_is_asked_for() -> None:
    entry = Entry(module="nowhere", name="Nothing", source="nobody")
    with pytest.raises(ModuleNotFoundError, match=r"edge_inspect\.workshop\.models\.nowhere"):
        entry.load()
