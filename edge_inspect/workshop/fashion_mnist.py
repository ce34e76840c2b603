"""Fashion-MNIST as Debian's package `dataset-fashion-mnist` brings it: 70,000 grey pictures of 28 x 28 in ten classes.

Source: Xiao, Rasul, Vollgraf 2017.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import UInt8Image
from edge_inspect.errors import ConfigError

FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASSES: Sequence[str] = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
)
"""In the order of the labels, spelt as Cheng et al. 2021, table 3."""
PARTS = ("train", "t10k")

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FashionMnist:
    """All pictures (n, 28, 28, 1) uint8, the data set's training part first, and their classes (n,)."""

    pixels: UInt8Image
    labels: UInt8


def load_fashion_mnist(folder: Path = FOLDER) -> FashionMnist:
    """Training and test part as one, as Cheng et al. 2021 use it (their code; the text names no part).

    Raises:
        ConfigError: a file is missing or is not what it should be.
    """
    pixels = np.concatenate([_read(folder / f"{part}-images-idx3-ubyte.gz", dimensions=3) for part in PARTS])
    labels = np.concatenate([_read(folder / f"{part}-labels-idx1-ubyte.gz", dimensions=1) for part in PARTS])
    if len(pixels) != len(labels):
        raise ConfigError(f"{folder}: {len(pixels)} pictures, but {len(labels)} labels; install dataset-fashion-mnist again")
    return FashionMnist(pixels=pixels[..., None], labels=labels)


def _read(path: Path, *, dimensions: int) -> UInt8:
    """One gzipped IDX file: two zeros, type 8 (unsigned byte), the number of dimensions, their sizes, the bytes."""
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: is not there; install Debian's package dataset-fashion-mnist or name its folder") from error
    except (OSError, EOFError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; install Debian's package dataset-fashion-mnist again") from error
    start = 4 + 4 * dimensions
    sizes = struct.unpack(f">{dimensions}I", content[4:start]) if len(content) >= start else ()
    if content[:4] != bytes((0, 0, 8, dimensions)) or len(content) - start != int(np.prod(sizes, dtype=np.int64)):
        raise ConfigError(f"{path}: is not an IDX file of {dimensions} dimensions; install Debian's package dataset-fashion-mnist again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)
