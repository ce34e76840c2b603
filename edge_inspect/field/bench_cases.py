"""What one run of the bench measures: every engine in every runtime, precision and number of threads, on every size of frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_inspect.cameras.pictures import Channels
from edge_inspect.config import PluginBlock, Recipe
from edge_inspect.datatypes import Frame
from edge_inspect.errors import ConfigError
from edge_inspect.field.bench_frames import frame_size, make_frames, read_frames
from edge_inspect.field.benchmark import Bench, open_bench
from edge_inspect.model_folder import ModelFolder

Size = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One thing to measure.

    Attributes:
        model: verified model folder.
        recipe: how its part is inspected; None inspects the whole frame.
        runtime: kind and options.
        size: width and height of the frame [px].
        channels: of the frame, 1 or 3.
        images: folder of pictures to show; None shows the golden frames.
    """

    model: ModelFolder
    recipe: Recipe | None
    runtime: PluginBlock
    size: Size
    channels: Channels
    images: Path | None = None

    def frames(self) -> tuple[Frame, ...]:
        """What is shown.

        Raises:
            CameraError: the pictures cannot be read, or have another size.
            ConfigError: the recipe's region of interest reaches out of the frame.
        """
        width, height = self.size
        if self.images is None:
            return make_frames(self.model, width, height, self.channels, recipe=self.recipe)
        return read_frames(self.images, channels=self.channels)

    def described(self, frames: Sequence[Frame]) -> dict[str, Any]:
        """How the row of a report begins; `comparison.IDENTITY` is in it."""
        width, height, channels = frame_size(frames)
        return {
            "model": self.model.manifest.model,
            "engine_sha256": self.model.engine_sha256,
            "runtime": self.runtime.kind,
            "precision": self.runtime.options.get("precision", "fp32"),
            "threads": self.runtime.options.get("threads") or None,
            "network": self.model.manifest.input.model_dump(),
            "frame": {"width": width, "height": height, "channels": channels},
        }


def runtimes_of(block: PluginBlock, *, kinds: Sequence[str], precisions: Sequence[str], threads: Sequence[int]) -> list[PluginBlock]:
    """The runtime block in every combination of what is asked for; what is not asked for stays as it is."""
    choices: tuple[tuple[str, Sequence[Any]], ...] = (("kind", kinds), ("precision", precisions), ("threads", threads))
    asked = [(key, values) for key, values in choices if values]
    own = {"kind": block.kind, **block.options}
    combined = itertools.product(*(values for _, values in asked))
    return [PluginBlock.model_validate({**own, **dict(zip((key for key, _ in asked), values, strict=True))}) for values in combined]


def size_of(recipe: Recipe | None, given: Size | None) -> Size:
    """The frame's size [px]: the recipe's, else the one given, else 1024 x 1024.

    Raises:
        ConfigError: another one is given than the recipe is made for.
    """
    if recipe is None or recipe.frame is None:
        return given or (1024, 1024)
    wanted = (recipe.frame.width, recipe.frame.height)
    if given not in {None, wanted}:
        raise ConfigError(f"--size {given[0]}x{given[1]}: the recipe is made for frames of {wanted[0]} x {wanted[1]}; leave --size out")
    return wanted


@contextmanager
def open_cases(cases: Sequence[Case]) -> Iterator[list[tuple[Bench, tuple[Frame, ...]]]]:
    """Open all of them at once, so that they can be timed in turns.

    Raises:
        EdgeInspectError: one cannot be opened, or its frames cannot be made.
    """
    with ExitStack() as stack:
        yield [(stack.enter_context(open_bench(case.model, case.runtime, case.recipe)), case.frames()) for case in cases]
