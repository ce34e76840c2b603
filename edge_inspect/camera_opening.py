"""Opens the camera of a station file, in this process or in a child of its own; as a program it is that child.

    python -m edge_inspect.camera_opening '{"commands": 3, "answers": 6, "lifeline": 7, "memory": 5}'

What to open comes as the first command and not on the command line: an address may hold a password.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.child_process import ChildProcess, Descriptors, end_with_parent
from edge_inspect.config import CameraBlock, Isolation, PluginBlock
from edge_inspect.plugins import prepare
from edge_inspect.protocols import Camera

if TYPE_CHECKING:
    from edge_inspect.cameras.isolated import Start
    from edge_inspect.cameras.shared_frames import FrameMemory

Opener = Callable[[], AbstractContextManager[Camera]]


def prepare_camera(block: CameraBlock, *, base: Path, follows: bool = True) -> Opener:
    """Find a camera's kind and check its options; nothing is opened yet.

    Args:
        block: kind and options, as they stand in the file.
        base: folder that relative `Path` options are relative to.
        follows: each exposure is a part; False where the PLC triggers each grab.

    Returns:
        A call without arguments that gives the opened camera's context manager.

    Raises:
        PluginError: no such kind is installed.
        ConfigError: all that is wrong with the options, a line each.
    """
    opener = prepare("cameras", block, base=base, given={"name": block.kind})
    return opener if block.isolated is None else _isolated(block, block.isolated, base, follows)


def main(there: Descriptors) -> None:
    """Be the child: open what the first command says, and serve frames."""
    from edge_inspect.cameras.isolated_child import serve_frames

    end_with_parent(there)
    order = json.loads(_first_line(there["commands"]))
    logging.basicConfig(stream=sys.stderr, level=order["log"], format="%(levelname)s %(name)s: %(message)s")
    block = PluginBlock.model_validate(order["camera"])
    serve_frames(prepare("cameras", block, base=Path(order["base"]), given={"name": block.kind}), there)


def _isolated(block: CameraBlock, limits: Isolation, base: Path, follows: bool) -> Opener:
    from edge_inspect.cameras.isolated import Patience, open_isolated

    patience = Patience(open_s=limits.open_timeout_ms / 1e3, answer_s=limits.hang_ms / 1e3)
    return partial(open_isolated, _starter(block, base), name=block.kind, patience=patience, follows=follows)


def _starter(block: CameraBlock, base: Path) -> Start:
    camera = {"kind": block.kind, **block.options}
    told = {"camera": camera, "base": str(base.absolute()), "log": logging.getLogger().getEffectiveLevel()}
    order = json.dumps(told, default=str).encode() + b"\n"

    def start(memory: FrameMemory) -> ChildProcess:
        child = ChildProcess(_command, shared={"memory": memory.descriptor})
        with contextlib.suppress(BrokenPipeError):  # it has ended already, and is found so when it is asked
            child.tell(order)
        return child

    return start


def _command(there: Descriptors) -> list[str]:
    return [sys.executable, "-m", "edge_inspect.camera_opening", json.dumps(there)]


def _first_line(commands: int) -> bytes:
    """Byte by byte: what comes behind it is for somebody else."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(commands, 1)
        if not byte:
            sys.exit(0)
        line += byte
    return line


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
