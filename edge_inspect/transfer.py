"""The stored calibration frames on another engine, precision, runtime or device: how far does the threshold move?

`calibrate --transfer` tells it of all stored frames, `build --accept` refuses by it, and a station at its start by the highest of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_inspect.acceptance import Acceptance
from edge_inspect.errors import ConfigError
from edge_inspect.scoring import Scorer
from edge_inspect.thresholds.frames import CalibrationFrames, are_stored, frames_path, load_frames
from edge_inspect.thresholds.record import Thresholds, read_thresholds

ALLOWED = 0.1
"""Largest move of a threshold, as a part of the room between the median good score and it: what a lower precision is allowed, too."""

LARGEST_SHARE = 999.0
"""Written for more, and for a threshold without any room: JSON has no infinity."""

AT_START = 20
"""Frames that a station scores again at its start: the highest ones, which set the threshold. A second, not a minute."""

Progress = Callable[[str, int, int], None]

log = logging.getLogger(__name__)
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
        astray: those of them that are rejected now by more than the threshold itself may move. The frame that set the threshold lies on
            it, and the last bit of another runtime's arithmetic flips it: that alone says nothing.
    """

    threshold: float
    moved: float
    room: float
    largest: float
    flips: tuple[str, ...]
    astray: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the threshold can stay as it is."""
        return self.share <= ALLOWED and not self.astray

    @property
    def rejects_more(self) -> bool:
        """Whether more good parts would be rejected than was promised: it would have to rise, or a frame is far above it now."""
        return (self.moved > self.threshold and self.share > ALLOWED) or bool(self.astray)

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
        zones: how those of the recipe's zones move, by name.
    """

    frames: int
    before: str
    now: str
    image: Move
    pixel: Move
    zones: dict[str, Move]

    @property
    def moves(self) -> dict[str, Move]:
        """All of them by name."""
        return {"image": self.image, "pixel": self.pixel, **{f"zone {name}": found for name, found in self.zones.items()}}

    @property
    def holds(self) -> bool:
        """Whether the thresholds can stay as they are."""
        return all(found.holds for found in self.moves.values())

    @property
    def complaints(self) -> tuple[str, ...]:
        """Why the promise is void, a sentence for each threshold that would have to rise too far."""
        return tuple(_sentence(name, found) for name, found in self.moves.items() if found.rejects_more)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each threshold that would have to fall: the promise holds, but defects may score lower, too."""
        return tuple(_sentence(name, found) for name, found in self.moves.items() if not (found.holds or found.rejects_more))


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


def accepted_with_calibration(
    scorer: Scorer, acceptance: Acceptance, *, most: int | None = None, progress: Progress = silent
) -> Acceptance:
    """What the gate found, and whether the thresholds hold on the calibration frames; unchanged where none of this model are stored.

    Args:
        scorer: the opened engine, which has passed the gate.
        acceptance: what the gate found.
        most: look at so many of the highest frames; None at all of them.
        progress: told how far it is.

    Raises:
        EngineError: the engine failed on one.
    """
    try:
        frames = load_frames(scorer.recipe.thresholds)
        if frames.engine_sha256 != scorer.model.engine_sha256:
            return acceptance
        found = transfer(scorer, progress, most=most)
    except ConfigError as error:
        if are_stored(scorer.recipe.thresholds):
            log.warning("the thresholds were not held against the calibration frames: %s", error)
        return acceptance
    for warning in found.warnings:
        log.warning(
            "on the calibration frames %s; good parts keep their promise, but calibrate on it to find as many defects as before", warning
        )
    complaints = tuple(f"on the calibration frames {complaint}; calibrate the part again on this device" for complaint in found.complaints)
    shares = {name: round(min(one.share, LARGEST_SHARE), 6) for name, one in found.moves.items()}
    return replace(acceptance, calibration=shares, complaints=(*acceptance.complaints, *complaints))


def transfer(scorer: Scorer, progress: Progress, *, most: int | None = None) -> Transfer:
    """Score the stored frames once more, on the engine as it is opened here; `most` of the highest, or all.

    Raises:
        ConfigError: there are no stored frames, they are of another size, or no thresholds stand there.
        EngineError: the engine failed on one.
    """
    path = scorer.recipe.thresholds
    thresholds = read_thresholds(path)
    stored = load_frames(path, thresholds)
    _refuse_another_size(scorer, stored)
    frames = stored if most is None else _highest(stored, most)
    scores, peaks, zone_peaks = _scored(scorer, frames, progress)
    return Transfer(
        frames=len(frames.names),
        before=frames.engine_sha256,
        now=scorer.model.engine_sha256,
        image=move(frames.scores, scores, thresholds.image_threshold, frames.names, usual=float(np.median(stored.scores))),
        pixel=move(frames.peaks, peaks, thresholds.pixel_threshold, frames.names, usual=float(np.median(stored.peaks))),
        zones=_zone_moves(scorer, frames, zone_peaks, thresholds, stored),
    )


def _highest(frames: CalibrationFrames, most: int) -> CalibrationFrames:
    chosen = np.argsort(-frames.scores, kind="stable")[:most]
    zones, zone_peaks = frames.zones, frames.zone_peaks
    return replace(
        frames,
        images=frames.images[chosen],
        searched=frames.searched[chosen],
        scores=frames.scores[chosen],
        peaks=frames.peaks[chosen],
        names=tuple(frames.names[index] for index in chosen),
        zones=None if zones is None else zones[chosen],
        zone_peaks=None if zone_peaks is None else zone_peaks[chosen],
    )


def _zone_moves(
    scorer: Scorer, frames: CalibrationFrames, zone_peaks: Numbers, thresholds: Thresholds, stored: CalibrationFrames
) -> dict[str, Move]:
    """Where a zone was seen in some of the frames: with tiles it need not lie in any that was kept."""
    if frames.zone_peaks is None or stored.zone_peaks is None:
        return {}
    learnt = {zone.name: zone.pixel_threshold for zone in thresholds.zones}
    moves = {}
    for place, zone in enumerate(scorer.recipe.zones):
        seen = np.isfinite(frames.zone_peaks[:, place])
        names = tuple(name for name, is_seen in zip(frames.names, seen, strict=True) if is_seen)
        if names:
            before, now = frames.zone_peaks[seen, place], zone_peaks[seen, place]
            usual = float(np.median(stored.zone_peaks[np.isfinite(stored.zone_peaks[:, place]), place]))
            moves[zone.name] = move(before, now, learnt.get(zone.name, thresholds.pixel_threshold), names, usual=usual)
    return moves


def _sentence(name: str, found: Move) -> str:
    astray = f"; flips {', '.join(found.astray)}" if found.astray else ""
    return f"the {name} threshold {found.threshold:.6g} would be {found.moved:.6g}, {found.share:.0%} of its room away{astray}"


def move(before: Numbers, now: Numbers, threshold: float, names: tuple[str, ...], *, usual: float | None = None) -> Move:
    """How a threshold moves when scores (n,) become others: to where the same number of frames lies at it or above.

    Above all of them it moves with the highest. `usual` is the median score, of these where it is None.
    """
    at_or_above = int((before >= threshold).sum())
    ordered, again = np.sort(before)[::-1], np.sort(now)[::-1]
    reference = max(at_or_above - 1, 0)
    flipped = (before > threshold) != (now > threshold)
    room = float(threshold - (np.median(before) if usual is None else usual))
    astray = flipped & (now - threshold > ALLOWED * max(room, 0.0))
    return Move(
        threshold=threshold,
        moved=float(threshold + again[reference] - ordered[reference]),
        room=room,
        largest=float(np.abs(now - before).max()),
        flips=tuple(name for name, flips in zip(names, flipped, strict=True) if flips),
        astray=tuple(name for name, is_astray in zip(names, astray, strict=True) if is_astray),
    )


def _scored(scorer: Scorer, frames: CalibrationFrames, progress: Progress) -> tuple[Numbers, Numbers, Numbers]:
    """Image scores (n,), largest cells (n,), and largest cell of each zone (n, zones)."""
    found = []
    zones = [None] * len(frames.names) if frames.zones is None else list(frames.zones)
    for done, (pixels, searched, cells) in enumerate(zip(frames.images, frames.searched, zones, strict=True), start=1):
        found.append(scorer.score_network_image(pixels, searched, cells))
        progress("scoring", done, len(frames.names))
    return (
        np.array([scored.score for scored in found], np.float64),
        np.array([scored.peak for scored in found], np.float64),
        np.array([scored.zone_peaks for scored in found], np.float64),
    )


def _refuse_another_size(scorer: Scorer, frames: CalibrationFrames) -> None:
    image, cells = scorer.model.manifest.input, scorer.model.manifest.score_map
    wanted = (image.height, image.width, image.channels), (cells.height, cells.width)
    got = frames.images.shape[1:], frames.searched.shape[1:]
    if got != wanted:
        raise ConfigError(
            f"{frames_path(scorer.recipe.thresholds)}: the frames were stored for images and cells of {got}, this engine has {wanted}; "
            "calibrate the part again with this engine"
        )
