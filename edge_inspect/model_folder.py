"""`engines/<model>/`: the files a model is handed over in, and the proof that they are the ones that were made.

`model.onnx` takes one uint8 image `frame` (1, H, W, C) and gives `score_map` (1, 1, h, w) float32, already smoothed, and
`image_score` (1,) float32. `golden.npz` holds golden frames and what the reference runtime said of them.
`taught_frames.json` says which frames it was made from (`thresholds.taught_frames`).
`manifest.json` names all with their hashes; `manifest.json.sig` may say who made it (`signing`).
`model.fp16.onnx` and `model.int8.onnx` may stand beside them, made by `edge-inspect build`.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from edge_inspect.config import first_mistake
from edge_inspect.datatypes import ScoreMap, UInt8Image
from edge_inspect.durable import replace_file, sync_folder, write_file
from edge_inspect.errors import EngineError, UntrustedModel
from edge_inspect.signing import demand_signature

MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.npz"
MANIFEST_FILE = "manifest.json"

Precision = Literal["fp32", "fp16", "int8"]
PRECISION_FILES: Mapping[Precision, str] = {"fp32": MODEL_FILE, "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}


class _Recorded(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageSize(_Recorded):
    """Size of the network's image."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    channels: Literal[1, 3]


class MapSize(_Recorded):
    """Size of the score map [cells]."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)


class Training(_Recorded):
    """What the model was made from."""

    images: int = Field(ge=0)
    fingerprint: str
    """Hash over the sorted hashes of the training images' pixels."""


class LowerPrecision(_Recorded):
    """How a file of lower precision was made, and how far it may lie from the float32 answers.

    `worst` and `mean` say how far image scores of good frames moved, as a part of the room between their median and the
    threshold. `tolerance` (worst cell), `mean_tolerance` (all cells together) and `least_overlap` are what `acceptance` asks of it
    on the golden frames.
    """

    float32_layers: tuple[str, ...]
    layers: int = Field(ge=0)
    frames: int = Field(ge=0)
    fingerprint: str
    """Hash over the sorted hashes of the frames that ranges were taken from, and that it was tried on."""
    worst: float = Field(ge=0)
    mean: float = Field(ge=0)
    tolerance: float = Field(gt=0)
    mean_tolerance: float = Field(gt=0)
    least_overlap: float = Field(ge=0, le=1)


class MeanOfHighest(_Recorded):
    """The image score is the mean of so many cells of the score map, the highest."""

    mean_of_highest: int = Field(gt=0)


ImageScore = Literal["map maximum", "own"] | MeanOfHighest
"""What the graph's second output is."""


class Manifest(_Recorded):
    """What stands in `manifest.json`.

    `image_score` says what the graph's second output is: "map maximum" is the maximum of the score map, `mean_of_highest` the mean
    of its highest cells, and the line takes either over the searched cells; "own" cannot be masked.
    """

    format: Literal[1] = 1
    model: str
    family: str
    input: ImageSize
    score_map: MapSize
    image_score: ImageScore
    score_meaning: str
    training: Training
    precisions: dict[Literal["fp16", "int8"], LowerPrecision] = Field(default_factory=dict)
    files: dict[str, str]
    software: str
    created_at: AwareDatetime

    @property
    def highest_cells(self) -> int | None:
        """How many cells of the map the image score is the mean of: 1 is the maximum, None a score of the engine's own."""
        return highest_cells(self.image_score)


def highest_cells(image_score: ImageScore) -> int | None:
    """How many cells of the map the image score is the mean of: 1 is the maximum, None a score of the engine's own."""
    if isinstance(image_score, MeanOfHighest):
        return image_score.mean_of_highest
    return 1 if image_score == "map maximum" else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Golden:
    """Golden frames and the reference's answers.

    Attributes:
        images: (n, H, W, C) uint8, at the network's size.
        maps: (n, h, w) float32.
        scores: (n,) float32.
    """

    images: UInt8Image
    maps: ScoreMap
    scores: ScoreMap


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelFolder:
    """A verified model folder: every file in it has the hash its manifest names.

    Attributes:
        path: of the folder.
        manifest: what stands in it.
        precision: which of its ONNX files is meant.
    """

    path: Path
    manifest: Manifest
    precision: Precision = "fp32"

    @property
    def model_file(self) -> Path:
        """The ONNX file of this precision."""
        return self.path / PRECISION_FILES[self.precision]

    @property
    def model_sha256(self) -> str:
        """Hash of the ONNX file of this precision."""
        return self.manifest.files[PRECISION_FILES[self.precision]]

    @property
    def lowered(self) -> LowerPrecision | None:
        """How the file of this precision was made; None for float32."""
        return None if self.precision == "fp32" else self.manifest.precisions[self.precision]

    def at(self, precision: Precision) -> ModelFolder:
        """The same folder, meaning the file of this precision.

        Raises:
            EngineError: it has none.
        """
        if precision != "fp32" and precision not in self.manifest.precisions:
            raise EngineError(
                f"{self.path}: has no {PRECISION_FILES[precision]}; make it on recorded good frames with "
                f"`edge-inspect build --precision {precision}`, or serve fp32"
            )
        return replace(self, precision=precision)

    @property
    def engine_sha256(self) -> str:
        """Hash of the float32 ONNX file: the engine's identity in thresholds and records, in every precision."""
        return self.manifest.files[MODEL_FILE]

    def load_golden(self) -> Golden:
        """Read the golden frames; whether they prove anything is for `acceptance` to say.

        Raises:
            EngineError: `golden.npz` cannot be read or is not one of ours.
        """
        path = self.path / GOLDEN_FILE
        try:
            return _unpacked(path.read_bytes())
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise EngineError(f"{path}: not golden frames: {error}; teach or export the model again") from error


