"""Challenges of a station are another program's; the record looks for what it has left: `challenge.json` in the station's data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_inspect.datatypes import Action, Deed, Outcome, Peer

CHALLENGE_FILE = "challenge.json"


class ChallengeLook:
    """Gives a challenge made since the last look. One made while no station ran is in its own file only."""

    def __init__(self, data: Path) -> None:
        """What stands there now is an older one."""
        self._path = data / CHALLENGE_FILE
        self._seen = _version(self._path)

    def __call__(self) -> Iterator[Action]:
        """The new one, if there is one."""
        version = _version(self._path)
        if version == self._seen:
            return
        self._seen = version
        try:
            newest = json.loads(self._path.read_bytes())["challenges"][-1]
            yield _action(newest)
        except (OSError, ValueError, LookupError, TypeError):  # not a challenge's: nothing to say
            return


def _action(found: dict[str, Any]) -> Action:
    parts, engine = found["parts"], found["bound"]["engine"]
    count = len(parts) if isinstance(parts, list) else 0
    return Action(
        deed=Deed.CHALLENGE,
        outcome=Outcome.DONE if found["passed"] else Outcome.FAILED,
        by=Peer(user=str(found["by"])),
        subject=f"{count} golden parts of {found['part']}",
        reason=f"{found['how']}, engine {engine['engine_sha256']}, calibration {engine['calibration_id']}, {found['made_at']}",
    )


def _version(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns
