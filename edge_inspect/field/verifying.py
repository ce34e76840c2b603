"""Is everything of a station as it was written: its models, the histories of its thresholds, its audit record."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from edge_inspect.audit import AUDIT_FOLDER, verify
from edge_inspect.config import Station, load_recipe, load_station
from edge_inspect.errors import EdgeInspectError
from edge_inspect.model_folder import open_model_folder
from edge_inspect.service.live import STATUS_FILE
from edge_inspect.thresholds.history import complaint, read_history


@dataclass(slots=True)
class Verified:
    """What was found.

    Attributes:
        sound: what is as it was written, a sentence each.
        problems: what is not.
        audit: entries, first, last and its hash of the audit record; copy the hash elsewhere, and a record that was made anew is noticed.
    """

    sound: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    audit: dict[str, object] = field(default_factory=dict)


def verify_station(file: Path) -> Verified:
    """Verify everything that a station file names.

    Raises:
        ConfigError: the station file is wrong.
    """
    settings = load_station(file)
    found = Verified()
    for recipe in dict.fromkeys((settings.recipe, *settings.jobs.values())):
        try:
            _verify_recipe(recipe, settings.public_key, found)
        except EdgeInspectError as error:
            found.problems.append(str(error))
    try:
        _verify_audit(settings, found)
    except EdgeInspectError as error:
        found.problems.append(str(error))
    return found


def _verify_recipe(file: Path, public_key: Path | None, found: Verified) -> None:
    recipe = load_recipe(file)
    model = open_model_folder(recipe.engine, public_key=public_key)
    signed = "hashes" if public_key is None else f"hashes and signature by {public_key.name}"
    found.sound.append(f"{recipe.engine}: {signed}: {', '.join(sorted(model.manifest.files))}")
    entries = read_history(recipe.thresholds)
    if why := complaint(recipe.thresholds, entries):
        found.problems.append(why)
    else:
        found.sound.append(f"{recipe.thresholds}: {len(entries)} entries in its history")


def _verify_audit(settings: Station, found: Verified) -> None:
    folder = settings.data / AUDIT_FOLDER
    record = verify(folder, known=_known(settings.data / STATUS_FILE))
    last = (0, "") if record.last is None else (record.last.entry.number, record.last.sha256)
    found.audit = {"entries": record.entries, "first": record.first, "last": last[0], "sha256": last[1]}
    found.problems += record.problems
    if not record.problems:
        found.sound.append(f"{folder}: {record.entries} entries, the last is #{last[0]} with hash {last[1]}")


def _known(status: Path) -> tuple[int, str]:
    """What the running station has last said of its own record; none where that cannot be read."""
    try:
        said = json.loads(status.read_bytes())["audit"]
        return int(said["entries"]), str(said["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, ""
