"""Which good parts fit the model and which give the threshold; the held-out ones are never used for anything else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_inspect.cameras.pictures import part_name
from edge_inspect.errors import ConfigError

HELD_OUT_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Indices of the images that fit the model, and of the held-out ones by physical part."""

    fit: tuple[int, ...]
    held_out: tuple[tuple[int, ...], ...]


def split_parts(
    names: Sequence[str],
    *,
    seed: int,
    part_of: re.Pattern[str] | None = None,
    frames: Sequence[int] | None = None,
    share: float = HELD_OUT_SHARE,
) -> Split:
    """Divide images into those that fit the model and about 30 % held out; one part's images stay together.

    Args:
        names: one for each image.
        seed: of the shuffle.
        part_of: its first group, found in a name, is the physical part; without it every frame is a part of its own.
        frames: number of the frame that each image is of, where a frame gives several (tiles); None: one each.
        share: of the parts that is held out; one part at least.

    Raises:
        ConfigError: a name does not tell its part, or there are fewer than two parts.
    """
    parts: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        frame = index if frames is None else frames[index]
        parts.setdefault(str(frame) if part_of is None else part_name(name, part_of), []).append(index)
    if len(parts) < 2:
        raise ConfigError(f"all {len(names)} images are of one part; two or more are needed, correct the pattern that names parts")
    order = np.random.default_rng(seed).permutation(len(parts))
    shuffled = [tuple(group) for group in (list(parts.values())[i] for i in order)]
    held_out = max(1, round(share * len(parts)))
    return Split(fit=tuple(sorted(i for part in shuffled[held_out:] for i in part)), held_out=tuple(sorted(shuffled[:held_out])))
