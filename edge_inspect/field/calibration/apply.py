"""Putting thresholds in force: the gate first, on this device, then its record, the history and `thresholds.json`."""

from __future__ import annotations

import numpy as np

from edge_inspect.acceptance import ACCEPTANCE_FILE, write_acceptance
from edge_inspect.errors import ConfigError
from edge_inspect.field.calibration.parts import Parts
from edge_inspect.scoring import Scorer
from edge_inspect.thresholds import Thresholds
from edge_inspect.thresholds.frames import CalibrationFrames, kept, save_frames
from edge_inspect.thresholds.history import Change, Entry, put_in_force, roll_back, who
from edge_inspect.thresholds.record import refuse_another


def apply(scorer: Scorer, thresholds: Thresholds, parts: Parts, *, reason: str, kind: str) -> Entry:
    """Put new thresholds in force; a running station takes them over between two parts.

    Args:
        scorer: the opened engine.
        thresholds: made for it.
        parts: what they were made from.
        reason: why, in a person's words.
        kind: of the runtime that the engine is opened in.

    Raises:
        EngineError: the engine does not agree with its golden frames under these thresholds; nothing is changed.
        ConfigError: no reason, or a file cannot be written.
    """
    refuse_without_reason(reason)
    change = Change(
        action="calibrated",
        by=who(),
        reason=reason,
        good_frames=tuple(part.sha256 for part in parts.good if part.sha256),
        defective_frames=tuple(part.sha256 for part in parts.defective if part.sha256),
    )
    _accept(scorer, thresholds, kind)
    _store_frames(scorer, parts)
    return put_in_force(scorer.recipe.thresholds, thresholds, change)


def take_back(scorer: Scorer, entry: Entry, *, reason: str, kind: str) -> Entry:
    """Put the thresholds of an earlier entry in force again. Arguments and errors are those of `apply`.

    Raises:
        ConfigError: also where they were made for another engine or recipe.
    """
    refuse_without_reason(reason)
    path, model = scorer.recipe.thresholds, scorer.model
    refuse_another(path, entry.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=scorer.recipe.sha256)
    _accept(scorer, entry.thresholds, kind)
    return roll_back(path, entry, by=who(), reason=reason)


def refuse_without_reason(reason: str) -> None:
    """Refuse a change that nobody gives a reason for.

    Raises:
        ConfigError: the reason is empty.
    """
    if not reason.strip():
        raise ConfigError("why are the thresholds changed? Give --reason TEXT; it stands in their history")


def _store_frames(scorer: Scorer, parts: Parts) -> None:
    """Keep the frames for `--transfer`; nothing where only records were left of the parts."""
    shown = [(part, part.scored, part.image) for part in parts.good if part.scored is not None and part.image is not None]
    if not shown:
        return
    chosen = [shown[index] for index in kept([part.score for part, _, _ in shown])]
    frames = CalibrationFrames(
        images=np.stack([image for _, _, image in chosen]),
        searched=np.stack([scored.searched for _, scored, _ in chosen]),
        scores=np.array([scored.score for _, scored, _ in chosen]),
        peaks=np.array([scored.peak for _, scored, _ in chosen]),
        names=tuple(part.name for part, _, _ in chosen),
        sample=np.array([part.score for part in parts.good]),
        engine_sha256=scorer.model.engine_sha256,
    )
    save_frames(scorer.recipe.thresholds, frames)


def _accept(scorer: Scorer, thresholds: Thresholds, kind: str) -> None:
    binding, acceptance = scorer.gate(thresholds, kind=kind)
    write_acceptance(scorer.recipe.thresholds.with_name(ACCEPTANCE_FILE), binding, acceptance)
