"""Training sets in which some parts are bad and nobody said which: drawn from Fashion-MNIST, or made from real parts.

All draws come from a seed alone, so that every method sees the same pictures; a larger share keeps the bad ones of a smaller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge_inspect.config import Recipe
from edge_inspect.datatypes import UInt8Image
from edge_inspect.errors import ConfigError
from edge_inspect.workshop.fashion_mnist import CLASSES, FashionMnist
from edge_inspect.workshop.good_images import place_good_images
from edge_inspect.workshop.study_pictures import Pictures
from edge_inspect.workshop.synthetic import plant_defect

Flags = npt.NDArray[np.bool_]
Contaminant = Literal["classes", "drawn", "real"]

UNSEEN = 512
"""Pictures of Fashion-MNIST that are scored and not trained on, half of them normal."""
LARGEST_SHARE = 0.25
"""Source: Cheng et al. 2021, section 4.3: 5 to 25 %."""

ROUNDING = 1e-9
"""So that a tenth of 1,280 is 128."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ContaminatedSet:
    """What is trained on and what is judged on.

    Attributes:
        name: class or data set.
        contaminant: other classes, defects drawn on good pictures, or real defective pictures.
        share: of bad ones among the training pictures.
        train: (n, H, W, C) uint8; `train_bad` (n,) is for judging only.
        unseen: (m, H, W, C) uint8, never trained on; `unseen_bad` (m,).
    """

    name: str
    contaminant: Contaminant
    share: float
    train: UInt8Image
    train_bad: Flags
    unseen: UInt8Image
    unseen_bad: Flags


def one_against_rest(data: FashionMnist, *, normal: int, share: float, images: int, seed: int) -> ContaminatedSet:
    """One class is good, the share of others among it is bad: drawn from all nine alike.

    Args:
        data: all pictures.
        normal: number of the good class.
        share: of bad pictures among all that are trained on, Cheng's rho.
        images: trained on; 0 takes the whole class, as the paper does.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    good, bad = (random.permutation(np.flatnonzero(chosen)) for chosen in (data.labels == normal, data.labels != normal))
    bad_count = int(images * share + ROUNDING) if images else int(len(good) * share / (1 - share))
    good_count = images - bad_count if images else len(good)
    if good_count > len(good):
        raise ConfigError(f"{CLASSES[normal]}: {good_count} good pictures are wanted, there are {len(good)}; take fewer with --images")
    train = np.concatenate([good[:good_count], bad[:bad_count]])
    left = good[good_count:][: UNSEEN // 2], bad[bad_count:][: UNSEEN // 2]
    unseen = np.concatenate(left)
    return ContaminatedSet(
        name=CLASSES[normal],
        contaminant="classes",
        share=share,
        train=data.pixels[train],
        train_bad=data.labels[train] != normal,
        unseen=data.pixels[unseen],
        unseen_bad=data.labels[unseen] != normal,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """Real parts as the network sees them: (n, H, W, C) uint8 each.

    Attributes:
        name: of the data set.
        good: for training.
        spoilt: the same parts, each with a drawn defect.
        defective: real defects taken out of the test part; none of them is in `unseen`.
        unseen: the test part without them; `unseen_bad` (m,).
    """

    name: str
    good: UInt8Image
    spoilt: UInt8Image
    defective: UInt8Image
    unseen: UInt8Image
    unseen_bad: Flags


def load_parts(pictures: Pictures, *, side_px: int, images: int, seed: int) -> Parts:
    """Read a data set; half of its real defects are kept for training, so that the test part is the same at every share.

    Args:
        pictures: the files.
        side_px: side of the network's image, which is square.
        images: trained on, at most; fewer where good or defective pictures are scarce.
        seed: of the choice and the drawn defects.

    Raises:
        ConfigError: pictures that cannot be read, or too few.
    """
    random = np.random.default_rng(seed)
    good, defective = _shuffled(pictures.train, random), _shuffled(pictures.defective, random)
    kept = len(defective) // 2
    count = min(images, len(good), int(kept / LARGEST_SHARE))
    pixels = [_placed(paths, side_px) for paths in (good[:count], defective[:kept], pictures.good, defective[kept:])]
    return Parts(
        name=pictures.name,
        good=pixels[0],
        spoilt=np.stack([plant_defect(image, random) for image in pixels[0]]),
        defective=pixels[1],
        unseen=np.concatenate(pixels[2:]),
        unseen_bad=np.repeat([False, True], [len(pixels[2]), len(pixels[3])]),
    )


def contaminated(parts: Parts, contaminant: Contaminant, share: float) -> ContaminatedSet:
    """So many parts as there are good ones, the last of them replaced by bad ones."""
    count = round(len(parts.good) * share)
    clean = len(parts.good) - count
    bad = parts.spoilt[clean:] if contaminant == "drawn" else parts.defective[:count]
    return ContaminatedSet(
        name=parts.name,
        contaminant=contaminant,
        share=share,
        train=np.concatenate([parts.good[:clean], bad]),
        train_bad=np.arange(len(parts.good)) >= clean,
        unseen=parts.unseen,
        unseen_bad=parts.unseen_bad,
    )


def contaminations(parts: Parts, shares: Sequence[float]) -> Iterator[ContaminatedSet]:
    """Every share with drawn and with real defects; without any, the two are the same and come once."""
    for share in shares:
        yield contaminated(parts, "drawn", share)
        if share:
            yield contaminated(parts, "real", share)


def _shuffled(paths: Sequence[Path], random: np.random.Generator) -> list[Path]:
    return [paths[index] for index in random.permutation(len(paths))]


def _placed(paths: Sequence[Path], side_px: int) -> UInt8Image:
    recipe = Recipe(part="study", engine=Path("none"))
    return place_good_images(paths, recipe, width=side_px, height=side_px, fewest=1).pixels
