"""Which control actions lie between two levels of what a PLC writes. Pure. Triggers and acknowledgements are routine and none."""

from __future__ import annotations

from collections.abc import Iterator

from edge_inspect.datatypes import Deed
from edge_inspect.plc.signals import Control


def deeds_between(before: Control, after: Control) -> Iterator[tuple[Deed, str]]:
    """Each with what it is about. A job change is the handshake's to judge, and not among them."""
    if after.set_offline is not before.set_offline:
        yield Deed.ONLINE, _level(not after.set_offline)
    if after.trigger_enable is not before.trigger_enable:
        yield Deed.TRIGGER_ENABLE, _level(after.trigger_enable)
    if after.buffer_results_enable is not before.buffer_results_enable:
        yield Deed.RESULTS_BUFFER, _level(after.buffer_results_enable)
    if after.clear_error and not before.clear_error:
        yield Deed.SOFT_RESET, ""


def _level(on: bool) -> str:
    return "on" if on else "off"
