"""The plugin door: find a kind by its entry point, check the options against its factory, open it.

Only the plugin named in the file is imported. A factory's keyword arguments and their types are its options; a `Path`
option is relative to the folder of the file it stands in. Options are read as strictly as the file: `"25"` is no number.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, ValidationError, create_model

from edge_inspect.config import PluginBlock, explained, shortened
from edge_inspect.errors import ConfigError, PluginError
from edge_inspect.model_folder import PRECISION_FILES, ModelFolder

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
        PluginError: no such kind is installed, its module cannot be imported, or its factory does not take what is given.
        ConfigError: all options that are unknown, missing, of another type or out of range, one sentence a line.
    """
    factory = load_factory(door, block.kind)
    takes = _parameters(door, block.kind, factory)
    for name in given:
        if name not in takes:
            raise PluginError(f"{door}: kind {block.kind!r} does not take {name!r}, which the station gives; correct its factory")
    wanted = {name: parameter for name, parameter in takes.items() if name not in given}
    return partial(factory, **_checked(door, block, wanted, base), **given)


def load_factory(door: Door, kind: str) -> Factory:
    """Import the factory of one kind.

    Raises:
        PluginError: no such kind is installed (lists the installed ones), or its module cannot be imported.
    """
    found = installed(door)
    if kind not in found:
        raise PluginError(f"{door}: no kind {kind!r} is installed; installed are {', '.join(sorted(found)) or 'none'}")
    point = found[kind]
    try:
        factory: Factory = point.load()
    except (ImportError, OSError) as error:  # OSError: a vendor's library that does not load
        raise PluginError(
            f"{door}: kind {kind!r} needs a library that is missing: {error}; install the extra for it (docs/plugins.md)"
        ) from error
    except AttributeError as error:
        raise PluginError(f"{door}: kind {kind!r} names {point.value}, which is not there: {error}; install it again") from error
    return factory


def look_for_library(door: Door, block: PluginBlock) -> None:
    """Import what this plugin needs, as far as it says so (`protocols.needs`); nothing is opened.

    Raises:
        PluginError: it is missing.
    """
    look = getattr(load_factory(door, block.kind), "needs", None)
    if look is not None:
        look(block.options)


def served(model: ModelFolder, runtime: PluginBlock) -> tuple[ModelFolder, PluginBlock]:
    """The file of the model that a runtime block asks for by `precision`, and the block without that key: no runtime need know it.

    Raises:
        ConfigError: no such precision.
        EngineError: the model has no file of it.
    """
    asked = runtime.options.get("precision", "fp32")
    if asked not in PRECISION_FILES:
        raise ConfigError(
            f"{runtime.place_of('precision') or 'runtimes: precision'}: {asked!r} is none; write one of {', '.join(PRECISION_FILES)}"
        )
    return model.at(asked), runtime.without("precision")


def installed(door: Door) -> dict[str, EntryPoint]:
    """The installed kinds of one door by name; none of them is imported."""
    return {point.name: point for point in entry_points(group=f"edge_inspect.{door}")}


def _parameters(door: Door, kind: str, factory: Factory) -> dict[str, tuple[Any, Any]]:
    """Type and default (... if it has none) of each argument of a factory, a function or a class."""
    try:
        signature = inspect.signature(factory, eval_str=True)
    except NameError as error:
        raise PluginError(f"{door}: kind {kind!r} has an option of an unknown type: {error}; import it in its module") from error
    return {
        name: (
            Any if parameter.annotation is parameter.empty else parameter.annotation,
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for name, parameter in signature.parameters.items()
        if parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    }


def _checked(door: Door, block: PluginBlock, wanted: dict[str, tuple[Any, Any]], base: Path) -> dict[str, Any]:
    """The options with defaults, as strictly read as the file they stand in."""
    schema = create_model("Options", __config__=_STRICT, **wanted)  # type: ignore[call-overload]
    try:
        options = schema.model_validate_json(json.dumps(block.options, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(door, block, sorted(wanted), fault) for fault in error.errors())) from error
    return {name: _beside(base, getattr(options, name)) for name in wanted}


_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False, protected_namespaces=())


def _beside(base: Path, value: Any) -> Any:
    """Paths relative to the file they stand in, also several of them."""
    if isinstance(value, (list, tuple)):
        return type(value)(_beside(base, one) for one in value)
    return base / value if isinstance(value, Path) else value


def _sentence(door: Door, block: PluginBlock, wanted: list[str], fault: Any) -> str:
    option, *rest = map(str, fault["loc"])
    where = ".".join([block.place_of(option) or f"{door}: {block.kind}: {option}", *rest])
    what = {
        "extra_forbidden": f"unknown option; options are {', '.join(wanted) or 'none'}",
        "missing": "is missing; add it",
    }.get(fault["type"], explained(fault))
    return f"{where}: {what if not _is_secret(option) else what.replace(shortened(fault['input']), '***')}"


def _is_secret(option: str) -> bool:
    return any(word in option.lower() for word in ("password", "secret", "token"))
