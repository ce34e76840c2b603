"""What the station itself says for the audit record: its start and end, what serves, and what was done to it on the machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from edge_inspect import __version__
from edge_inspect.datatypes import Action, Deed, Outcome, Peer
from edge_inspect.inspector import Inspector
from edge_inspect.login import who
from edge_inspect.protocols import Note
from edge_inspect.station.challenge_gate import Gate
from edge_inspect.thresholds import Thresholds
from edge_inspect.thresholds.history import newest_change

RUNNING = "start"


@contextmanager
def noted_start(note: Note, station_file: Path) -> Iterator[None]:
    """Say that the station starts, with its version and the hash of its file; and why it could not go on, where an error ends it."""
    by = Peer(user=who())
    sha256 = hashlib.sha256(station_file.read_bytes()).hexdigest()
    reason = f"edge-inspect {__version__}, process {os.getpid()}, {station_file.name} sha256 {sha256}"
    note(Action(deed=Deed.STATION, outcome=Outcome.WANTED, by=by, subject=RUNNING, reason=reason))
    try:
        yield
    except Exception as error:
        note(Action(deed=Deed.STATION, outcome=Outcome.FAILED, by=by, subject="run", reason=str(error) or repr(error)))
        raise
    note(Action(deed=Deed.STATION, outcome=Outcome.DONE, by=by, subject="stop"))


def serving(inspector: Inspector, job: int) -> Action:
    """What inspects from now on, with the hashes of all of it."""
    bound = {
        "recipe sha256": inspector.thresholds.recipe_sha256,
        "engine": inspector.model.engine_sha256,
        "calibration": inspector.calibration_id,
        **inspector.binding.made_of,
    }
    reason = ", ".join(f"{name} {value}" for name, value in bound.items())
    return Action(deed=Deed.SERVING, outcome=Outcome.DONE, subject=f"job {job}: {inspector.recipe.part}", reason=reason)


def taken_over(inspector: Inspector, old: Thresholds) -> Action:
    """Thresholds that are in force from now on, and who put them there."""
    new = inspector.thresholds
    change = newest_change(inspector.recipe.thresholds, new.calibration_id)
    said = (
        f"image {old.image_threshold:.6g} to {new.image_threshold:.6g}, pixel {old.pixel_threshold:.6g} to {new.pixel_threshold:.6g}, "
        f"before {old.calibration_id}"
    )
    return Action(
        deed=Deed.THRESHOLDS,
        outcome=Outcome.DONE,
        by=Peer(user="" if change is None else change.by),
        subject=f"{inspector.recipe.part}: {new.calibration_id}",
        reason=said if change is None else f"{change.action}: {change.reason}; {said}",
    )


def not_taken_over(inspector: Inspector, why: str) -> Action:
    """Thresholds that were put there and do not serve."""
    return Action(deed=Deed.THRESHOLDS, outcome=Outcome.REFUSED, subject=inspector.recipe.part, reason=why)


def reload_asked(asked: Event) -> Iterator[Action]:
    """A reload by SIGHUP; the kernel does not tell who sent it."""
    if asked.is_set():
        yield Action(deed=Deed.RELOAD, outcome=Outcome.WANTED, subject="thresholds", reason="SIGHUP")


def challenged(gate: Gate) -> Action:
    """Golden parts are asked for or shown from now on, or what was shown counts."""
    if gate.showing:
        return Action(deed=Deed.CHALLENGE, outcome=Outcome.WANTED, subject="golden parts are shown", reason=gate.showing)
    if gate.due:
        return Action(deed=Deed.CHALLENGE, outcome=Outcome.REFUSED, subject="golden parts are due", reason=gate.due)
    until = "" if gate.until is None else f"counts until {gate.until.isoformat(timespec='seconds')}"
    return Action(deed=Deed.CHALLENGE, outcome=Outcome.DONE, subject="parts get their verdicts", reason=until)


def guarded(alarm: str, *, stood: bool) -> Iterator[Action]:
    """The guard vouches for the line no more (refused), or does again (done); other words for the same are no action."""
    if bool(alarm) is not stood:
        outcome = Outcome.REFUSED if alarm else Outcome.DONE
        yield Action(deed=Deed.GUARD, outcome=outcome, reason=alarm or "the line is again as it was calibrated")
