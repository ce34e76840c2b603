"""The frames that a model was made from: `taught_frames.json` in its folder, named with its hash by the manifest.

A model knows these frames and gives them lower scores than new ones: a threshold or a promise from them would be void.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from edge_inspect.errors import EngineError
from edge_inspect.model_folder import ModelFolder

TAUGHT_FILE = "taught_frames.json"


def packed_frames(hashes: Iterable[str]) -> bytes:
    """The file: hashes of the frames' pixels (`cameras.pictures.hash_pixels`), each once, sorted."""
    return (json.dumps(sorted(set(hashes)), indent=0) + "\n").encode()


def unpacked_frames(content: bytes) -> tuple[str, ...]:
    """The hashes in such a file.

    Raises:
        ValueError: it is none.
    """
    found = json.loads(content)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError("it is no list of hashes")
    return tuple(found)


def taught_frames(model: ModelFolder) -> frozenset[str] | None:
    """Hashes of the frames that the model was made from; None where its manifest names no such list (made by an older version).

    Raises:
        EngineError: the list cannot be read.
    """
    if TAUGHT_FILE not in model.manifest.files:
        return None
    path = model.path / TAUGHT_FILE
    try:
        return frozenset(unpacked_frames(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise EngineError(f"{path}: no list of taught frames: {error}; teach or export the model again") from error