def open_model_folder(path: Path, *, public_key: Path | None = None) -> ModelFolder:
    """Read the manifest and verify the hash of every file it names; where a public key is given, first who signed the manifest.

    Raises:
        EngineError: the folder, its manifest or a file is missing or is not the one that was made.
        UntrustedModel: besides, with a public key: it is unsigned, signed by another key, or altered.
        ConfigError: the public key cannot be used.
    """
    manifest = _load_manifest(path / MANIFEST_FILE, public_key)
    refusal = EngineError if public_key is None else UntrustedModel
    for name, wanted in manifest.files.items():
        _verify(path, name, wanted, refusal)
    for name in (MODEL_FILE, GOLDEN_FILE):
        if name not in manifest.files:
            raise EngineError(f"{path / MANIFEST_FILE}: names no {name}; teach or export the model again")
    return ModelFolder(path=path, manifest=manifest)


def write_model_folder(
    path: Path,
    *,
    onnx_bytes: bytes,
    golden: Golden,
    model: str,
    family: str,
    input_size: ImageSize,
    image_score: ImageScore,
    score_meaning: str,
    training: Training,
    software: str,
    created_at: datetime,
    others: Mapping[str, bytes] = MappingProxyType({}),
) -> ModelFolder:
    """Write model, golden frames and manifest; the manifest comes last, so that a cut leaves no valid folder.

    When it returns, a power cut leaves the new one. `others` are more files by name; the manifest names them too.

    Raises:
        EngineError: the folder cannot be written.
    """
    archive = io.BytesIO()
    np.savez_compressed(archive, images=golden.images, maps=golden.maps, scores=golden.scores)
    files = {**others, MODEL_FILE: onnx_bytes, GOLDEN_FILE: archive.getvalue()}
    manifest = Manifest(
        model=model,
        family=family,
        input=input_size,
        score_map=MapSize(width=golden.maps.shape[2], height=golden.maps.shape[1]),
        image_score=image_score,
        score_meaning=score_meaning,
        training=training,
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        software=software,
        created_at=created_at,
    )
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / MANIFEST_FILE).unlink(missing_ok=True)
        for name, content in files.items():
            write_file(path / name, content)
        write_file(path / MANIFEST_FILE, (manifest.model_dump_json(indent=2) + "\n").encode())
        sync_folder(path)
    except OSError as error:
        raise EngineError(f"{path}: the model cannot be written: {error.strerror}; check space and permissions") from error
    return ModelFolder(path=path, manifest=manifest)


def add_precisions(model: ModelFolder, made: Mapping[Literal["fp16", "int8"], tuple[bytes, LowerPrecision]]) -> ModelFolder:
    """Put files of lower precision beside the float32 one.

    The manifest forgets the old ones before they are replaced and names the new ones last: a cut leaves a folder that serves float32.

    Raises:
        EngineError: the folder cannot be written.
    """
    files = {PRECISION_FILES[precision]: content for precision, (content, _) in made.items()}
    without = model.manifest.model_copy(
        update={
            "precisions": {precision: said for precision, said in model.manifest.precisions.items() if precision not in made},
            "files": {name: digest for name, digest in model.manifest.files.items() if name not in files},
        }
    )
    manifest = without.model_copy(
        update={
            "precisions": {**without.precisions, **{precision: said for precision, (_, said) in made.items()}},
            "files": {**without.files, **{name: hashlib.sha256(content).hexdigest() for name, content in files.items()}},
        }
    )
    try:
        if without != model.manifest:
            _replace_manifest(model.path, without)
        for name, content in files.items():
            replace_file(model.path / name, content)
        _replace_manifest(model.path, manifest)
    except OSError as error:
        raise EngineError(f"{model.path}: the model cannot be written: {error.strerror}; check space and permissions") from error
    return ModelFolder(path=model.path, manifest=manifest)


def _replace_manifest(folder: Path, manifest: Manifest) -> None:
    replace_file(folder / MANIFEST_FILE, (manifest.model_dump_json(indent=2) + "\n").encode())


def _load_manifest(path: Path, public_key: Path | None) -> Manifest:
    """What is parsed are the very bytes whose signature was verified: the file may change in between."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EngineError(f"{path}: cannot be read: {error.strerror}; is {path.parent} a model folder?") from error
    if public_key is not None:
        demand_signature(path, content, public_key)
    try:
        return Manifest.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise EngineError(f"{path}: not a manifest of this version: {first_mistake(error)}; teach or export the model again") from error


def _unpacked(content: bytes) -> Golden:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise ValueError("it is no npz archive")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in ("images", "maps", "scores")}
    for name, array in found.items():
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            raise ValueError(f"{name} is no array")
    return Golden(**found)


def _verify(folder: Path, name: str, wanted: str, refusal: type[EngineError]) -> None:
    if Path(name).name != name or name in {"", ".."}:
        raise refusal(f"{folder / MANIFEST_FILE}: names {name!r}, which is not a plain file name; do not trust this model")
    try:
        got = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    except OSError as error:
        raise EngineError(f"{folder / name}: cannot be read: {error.strerror}; copy the whole model folder again") from error
    if got != wanted:
        raise refusal(
            f"{folder / name}: is not the file that was made: hash {got[:12]}, the manifest says {wanted[:12]}; "
            "copy the whole model folder again"
        )
