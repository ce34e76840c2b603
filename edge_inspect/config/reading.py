"""How a file that a person writes is read: strictly, and with all its mistakes at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from edge_inspect.config.mistakes import place, sentences, shortened
from edge_inspect.errors import ConfigError


class Written(BaseModel):
    """A part of a file that a person writes: unknown keys are mistakes, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Content = TypeVar("Content", bound=Written)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WrittenFile(Generic[Content]):
    """A file that was read.

    Attributes:
        path: the file.
        content: what stands in it.
        tree: the YAML nodes, which know their lines.
    """

    path: Path
    content: Content
    tree: yaml.Node

    def place_of(self, *steps: int | str) -> str:
        """File, line and key of a value: `station.yaml:7: camera.fps`."""
        return place(self.path, self.tree, steps)


def read_written(path: Path, schema: type[Content]) -> WrittenFile[Content]:
    """Read a YAML file. Values are taken as they stand: a number in quotes is no number, `true` is not 1, a date is text.

    Raises:
        ConfigError: the file cannot be read, or everything that is wrong in it, one sentence a line.
    """
    tree, as_json = _parsed(path, schema)
    try:
        content = schema.model_validate_json(as_json, strict=True)
    except ValidationError as error:
        raise ConfigError("\n".join(sentences(path, tree, schema, error))) from error
    return WrittenFile(path=path, content=content, tree=tree)


def read_bytes(path: Path) -> bytes:
    """Read a file that a person named.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check the path and the permissions") from error


class _Loader(yaml.SafeLoader):
    """YAML without dates: what looks like one stays text."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _parsed(path: Path, schema: type[Written]) -> tuple[yaml.Node, str]:
    """The file's nodes, and what it says as JSON: reading that strictly takes a list for a tuple, but converts nothing."""
    content = read_bytes(path)
    try:
        loader = _Loader(content)
        tree = loader.get_single_node()
        twice = sorted(_keys_given_twice(tree))
        value = None if tree is None else loader.construct_document(tree)
        as_json = json.dumps(value)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}; correct the line named") from error
    if twice:
        raise ConfigError("\n".join(f"{path}:{line}: {key}: is given twice; keep one" for line, key in twice))
    if tree is None or not isinstance(value, dict):
        raise ConfigError(f"{path}: expected keys and values, got {shortened(value)}; see {schema.__name__} in docs/configuration.md")
    return tree, as_json


def _keys_given_twice(tree: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Line and key of what YAML would read silently as the last of two."""
    seen: set[int] = set()
    waiting = [] if tree is None else [tree]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            yield from ((key.start_mark.line + 1, key.value) for i, key in enumerate(keys) if key.value in {k.value for k in keys[:i]})
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
