"""The stored calibration frames on another engine, precision, runtime or device: how far does the threshold move?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import Placement
from edge_inspect.errors import ConfigError
from edge_inspect.scoring import Scorer
from edge_inspect.thresholds.frames import CalibrationFrames, frames_path, load_frames
from edge_inspect.thresholds.record import read_thresholds

ALLOWED = 0.1
"""Largest move of a threshold, as a part of the room between the median good score and it: what a lower precision is allowed, too."""

Progress = Callable[[str, int, int], None]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """How one threshold moves.

    Attributes:
        threshold: as it stands, engine units.
        moved: where it would have to be to reject the same of these frames.
        room: between the median score the frames had and the threshold.
        largest: largest change of one frame's score.
        flips: frames whose verdict by this threshold changes, by name.
    """

    threshold: float
    moved: float
    room: float
    largest: float
    flips: tuple[str, ...]

    @property
    def share(self) -> float:
        """The move as a part of the room."""
        distance = abs(self.moved - self.threshold)
        return distance / self.room if self.room > 0 else float("inf") if distance else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What another engine says of the calibration frames.

    Attributes:
        frames: how many.
        before, now: hashes of the engine that scored them then, and of this one.
        image, pixel: how the thresholds move.
    """

    frames: int
    before: str
    now: str
    image: Move
    pixel: Move

    @property
    def holds(self) -> bool:
        """Whether the thresholds can stay as they are."""
        return max(self.image.share, self.pixel.share) <= ALLOWED and not (self.image.flips or self.pixel.flips)


def transfer(scorer: Scorer, progress: Progress) -> Transfer:
    """Score the stored frames once more, on the engine as it is opened here.

    Raises:
        ConfigError: there are no stored frames, they are of another size, or no thresholds stand there.
        EngineError: the engine failed on one.
    """
    path = scorer.recipe.thresholds
    frames, thresholds = load_frames(path), read_thresholds(path)
    _refuse_another_size(scorer, frames)
    scores, peaks = _scored(scorer, frames, progress)
    return Transfer(
        frames=len(frames.names),
        before=frames.engine_sha256,
        now=scorer.model.engine_sha256,
        image=move(frames.scores, scores, thresholds.image_threshold, frames.names),
        pixel=move(frames.peaks, peaks, thresholds.pixel_threshold, frames.names),
    )


def move(before: Numbers, now: Numbers, threshold: float, names: tuple[str, ...]) -> Move:
    """How a threshold moves when scores (n,) become others: to where the same number of frames lies at it or above.

    Above all of them it moves with the highest.
    """
    at_or_above = int((before >= threshold).sum())
    ordered, again = np.sort(before)[::-1], np.sort(now)[::-1]
    reference = max(at_or_above - 1, 0)
    flipped = (before > threshold) != (now > threshold)
    return Move(
        threshold=threshold,
        moved=float(threshold + again[reference] - ordered[reference]),
        room=float(threshold - np.median(before)),
        largest=float(np.abs(now - before).max()),
        flips=tuple(name for name, flips in zip(names, flipped, strict=True) if flips),
    )


def _scored(scorer: Scorer, frames: CalibrationFrames, progress: Progress) -> tuple[Numbers, Numbers]:
    image = scorer.model.manifest.input
    unmoved = Placement(affine=np.eye(2, 3), width=image.width, height=image.height, channels=image.channels)
    found = []
    for done, (pixels, searched) in enumerate(zip(frames.images, frames.searched, strict=True), start=1):
        scored = scorer.score_placed(pixels, unmoved, searched)
        found.append((scored.score, scored.peak))
        progress("scoring", done, len(frames.names))
    scores, peaks = np.array(found, np.float64).T
    return scores, peaks


def _refuse_another_size(scorer: Scorer, frames: CalibrationFrames) -> None:
    image, cells = scorer.model.manifest.input, scorer.model.manifest.score_map
    wanted = (image.height, image.width, image.channels), (cells.height, cells.width)
    got = frames.images.shape[1:], frames.searched.shape[1:]
    if got != wanted:
        raise ConfigError(
            f"{frames_path(scorer.recipe.thresholds)}: the frames were stored for images and cells of {got}, this engine has {wanted}; "
            "calibrate the part again with this engine"
        )
