"""What somebody who helps from afar needs of a station, as one archive without a secret in it.

What cannot be had is no reason to give nothing: it is named in `contents.json`, with why.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml

from edge_inspect import __version__
from edge_inspect.audit import AUDIT_FOLDER, last_entries, shown
from edge_inspect.cameras.redaction import HIDDEN, redacted
from edge_inspect.config import Station, load_station
from edge_inspect.errors import EdgeInspectError, OutputError
from edge_inspect.field.device import device_facts
from edge_inspect.outputs.history import recent
from edge_inspect.service.live import STATUS_FILE

RECORDS = 100
ACTIONS = 1000
LOG_LINES = 5000
JOURNAL_S = 20
BUNDLE_MODE = 0o600

_SECRET_NAME = re.compile(r"(?i)pass|secret|token|pwd|credential|auth|private|api_?key|community")
# For a file that is no YAML: a secret's name, a colon, and all that follows on the line.
_SECRET_LINE = re.compile(r"(?im)^(.*(?:pass|secret|token|pwd|credential|auth|private|api_?key|community)\w*[\"']?\s*:).*$")


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was found, by its name in the archive, and what was not, with why."""

    files: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, get: Callable[[], str]) -> None:
        """Put one file in, or say why it is not there."""
        try:
            self.files[name] = redacted(get())
        except (EdgeInspectError, OSError, subprocess.SubprocessError, ValueError) as error:
            self.missing[name] = redacted(str(error))


def collect(station_file: Path) -> Bundle:
    """Files without secrets, status, the last records, the journal, versions, facts of the device."""
    bundle = Bundle()
    bundle.take("station.yaml", lambda: without_secrets(station_file.read_text("utf-8", errors="replace")))
    bundle.take("device.json", lambda: json.dumps(_device(station_file), indent=2))
    bundle.take("versions.txt", lambda: "".join(f"{name}\n" for name in sorted({f"{d.name}=={d.version}" for d in distributions()})))
    bundle.take("journal.txt", lambda: _journal(station_file))
    try:
        settings = load_station(station_file)
    except EdgeInspectError as error:
        bundle.missing["status, records, recipes"] = redacted(str(error))
    else:
        _take_what_the_station_names(bundle, settings, station_file.resolve().parent)
    return bundle


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Write the archive; only its owner may read it.

    Raises:
        OutputError: it cannot be written.
    """
    contents = {"software": __version__, "made_at": _now().isoformat(), "files": sorted(bundle.files), "missing": bundle.missing}
    files = {"contents.json": json.dumps(contents, indent=2), **bundle.files}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, BUNDLE_MODE)
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in files.items():
                _add(archive, f"{path.name.removesuffix('.tar.gz')}/{name}", text.encode("utf-8", errors="backslashreplace"))
    except OSError as error:
        raise OutputError(f"{path}: the bundle cannot be written: {error.strerror}; give another place by --out") from error


def bundle_name(station_file: Path) -> str:
    """`edge-inspect-support-<station>-<time>.tar.gz`."""
    return f"edge-inspect-support-{station_file.resolve().parent.name or 'station'}-{_now():%Y%m%dT%H%M%SZ}.tar.gz"


def without_secrets(text: str) -> str:
    """A YAML file with the values of all keys that are named like a secret hidden. Comments go: one may hold a password too."""
    try:
        return yaml.safe_dump(_hidden(yaml.safe_load(text)), sort_keys=False, allow_unicode=True)
    except yaml.YAMLError:
        return _SECRET_LINE.sub(rf"\1 {HIDDEN}", text)


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: HIDDEN if _SECRET_NAME.search(str(key)) else _hidden(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hidden(inner) for inner in value]
    return redacted(value) if isinstance(value, str) else value


def _take_what_the_station_names(bundle: Bundle, settings: Station, base: Path) -> None:
    bundle.take("status.json", lambda: (settings.data / STATUS_FILE).read_text("utf-8"))
    bundle.take("audit.jsonl", lambda: _actions(settings.data / AUDIT_FOLDER))
    for count, recipe in enumerate(dict.fromkeys((settings.recipe, *settings.jobs.values()))):
        bundle.take(f"recipes/{count}/recipe.yaml", lambda recipe=recipe: without_secrets(recipe.read_text("utf-8")))  # type: ignore[misc]
        bundle.take(f"recipes/{count}/thresholds.json", lambda recipe=recipe: _thresholds(recipe).read_text("utf-8"))  # type: ignore[misc]
    for path in _databases(settings, base):
        bundle.take(f"records/{path.name}.jsonl", lambda path=path: "".join(f"{json.dumps(one)}\n" for one in recent(path, RECORDS)))  # type: ignore[misc]


def _actions(folder: Path) -> str:
    return "".join(f"{json.dumps(shown(entry))}\n" for entry in last_entries(folder, ACTIONS))


def _thresholds(recipe: Path) -> Path:
    named = yaml.safe_load(recipe.read_text("utf-8")).get("thresholds")
    return recipe.parent / (named or "thresholds.json")


def _databases(settings: Station, base: Path) -> Iterator[Path]:
    return (base / block.options["path"] for block in settings.outputs if block.kind == "database" and "path" in block.options)


def _device(station_file: Path) -> dict[str, object]:
    disk = shutil.disk_usage(station_file.resolve().parent)
    return {**device_facts(), "disk_free_bytes": disk.free, "disk_bytes": disk.total, "now": _now().isoformat()}


def _journal(station_file: Path) -> str:
    """The journal of the service that runs this station, as systemd/ installs it: the instance is the folder's name."""
    unit = f"edge-inspect@{station_file.resolve().parent.name}.service"
    command = ["journalctl", "--no-pager", "-o", "short-iso-precise", "-n", str(LOG_LINES), "-u", unit]
    said = subprocess.run(command, capture_output=True, text=True, timeout=JOURNAL_S, check=False, errors="replace")  # noqa: S603
    if said.returncode:
        raise OutputError(f"journalctl -u {unit}: {said.stderr.strip() or 'failed'}; run this as root or in the group systemd-journal")
    return said.stdout


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(content), int(_now().timestamp()), 0o640
    archive.addfile(entry, io.BytesIO(content))


def _now() -> datetime:
    return datetime.now(timezone.utc)
