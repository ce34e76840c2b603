"""What the journal can be asked for: each kind of event has an id of its own (`MESSAGE_ID=`), and fields beside its text.

    journalctl -u edge-inspect@cell-3 MESSAGE_ID=3c5f4a0f2f4b4e0c8a5a2d6b0a2e9f11 -o json --output-fields=PART,VERDICT,MESSAGE

The ids never change; docs/service.md lists them, and systemd/edge-inspect.catalog explains each to `journalctl -x`.
"""

from __future__ import annotations

import enum
from typing import Any

KEY = "journal"
"""Where a record of `logging` carries its fields."""


class Event(enum.Enum):
    """Kinds of events, by their id in the journal."""

    PART_FAULT = "7d8c0f6e1b1a4c5f9a4f2c7be3d05a10"
    ALARM = "b0f4d2a9c6e84f0f8f8b5a1d3c7e9b21"
    ALARM_OVER = "e2a71c5b9d3f4a6c8b0d6f4e2a1c3b32"
    THRESHOLDS = "4f9b3e7d1c5a4b8e9d2f6a0c8e7b5d43"
    JOB = "9a6d1e3f5b7c4d2e8f0a4c6b2d9e7f54"
    RECOVERED = "c3e5a7b9d1f24e6c8a0b3d5f7c9e1a65"
    PUT_ASIDE = "1f3d5b7a9c0e4f2d8b6a4c2e0f9d7b76"


def fields(event: Event, **values: object) -> dict[str, Any]:
    """`extra=` of a log call: the event and what belongs to it; names become upper case, as the journal has them."""
    told = {name.upper(): str(value) for name, value in values.items()}
    return {KEY: {"MESSAGE_ID": event.value, **told}}
