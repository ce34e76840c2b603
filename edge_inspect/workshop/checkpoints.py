"""`checkpoint.pt`: all that a training needs to go on after a kill as if it had never stopped.

It is replaced in one step, so that a kill leaves the old one or the new one. It names what it was begun with: training is
resumed only with the same.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edge_inspect.durable import replace_file
from edge_inspect.errors import ConfigError

CHECKPOINT_FILE = "checkpoint.pt"

State = dict[str, Tensor]


@dataclass(slots=True, kw_only=True)
class Standing:
    """Where a training stands between two epochs.

    Attributes:
        epoch: the next one, counted from 0.
        history: of every epoch its losses, `stop_loss` where there is one, and seconds.
        best: state dict with the lowest stop loss so far, on the CPU; empty before the first.
        best_epoch: the epoch of `best`, -1 before the first.
        best_loss: its stop loss.
    """

    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: State = field(default_factory=dict)
    best_epoch: int = -1
    best_loss: float = float("inf")


def save_checkpoint(folder: Path, begun_with: Mapping[str, str], standing: Standing, system: Any, optimizers: Mapping[str, Any]) -> None:
    """Write where the training stands, with weights, optimisers and random generators.

    Raises:
        ConfigError: the folder cannot be written.
    """
    content = io.BytesIO()
    torch.save(
        {
            "begun_with": dict(begun_with),
            "standing": {**_fields(standing), "history": json.dumps(standing.history)},
            "state": system.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        },
        content,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / CHECKPOINT_FILE, content.getvalue())
    except OSError as error:
        raise ConfigError(f"{folder}: the checkpoint cannot be written: {error.strerror}; check space and permissions") from error


def load_checkpoint(folder: Path, begun_with: Mapping[str, str], system: Any, optimizers: Mapping[str, Any]) -> Standing:
    """Go on where the checkpoint stands; at the start where there is none.

    Raises:
        ConfigError: the checkpoint was begun with something else, or is damaged.
    """
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return Standing()
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        _refuse_another(path, found["begun_with"], begun_with)
        system.load_state_dict(found["state"])
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(found["optimizers"][name])
        torch.set_rng_state(found["random"])
        if found["random_cuda"]:
            torch.cuda.set_rng_state_all(found["random_cuda"])
        return Standing(**{**found["standing"], "history": json.loads(found["standing"]["history"])})
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        said = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: is not a checkpoint of this version: {said}; start over with --fresh") from error


def remove_checkpoint(folder: Path) -> None:
    """Start over.

    Raises:
        ConfigError: it cannot be removed.
    """
    try:
        (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder / CHECKPOINT_FILE}: cannot be removed: {error.strerror}; check the permissions") from error


def _fields(standing: Standing) -> dict[str, Any]:
    """The fields as they are: `dataclasses.asdict` would copy every weight."""
    return {name: getattr(standing, name) for name in standing.__slots__}


def _refuse_another(path: Path, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for what, value in wanted.items():
        if found.get(what) != value:
            raise ConfigError(
                f"{path}: a training was begun here with {what} {found.get(what)!s:.80}, now it is {value:.80}; "
                "repeat that command to go on, start over with --fresh, or train into another folder"
            )
