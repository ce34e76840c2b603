"""Every system by the name `edge-inspect train --model` takes. A new family is one file and its lines here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import ValidationError

from edge_inspect.config import explained
from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.models.system import System, SystemConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One system.

    Attributes:
        module: in this package, where its class stands.
        name: of the class; its `Config` is its configuration.
        preset: what this entry sets in the configuration.
        source: the paper.
    """

    module: str
    name: str
    preset: Mapping[str, Any] = field(default_factory=dict)
    source: str

    def load(self) -> Any:
        """The class."""
        return getattr(importlib.import_module(f"edge_inspect.workshop.models.{self.module}"), self.name)


KUMAR = "Kumar, Malik, Puglisi 2025"
AN = "An, Wu, Li 2026"
TAYEH = "Tayeh, Aburakhia, Myers, Shami 2020"
SUN = "Sun, Liu, Ma, Na, Zhang 2025"
CHENG = "Cheng, Wang, Zhang, Wang, Liu, Zhu 2021"

CONTRACTIVE: Mapping[str, Any] = {"variant": "contractive", "bottleneck": "dense"}
CONTRACTIVE_RESNET50: Mapping[str, Any] = {**CONTRACTIVE, "encoder": "resnet50", "penalty_weight": 1e-12}
"""Batch norm, layer on layer, makes the Jacobian of ResNet50 with random weights millions of times that of the others."""

REMEMBERING: Mapping[str, Any] = {"by_position": True, "memory": 1000, "highest_share": 0.01}
"""What the flagship has over An's system E: a second head on the same levels (DECISIONS 43), and its image score (83)."""

CATALOGUE: Mapping[str, Entry] = {
    "dae": Entry(module="kumar", name="Kumar", source=KUMAR),
    "dae_vgg16": Entry(module="kumar", name="Kumar", preset={"encoder": "vgg16", "bottleneck": "dense"}, source=KUMAR),
    "dae_resnet50": Entry(module="kumar", name="Kumar", preset={"encoder": "resnet50"}, source=KUMAR),
    "cae": Entry(module="kumar", name="Kumar", preset=CONTRACTIVE, source=KUMAR),
    "cae_vgg16": Entry(module="kumar", name="Kumar", preset={**CONTRACTIVE, "encoder": "vgg16"}, source=KUMAR),
    "cae_resnet50": Entry(module="kumar", name="Kumar", preset=CONTRACTIVE_RESNET50, source=KUMAR),
    "gan": Entry(module="mdaae_sagan", name="MdaaeSagan", preset={"reconstruction": "generator", "attention": False}, source=f"{AN}, A"),
    "mdaae": Entry(module="mdaae_sagan", name="MdaaeSagan", preset={"reconstruction": "mdaae", "adversary": False}, source=f"{AN}, B"),
    "sagan": Entry(module="mdaae_sagan", name="MdaaeSagan", preset={"reconstruction": "generator"}, source=f"{AN}, C"),
    "mdaae_gan": Entry(module="mdaae_sagan", name="MdaaeSagan", preset={"attention": False}, source=f"{AN}, D"),
    "mdaae_sagan": Entry(module="mdaae_sagan", name="MdaaeSagan", preset=REMEMBERING, source=f"{AN}, E"),
    "triplet": Entry(module="triplet", name="Triplet", source=TAYEH),
    "skip_sagan": Entry(module="skip_sagan", name="SkipSagan", source=SUN),
    "skip_gan": Entry(module="skip_sagan", name="SkipSagan", preset={"attention": False}, source=f"{SUN}, without attention"),
    "iaead": Entry(module="iaead", name="Iaead", preset={"score": "global"}, source=CHENG),
    "iaead_map": Entry(module="iaead", name="Iaead", preset={"score": "map"}, source=f"{CHENG}, fully convolutional"),
    "padim": Entry(module="padim", name="Padim", source="Defard, Setkov, Loesch, Audigier 2021"),
}
"""What can be trained. An's ablation A to E is one class; Kumar's six networks are one class."""


def configure(name: str, overrides: Mapping[str, Any]) -> SystemConfig:
    """The configuration of a system: the paper's defaults, then the entry's preset, then the overrides.

    Raises:
        ConfigError: no such system, or an override that its configuration does not take (all of them at once).
    """
    entry = _entry(name)
    schema = entry.load().Config
    try:
        return cast(SystemConfig, schema.model_validate({**entry.preset, **overrides}))
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {explained(fault)}" for fault in error.errors())
        raise ConfigError(f"configuration of {name}: {said}; known keys: {', '.join(sorted(schema.model_fields))}") from error


def make_system(name: str, config: SystemConfig, size: ImageSize) -> System:
    """An untrained system; its weights are drawn from torch's global generator.

    Raises:
        ConfigError: no such system, or an image size that the network cannot take.
    """
    return cast(System, _entry(name).load()(config, size))


def _entry(name: str) -> Entry:
    if name not in CATALOGUE:
        raise ConfigError(f"no system {name!r}; known are {', '.join(sorted(CATALOGUE))}")
    return CATALOGUE[name]
