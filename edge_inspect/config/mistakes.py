"""What is wrong in a file, in the words of the person who writes it: file, line, key, value, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

Steps = tuple[int | str, ...]
"""The way to a value: keys, and positions in lists."""

WORDS = {
    "Input should": "should",
    "a valid array": "a list",
    "an object": "keys and values",
    "a valid string": "text; put it in quotes",
    "a valid boolean": "true or false",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    ", unable to parse string as an integer": "",
    "String should": "should",
    "Tuple should": "should",
    " after validation": "",
}
"""pydantic's words, and those of a person who writes YAML."""


def sentences(path: Path, tree: yaml.Node, schema: type[BaseModel], error: ValidationError) -> Iterator[str]:
    """One sentence for each mistake, in the order of their lines."""
    for fault in sorted(_causes(error), key=lambda fault: _line_of(tree, fault["loc"])):
        steps = tuple(step for step in fault["loc"] if step != "[key]")
        yield f"{place(path, tree, steps)}: {_what_to_write(schema, fault)}"


def place(path: Path, tree: yaml.Node, steps: Steps) -> str:
    """File, line and key of a value; for a missing one the line of the block that lacks it."""
    steps = _as_written(tree, steps)
    return f"{path}:{_line_of(tree, steps)}: {'.'.join(map(str, steps)) or '(whole file)'}"


def explained(fault: Any) -> str:
    """What is wrong with a value, from one entry of `ValidationError.errors()`."""
    message: str = fault["msg"].removeprefix("Value error, ")
    for theirs, ours in WORDS.items():
        message = message.replace(theirs, ours)
    return message if fault["type"] == "value_error" else f"got {shortened(fault['input'])}; {message}"


def first_mistake(error: ValidationError) -> str:
    """The first mistake of a file that a tool wrote: whoever reads it will not mend it, but make it anew."""
    fault = error.errors()[0]
    if fault["type"] in {"missing", "extra_forbidden", "json_invalid"}:
        return ": ".join([*map(str, fault["loc"]), fault["msg"]])
    way = [str(step) for step in fault["loc"] if not str(step).startswith("literal[")]  # which kind of value was tried is no key
    return f"{'.'.join(way) or '(whole file)'}: {explained(fault)}"


def shortened(value: object) -> str:
    """The value as Python shows it, cut to what fits into a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _causes(error: ValidationError) -> Iterator[Any]:
    """The mistakes, without those that follow from one within (a list is too short because one of its values is wrong)."""
    faults = error.errors()
    for fault in faults:
        way = fault["loc"]
        if not any(len(other["loc"]) > len(way) and other["loc"][: len(way)] == way for other in faults):
            yield fault


def _what_to_write(schema: type[BaseModel], fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        known = sorted(_keys_at(schema, fault["loc"][:-1]))
        close = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        return f"unknown key; {f'did you mean {close[0]}?' if close else 'write one of ' + ', '.join(known)}"
    return "is missing; add it" if fault["type"] == "missing" else explained(fault)


def _keys_at(schema: type[BaseModel], steps: Steps) -> Iterator[str]:
    """Keys that the block at the end of the way may have."""
    if not steps:
        yield from schema.model_fields
    elif isinstance(steps[0], int):
        yield from _keys_at(schema, steps[1:])
    else:
        for inner in _models_in(schema.model_fields[steps[0]].annotation):
            yield from _keys_at(inner, steps[1:])


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    arguments = get_args(annotation)
    for argument in arguments:
        yield from _models_in(argument)
    if not arguments and isinstance(annotation, type) and issubclass(annotation, BaseModel):  # 3.10 takes tuple[int] for a type
        yield annotation


def _as_written(node: yaml.Node | None, steps: Steps) -> Steps:
    """The way without positions in a list that was written as its only entry."""
    written: list[int | str] = []
    for step in steps:
        if isinstance(step, int) and isinstance(node, (yaml.MappingNode, yaml.ScalarNode)):
            continue
        written.append(step)
        _, node = _child(node, step)
    return tuple(written)


def _line_of(node: yaml.Node | None, steps: Steps) -> int:
    line = 0 if node is None else node.start_mark.line
    for step in steps:
        key, node = _child(node, step)
        line = line if key is None else key.start_mark.line
    return line + 1


def _child(node: yaml.Node | None, step: int | str) -> tuple[yaml.Node | None, yaml.Node | None]:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(step)), (None, None))
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None, None
