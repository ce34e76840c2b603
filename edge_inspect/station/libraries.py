"""Looks for the libraries of everything that a station file names, without opening any of it: for `check`, before an upgrade."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from edge_inspect.config import Station as Settings
from edge_inspect.digital_io import import_gpiod
from edge_inspect.errors import PluginError
from edge_inspect.gate.fitting import needs_gpio
from edge_inspect.plugins import look_for_library
from edge_inspect.service.metrics import refuse_without_prometheus_client


def look_for_libraries(settings: Settings) -> None:
    """Import what camera, wires, outputs, gate and metrics need. The runtime's library is imported as the engine opens.

    Raises:
        PluginError: all that is missing, a line each.
    """
    missing = list(dict.fromkeys(filter(None, map(_missing, _looks(settings)))))
    if missing:
        raise PluginError("\n".join(missing))


def _looks(settings: Settings) -> Iterator[Callable[[], object]]:
    yield partial(look_for_library, "cameras", settings.camera)
    yield from (partial(look_for_library, "plc", block) for block in settings.plc)
    yield from (partial(look_for_library, "outputs", block) for block in settings.outputs)
    if settings.gate is not None and needs_gpio(settings.gate):
        yield partial(import_gpiod, "gate")
    if settings.metrics is not None:
        yield refuse_without_prometheus_client


def _missing(look: Callable[[], object]) -> str:
    try:
        look()
    except PluginError as error:
        return str(error)
    return ""
