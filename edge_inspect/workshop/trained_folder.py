"""What a training leaves behind, and all that `export` needs: configuration, weights, held-out frames, history.

config.json    what was trained, on what, with what; names the hashes of the other files; written last
weights.pt     state dict of the settled system, read with weights_only=True
held_out.npz   the held-out frames as the network sees them, with names, hashes and physical parts
training.json  losses of every epoch, and why training stopped
taught_frames.json  hashes of the frames that were learnt from or decided when to stop: they may give no threshold
checkpoint.pt  only while it runs, see `checkpoints.py`
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from edge_inspect.config import Recipe, first_mistake
from edge_inspect.datatypes import Placement
from edge_inspect.durable import sync_folder, write_file
from edge_inspect.errors import ConfigError, EngineError
from edge_inspect.model_folder import ImageSize, Training
from edge_inspect.thresholds.taught_frames import TAUGHT_FILE, packed_frames, unpacked_frames
from edge_inspect.workshop.good_images import GoodImages
from edge_inspect.workshop.models.catalogue import configure, make_system

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.pt"
HELD_OUT_FILE = "held_out.npz"
HISTORY_FILE = "training.json"

State = Mapping[str, Tensor]
Parts = tuple[tuple[int, ...], ...]
"""Indices of the held-out images, by physical part."""


class Record(BaseModel):
    """What stands in `config.json`.

    Attributes:
        system: name in the catalogue.
        config: its whole configuration.
        size: of the network's image.
        seed: of split, weights and training.
        view: what in the recipe decides which pixels the network sees; `export` wants the same.
        training: the images the weights were learnt from.
        stop_images, held_out_images: how many decided when to stop, and how many were kept for threshold and golden frames.
        weights_sha256: over the tensors, not the file.
        files: hashes of the other files.
        software, torch: versions.
        threads, device: the same on all of these give the same weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    system: str
    config: dict[str, Any]
    size: ImageSize
    seed: int
    view: dict[str, Any]
    training: Training
    stop_images: int = Field(ge=0)
    held_out_images: int = Field(ge=1)
    weights_sha256: str
    files: dict[str, str] = {}
    software: str
    torch: str
    threads: int
    device: str
    created_at: AwareDatetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedFolder:
    """A verified trained folder.

    Attributes:
        path: the folder.
        record: its `config.json`.
        good: the held-out images, and no others.
        parts: indices into them by physical part.
        taught: hashes of the frames that weights or stop were taken from; None in a folder of an older version.
    """

    path: Path
    record: Record
    good: GoodImages
    parts: Parts
    taught: tuple[str, ...] | None

    def load_system(self) -> Any:
        """The settled system on the CPU, in eval mode: an `nn.Module` that obeys `models.system.System`.

        Raises:
            ConfigError: this version has no such system or another configuration of it.
            EngineError: the weights do not belong to it.
        """
        system: Any = make_system(self.record.system, configure(self.record.system, self.record.config), self.record.size)
        state = torch.load(self.path / WEIGHTS_FILE, map_location="cpu", weights_only=True)
        try:
            system.load_state_dict(state)
        except RuntimeError as error:
            said = " ".join(str(error).split())[:300]
            raise EngineError(
                f"{self.path / WEIGHTS_FILE}: not weights of this version's {self.record.system}: {said}; train again"
            ) from error
        return system.eval()


def view_of(recipe: Recipe) -> dict[str, Any]:
    """What in a recipe decides which pixels the network sees: region of interest and locator, and whether specks are taken out."""
    seen = recipe.model_dump(mode="json", include={"region_of_interest"})
    seen["locator"] = recipe.locator and recipe.locator.moves_scores
    return {**seen, "despeckle": True} if recipe.despeckle else seen


