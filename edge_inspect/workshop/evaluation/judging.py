"""Every labelled picture through the line's own `inspect`: verdict, score, map and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np

from edge_inspect.cameras.pictures import read_picture
from edge_inspect.datatypes import CellMask, Frame, Placement, ScoreMap, UInt8Image, Verdict
from edge_inspect.errors import CameraError, ConfigError, PartNotLocated
from edge_inspect.inspector import Finding, Inspector
from edge_inspect.workshop.evaluation.labelled import Labelled
from edge_inspect.workshop.evaluation.shortcuts import Look, look_at

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def silent(_doing: str, _done: int, _total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What the engine saw of one picture.

    Attributes:
        score_map: (h, w) float32, finite, engine units.
        placement: where the network's image lay in the frame.
        searched: (h, w) bool, the cells that the recipe searches.
    """

    score_map: ScoreMap
    placement: Placement
    searched: CellMask


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What the line says of one labelled picture.

    Attributes:
        image: the picture and its label.
        verdict: OK, NG or FAULT.
        score: image score, engine units; None for a part that was not inspected (FAULT).
        seen: the score map and its place; None likewise.
        frame_width, frame_height: of the picture [px].
        duration_ms: of `inspect`, without reading the file [ms].
        look: how the picture looks without any engine, one number for each of `shortcuts.LOOKS`.
    """

    image: Labelled
    verdict: Verdict
    score: float | None
    seen: Seen | None
    frame_width: int
    frame_height: int
    duration_ms: float
    look: Look

    @property
    def rejected(self) -> bool:
        """Whether the part leaves as reject: NG, or FAULT, which is not inspected."""
        return self.verdict is not Verdict.OK


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """All pictures that could be judged, and why the others could not."""

    judged: tuple[Judged, ...]
    refused: tuple[str, ...]


def judge(inspector: Inspector, images: Sequence[Labelled], progress: Progress = silent) -> Judgement:
    """Inspect every picture. One that cannot be read or does not fit the recipe is named; the rest goes on.

    Raises:
        ConfigError: no good or no defective picture could be judged.
        EngineError: the engine failed on a picture.
    """
    judged: list[Judged] = []
    refused: list[str] = []
    for number, image in enumerate(images):
        try:
            judged.append(_judged(inspector, image, number))
        except CameraError as error:
            refused.append(f"{image.name}: {error}")
        progress("judging", number + 1, len(images))
    _refuse_one_sided(judged, refused)
    return Judgement(judged=tuple(judged), refused=tuple(refused))


def frame_from_pixels(pixels: UInt8Image, *, number: int, name: str) -> Frame:
    """A frame as a camera would deliver it, exposed now."""
    return Frame(
        pixels=pixels,
        sequence=number,
        exposed_ns=time.monotonic_ns(),
        taken_at=datetime.now(timezone.utc),
        camera="evaluate",
        part_id=name,
    )


def median_ms(judged: Sequence[Judged]) -> float:
    """Median time of one inspection [ms]."""
    return float(np.median([one.duration_ms for one in judged]))


def finding_of(inspector: Inspector, frame: Frame) -> Finding | None:
    """What is found; None where the part is not inspected: no part is located in the frame, or a score is not finite.

    Raises:
        CameraError: the frame has another size than the recipe is made for.
        EngineError: the engine failed on this frame.
    """
    try:
        finding = inspector.inspect(frame)
    except PartNotLocated:
        return None
    return None if finding.verdict is Verdict.FAULT else finding


def _judged(inspector: Inspector, image: Labelled, number: int) -> Judged:
    frame = frame_from_pixels(read_picture(image.picture), number=number, name=image.name)
    started = time.perf_counter_ns()
    finding = finding_of(inspector, frame)
    duration_ms = (time.perf_counter_ns() - started) / 1e6
    height, width = frame.pixels.shape[:2]
    return Judged(
        image=image,
        verdict=finding.verdict if finding else Verdict.FAULT,
        score=finding.score if finding else None,
        seen=_seen(inspector, frame, finding) if finding else None,
        frame_width=width,
        frame_height=height,
        duration_ms=duration_ms,
        look=look_at(frame.pixels),
    )


def _seen(inspector: Inspector, frame: Frame, finding: Finding) -> Seen:
    """The map is copied: it may be the engine's own buffer."""
    searched = inspector.view(inspector.cleaned(frame)).searched
    return Seen(score_map=finding.scores.map.copy(), placement=finding.placement, searched=searched)


def _refuse_one_sided(judged: Sequence[Judged], refused: Sequence[str]) -> None:
    missing = [what for what, good in (("good", True), ("defective", False)) if not any(one.image.good is good for one in judged)]
    if missing:
        raise ConfigError(
            f"no {' and no '.join(missing)} picture could be judged: {'; '.join(_first(refused))}; correct them or the recipe"
        )


def _first(refused: Sequence[str]) -> Iterator[str]:
    yield from refused[:3]
    if len(refused) > 3:
        yield f"and {len(refused) - 3} more"
