"""Putting thresholds in force: the gate first, on this device, then frames, acceptance, history and `thresholds.json`, all or none.

A power cut between two of them leaves the old thresholds or the new ones in force, and an acceptance that holds for either.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_inspect.acceptance import ACCEPTANCE_FILE, with_acceptance
from edge_inspect.errors import ConfigError
from edge_inspect.field.calibration.parts import Parts
from edge_inspect.guard import small_view
from edge_inspect.login import who
from edge_inspect.scoring import Scorer
from edge_inspect.thresholds import Thresholds
from edge_inspect.thresholds.frames import CalibrationFrames, frames_path, kept, packed
from edge_inspect.thresholds.history import Beside, Change, Entry, put_in_force, read_history, roll_back
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
        ConfigError: no reason, the history is not as it was written, or a file cannot be written; nothing is changed.
    """
    refuse_without_reason(reason)
    change = Change(
        action="calibrated",
        by=who(),
        reason=reason,
        good_frames=tuple(part.sha256 for part in parts.good if part.sha256),
        defective_frames=tuple(part.sha256 for part in parts.defective if part.sha256),
    )
    path = scorer.recipe.thresholds
    read_history(path)  # an edited one is told before the engine is asked
    accepted, frames = _accepted(scorer, thresholds, kind), _frames(scorer, parts)

    def beside(stands: Thresholds | None) -> dict[Path, bytes]:
        return {**({} if frames is None else {frames_path(path, thresholds): packed(frames)}), **accepted(stands)}

    return put_in_force(path, thresholds, change, beside=beside)


def take_back(scorer: Scorer, entry: Entry, *, reason: str, kind: str) -> Entry:
    """Put the thresholds of an earlier entry in force again. Arguments and errors are those of `apply`.

    Raises:
        ConfigError: also where they were made for another engine or recipe.
    """
    refuse_without_reason(reason)
    path, model = scorer.recipe.thresholds, scorer.model
    refuse_another(path, entry.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=scorer.recipe.sha256)
    return roll_back(path, entry, by=who(), reason=reason, beside=_accepted(scorer, entry.thresholds, kind))


def refuse_without_reason(reason: str) -> None:
    """Refuse a change that nobody gives a reason for.

    Raises:
        ConfigError: the reason is empty.
    """
    if not reason.strip():
        raise ConfigError("why are the thresholds changed? Give --reason TEXT; it stands in their history")


def _frames(scorer: Scorer, parts: Parts) -> CalibrationFrames | None:
    """The frames that are kept for guard and `--transfer`; None where only records were left of the parts.

    Of a tiled part one tile is kept, and scored alone.
    """
    shown = [(part, part.scored, part.network) for part in parts.good if part.scored is not None and part.network is not None]
    if not shown:
        return None
    chosen = [shown[index] for index in kept([part.score for part, _, _ in shown])]
    seen = [network for _, _, network in chosen]
    said = [
        scored if network.view is None else scorer.score_network_image(network.pixels, network.searched, network.zones)
        for _, scored, network in chosen
    ]
    has_zones, where = bool(scorer.recipe.zones), scorer.recipe.reference_patch
    return CalibrationFrames(
        images=np.stack([network.pixels for network in seen]),
        searched=np.stack([network.searched for network in seen]),
        scores=np.array([scored.score for scored in said]),
        peaks=np.array([scored.peak for scored in said]),
        names=tuple(part.name for part, _, _ in chosen),
        sample=np.array([part.score for part in parts.good]),
        engine_sha256=scorer.model.engine_sha256,
        zones=np.stack([network.zones for network in seen if network.zones is not None]) if has_zones else None,
        zone_peaks=np.array([scored.zone_peaks for scored in said]) if has_zones else None,
        views=np.stack([small_view(network.pixels) if network.view is None else network.view for network in seen]),
        patches=None if where is None else np.stack([network.patch for network in seen if network.patch is not None]),
        patch_at=None if where is None else np.array(where.as_tuple, np.float64),
    )


def _accepted(scorer: Scorer, thresholds: Thresholds, kind: str) -> Beside:
    """The acceptance under these thresholds, to be written with them.

    Raises:
        EngineError: the engine does not agree with its golden frames under them.
    """
    binding, acceptance = scorer.gate(thresholds, kind=kind)
    path = scorer.recipe.thresholds.with_name(ACCEPTANCE_FILE)

    def beside(stands: Thresholds | None) -> dict[Path, bytes]:
        return {path: with_acceptance(path, binding, acceptance, in_force="" if stands is None else stands.calibration_id)}

    return beside
