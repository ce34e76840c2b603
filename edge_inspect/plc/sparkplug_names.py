"""The names of a station in Sparkplug, as they stand in the station file."""

from __future__ import annotations

from pydantic import Field

from edge_inspect.config import Written

_NAME = r"^[^/+#\x00]+$"


class Sparkplug(Written):
    """Be an Edge Node of Sparkplug B instead of publishing JSON.

    Attributes:
        group: Group ID.
        node: Edge Node ID, one of its own for each station.
        host: ID of the primary host: without it online the station waits, and keeps its results for it; None waits for nobody.
    """

    group: str = Field(pattern=_NAME, max_length=100)
    node: str = Field(pattern=_NAME, max_length=100)
    host: str | None = Field(default=None, pattern=_NAME, max_length=100)