def hash_of(state: State) -> str:
    """SHA-256 over names, types, shapes and values of a state dict's tensors."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def write_trained_folder(
    path: Path,
    *,
    record: Record,
    state: State,
    good: GoodImages,
    parts: Sequence[Sequence[int]],
    history: Mapping[str, Any],
    taught: Sequence[str],
) -> TrainedFolder:
    """Write everything; `config.json` comes last, so that a cut leaves no folder that looks finished.

    Args:
        path: the folder.
        record: without the hashes of the files.
        state: of the settled system.
        good: all images.
        parts: the held-out ones of them, by physical part.
        history: what goes into `training.json`.
        taught: hashes of the frames that weights or stop were taken from.

    Raises:
        ConfigError: the folder cannot be written.
    """
    weights = io.BytesIO()
    torch.save({name: value.detach().cpu() for name, value in state.items()}, weights)
    kept, kept_parts = _only(good, parts)
    contents = {
        WEIGHTS_FILE: weights.getvalue(),
        HELD_OUT_FILE: _packed(kept, kept_parts),
        HISTORY_FILE: (json.dumps(history, indent=2) + "\n").encode(),
        TAUGHT_FILE: packed_frames(taught),
    }
    named = record.model_copy(update={"files": {name: _sha256(content) for name, content in contents.items()}})
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / CONFIG_FILE).unlink(missing_ok=True)
        for name, content in contents.items():
            write_file(path / name, content)
        write_file(path / CONFIG_FILE, (named.model_dump_json(indent=2) + "\n").encode())
        sync_folder(path)
    except OSError as error:
        raise ConfigError(f"{path}: the trained model cannot be written: {error.strerror}; check space and permissions") from error
    return TrainedFolder(path=path, record=named, good=kept, parts=kept_parts, taught=tuple(taught))


def read_record(path: Path) -> Record:
    """Read `config.json`.

    Raises:
        ConfigError: the folder is not the result of a finished training.
    """
    file = path / CONFIG_FILE
    try:
        return Record.model_validate_json(file.read_bytes(), strict=True)
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read: {error.strerror}; is {path} a folder that `edge-inspect train` has finished?"
        ) from error
    except ValidationError as error:
        raise ConfigError(f"{file}: not of this version: {first_mistake(error)}; train again") from error


def open_trained_folder(path: Path) -> TrainedFolder:
    """Read a trained folder and verify the hash of every file.

    Raises:
        ConfigError: the folder is not the result of a finished training.
        EngineError: a file is missing or is not the one that was made.
    """
    record = read_record(path)
    contents = {name: _verified(path / name, wanted) for name, wanted in record.files.items()}
    for name in (WEIGHTS_FILE, HELD_OUT_FILE):
        if name not in contents:
            raise EngineError(f"{path / CONFIG_FILE}: names no {name}; train again")
    good, parts = _unpacked(contents[HELD_OUT_FILE])
    taught = unpacked_frames(contents[TAUGHT_FILE]) if TAUGHT_FILE in contents else None
    return TrainedFolder(path=path, record=record, good=good, parts=parts, taught=taught)


def _verified(file: Path, wanted: str) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise EngineError(f"{file}: cannot be read: {error.strerror}; copy the whole trained folder again") from error
    got = _sha256(content)
    if got != wanted:
        raise EngineError(
            f"{file}: is not the file that was made: hash {got[:12]}, {CONFIG_FILE} says {wanted[:12]}; copy the whole trained folder again"
        )
    return content


def _only(good: GoodImages, parts: Sequence[Sequence[int]]) -> tuple[GoodImages, Parts]:
    """The images of these parts alone, and where they now are."""
    chosen = [index for part in parts for index in part]
    where = {index: place for place, index in enumerate(chosen)}
    kept = replace(
        good,
        names=tuple(good.names[index] for index in chosen),
        pixels=good.pixels[chosen],
        hashes=tuple(good.hashes[index] for index in chosen),
        refused=(),
        placements=tuple(good.placements[index] for index in chosen),
        frames=tuple(good.frames[index] for index in chosen),
    )
    return kept, tuple(tuple(where[index] for index in part) for part in parts)


def _packed(good: GoodImages, parts: Parts) -> bytes:
    part_of = np.zeros(len(good.names), np.int64)
    for number, part in enumerate(parts):
        part_of[list(part)] = number
    archive = io.BytesIO()
    np.savez_compressed(
        archive,
        images=good.pixels,
        names=np.array(good.names),
        hashes=np.array(good.hashes),
        part=part_of,
        affine=np.stack([placement.affine for placement in good.placements]),
        frame=np.array([good.frame_width, good.frame_height]),
    )
    return archive.getvalue()


def _unpacked(content: bytes) -> tuple[GoodImages, Parts]:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        images, part_of, frame = arrays["images"], arrays["part"], arrays["frame"]
        height, width, channels = images.shape[1:]
        good = GoodImages(
            names=tuple(map(str, arrays["names"])),
            pixels=images,
            hashes=tuple(map(str, arrays["hashes"])),
            refused=(),
            placements=tuple(Placement(affine=affine, width=width, height=height, channels=channels) for affine in arrays["affine"]),
            frames=tuple(range(len(images))),
            frame_width=int(frame[0]),
            frame_height=int(frame[1]),
        )
    return good, tuple(tuple(map(int, np.flatnonzero(part_of == number))) for number in np.unique(part_of))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
