"""The plugin door: find a kind by its entry point, check the options against its factory, open it.

Only the plugin named in the file is imported. A factory's keyword arguments and their types are its options; a `Path`
option is relative to the folder of the file it stands in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from edge_inspect.config import PluginBlock
from edge_inspect.errors import ConfigError, PluginError

Door = Literal["cameras", "runtimes", "outputs", "plc"]
Factory = Callable[..., AbstractContextManager[Any]]


def prepare(door: Door, block: PluginBlock, *, base: Path, given: Mapping[str, Any]) -> Callable[[], AbstractContextManager[Any]]:
    """Find the factory of `block.kind` and check its options; nothing is opened yet.

    Args:
        door: which kind of plugin.
        block: kind and options, as they stand in the file.
        base: folder that relative `Path` options are relative to.
        given: arguments that the station gives and a file may not.

    Returns:
        A call without arguments that gives the opened plugin's context manager.

    Raises:
        PluginError: no such kind is installed, or its module cannot be imported.
        ConfigError: an option is unknown, missing or out of range.
    """
    factory = load_factory(door, block.kind)
    return partial(factory, **_checked(door, block, factory, base, given), **given)


def load_factory(door: Door, kind: str) -> Factory:
    """Import the factory of one kind.

    Raises:
        PluginError: no such kind is installed (lists the installed ones), or its module cannot be imported.
    """
    found = installed(door)
    if kind not in found:
        raise PluginError(f"{door}: no kind {kind!r} is installed; installed are {', '.join(sorted(found))}")
    try:
        factory: Factory = found[kind].load()
    except ImportError as error:
        raise PluginError(
            f"{door}: kind {kind!r} needs a library that is missing: {error}; install the extra for it (docs/plugins.md)"
        ) from error
    return factory


def installed(door: Door) -> dict[str, EntryPoint]:
    """The installed kinds of one door by name; none of them is imported."""
    return {point.name: point for point in entry_points(group=f"edge_inspect.{door}")}


def _checked(door: Door, block: PluginBlock, factory: Factory, base: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(factory, include_extras=True)
    wanted = {
        name: (hints.get(name, Any), ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(factory).parameters.items()
        if name not in given
    }
    schema = create_model("Options", __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **wanted)  # type: ignore[call-overload]
    try:
        options = schema.model_validate(block.options)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(door, block.kind, sorted(wanted), fault) for fault in error.errors())) from error
    values = {name: getattr(options, name) for name in wanted}
    return {name: base / value if isinstance(value, Path) else value for name, value in values.items()}


def _sentence(door: Door, kind: str, wanted: list[str], fault: Any) -> str:
    option = ".".join(str(step) for step in fault["loc"])
    what = {
        "extra_forbidden": f"unknown option; options are {', '.join(wanted) or 'none'}",
        "missing": "is missing; add it",
    }.get(fault["type"], f"got {fault['input']!r}; {fault['msg']}")
    return f"{door}: {kind}: {option}: {what}"
