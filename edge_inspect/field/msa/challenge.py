"""Golden parts at shift start: every good one must be OK and every defective one NG, or the station is not to be trusted.

From stored pictures, shown to an engine that is opened here; or laid before the running station's own camera, where the lamp counts too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from edge_inspect import __version__
from edge_inspect.cameras.pictures import list_pictures
from edge_inspect.challenges import Bound, Challenge, GoldenPart, bound_to
from edge_inspect.challenges.record import How, boot_id, uptime_s
from edge_inspect.challenges.showing import ASKED_FILE, Said, answers
from edge_inspect.datatypes import Verdict
from edge_inspect.errors import ConfigError, EdgeInspectError
from edge_inspect.field.msa.showing import show
from edge_inspect.inspector import Inspector
from edge_inspect.login import who
from edge_inspect.service.asked import Request
from edge_inspect.service.live import STATUS_FILE, read_status

EXPECTED = {"good": Verdict.OK, "bad": Verdict.NG}

BEGINS_WITHIN_S = 10.0
"""A running station looks for golden parts twice a second."""

LOOK_EVERY_S = 0.05

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def challenge(inspector: Inspector, folder: Path, progress: Progress) -> Challenge:
    """Show the golden parts in `good/` and `bad/` of the folder (sub-folders too) to the engine, under the thresholds in force.

    Raises:
        CameraError: one of both folders is missing, or holds no picture.
    """
    golden = [(path, verdict) for kind, verdict in EXPECTED.items() for path in list_pictures(folder / kind, recursive=True)]
    parts = []
    for done, (path, expected) in enumerate(golden, start=1):
        shown = show(inspector, path)
        parts.append(
            GoldenPart(
                name=path.relative_to(folder).as_posix(),
                expected=expected,
                verdict=shown.verdict,
                reason=shown.reason,
                score=shown.score,
                sha256=shown.sha256,
            )
        )
        progress("showing", done, len(golden))
    return _made(
        parts,
        "stored pictures",
        bound_to(inspector.binding, inspector.recipe, recipe_sha256=inspector.recipe.sha256),
        inspector.recipe.part,
    )


def challenge_live(data: Path, kinds: Sequence[str], *, patience_s: float, told: Callable[[str], None]) -> Challenge:
    """Have the running station show what is laid before its camera; its PLC is told FAULT for every part until this is over.

    Args:
        data: the station's data folder.
        kinds: `good` or `bad` of each golden part, in the order in which they are laid down; some of both.
        patience_s: longest wait for one of them [s].
        told: called with one line for whoever lays them down.

    Raises:
        EdgeInspectError: no station runs there, or no part came.
        ConfigError: only good parts, or only bad ones; or engine or thresholds changed meanwhile.
    """
    if set(kinds) != set(EXPECTED):
        raise ConfigError("--show: golden parts must be of both kinds, or nothing is proved; as --show good bad")
    name = f"{datetime.now(timezone.utc).isoformat()} {os.getpid()}"
    _refuse_without_a_station(data)
    request = Request(data / ASKED_FILE, {"asked": name})
    try:
        _wait_until_it_begins(data, request)
        shown = []
        for number, kind in enumerate(kinds, start=1):
            told(f"lay down     golden part {number} of {len(kinds)}: a {'good' if kind == 'good' else 'defective'} one, and trigger it")
            shown.append(_next(data, name, number, patience_s, request))
        return _of_what_was_said(shown, kinds, _part_of(data))
    finally:
        request.withdraw()


def _of_what_was_said(shown: Sequence[Said], kinds: Sequence[str], part: str) -> Challenge:
    bound = shown[0].bound
    if any(said.bound != bound for said in shown):
        raise ConfigError("engine or thresholds changed while golden parts were shown, so nothing is proved; show them again")
    parts = [
        GoldenPart(
            name=f"{number} {kind} (inspection {said.sequence}{' ' + said.part_id if said.part_id else ''})",
            expected=EXPECTED[kind],
            verdict=said.verdict,
            reason=said.reason,
            score=said.score,
        )
        for number, (kind, said) in enumerate(zip(kinds, shown, strict=True), start=1)
    ]
    return _made(parts, "live parts", bound, part)


def _made(parts: Sequence[GoldenPart], how: How, bound: Bound, part: str) -> Challenge:
    return Challenge(
        passed=all(one.right for one in parts),
        how=how,
        part=part,
        by=who(),
        made_at=datetime.now(timezone.utc),
        boot=boot_id(),
        uptime_s=uptime_s(),
        bound=bound,
        software=f"edge-inspect {__version__}",
        parts=tuple(parts),
    )


def _refuse_without_a_station(data: Path) -> None:
    state = read_status(data / STATUS_FILE)["state"]
    if state not in {"ready", "challenge due"}:
        raise EdgeInspectError(f"{data}: the station is {state}; golden parts are shown to one that runs, and one challenge at a time")


def _part_of(data: Path) -> str:
    return str(read_status(data / STATUS_FILE).get("recipe", ""))


def _wait_until_it_begins(data: Path, request: Request) -> None:
    for _ in _waiting(request, BEGINS_WITHIN_S):
        if read_status(data / STATUS_FILE)["state"] == "challenge":
            return
    raise EdgeInspectError(f"{data}: the station did not begin to show golden parts within {BEGINS_WITHIN_S:.0f} s; see its log")


def _next(data: Path, name: str, number: int, patience_s: float, request: Request) -> Said:
    """The answer to the golden part of this number, in the order of their triggers."""
    for _ in _waiting(request, patience_s):
        found = list(answers(data, name))
        if len(found) >= number:
            return found[number - 1]
    raise EdgeInspectError(f"{data}: no part came for {patience_s:.0f} s; nothing was written, the station goes on as it was")


def _waiting(request: Request, patience_s: float) -> Iterator[None]:
    """Look again and again until patience ends, and let the station know that somebody does."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        request.keep_up()
        yield
        time.sleep(LOOK_EVERY_S)
