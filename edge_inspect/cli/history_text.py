"""The history of thresholds in words, for a terminal of 100 columns; times are those of the clock on the wall."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from textwrap import wrap

from edge_inspect.cli.words import local
from edge_inspect.thresholds import Thresholds
from edge_inspect.thresholds.history import Entry, differences

COLUMNS = 100
_INDENT = " " * 6
_KEY_WIDTH = 24
_HASH = 64
_BECOMES = "->"


def entry_lines(entry: Entry) -> Iterator[str]:
    """One entry: who, when and why, then what was put in force, how it was made, and what for."""
    thresholds, change = entry.thresholds, entry.change
    yield from heading(entry)
    good, defective = thresholds.sample.images, len(change.defective_frames)
    limits = f"{thresholds.calibration_id}: image {thresholds.image_threshold:.4g}, pixel {thresholds.pixel_threshold:.4g}"
    yield from _told("in force", f"{limits}; from {good} good parts{f' and {defective} defective' if defective else ''}")
    yield from _told("rule", thresholds.rule)
    yield from _told("bound", bound_of(thresholds))
    yield from _told("made for", f"engine {thresholds.engine_sha256[:12]}, recipe {thresholds.recipe_sha256[:12]}")


def heading(entry: Entry) -> list[str]:
    """Who, when and why."""
    change = entry.change
    said = f"#{entry.number:<4} {local(entry.at)} {change.by}: {change.action}, {change.reason}"
    return wrap(said, COLUMNS, subsequent_indent=_INDENT)


def bound_of(thresholds: Thresholds) -> str:
    """What was promised, and how surely."""
    if thresholds.false_reject_bound is None:
        return "none"
    if thresholds.confidence is None:  # as older versions wrote it
        return thresholds.promise
    return f"at most {thresholds.false_reject_bound:.2%} of good parts rejected, with {100 * thresholds.confidence:g} % confidence"


def difference_lines(before: Entry, after: Entry) -> Iterator[str]:
    """Who and why of both entries, then every value that differs."""
    yield from [*heading(before), *heading(after)]
    changed = differences(before, after)
    if not changed:
        yield "the same thresholds"
    for key, values in changed.items():
        old, new = (_shown(key, value) for value in values)
        one = f"{key:{_KEY_WIDTH}} {old} {_BECOMES} {new}"
        yield from [one] if len(one) <= COLUMNS else [*_row(key, old), *_row(_BECOMES, new)]


def _told(name: str, text: str) -> list[str]:
    return wrap(f"{_INDENT}{name:9} {text}", COLUMNS, subsequent_indent=" " * 16)


def _row(key: str, text: str) -> list[str]:
    return wrap(f"{key:{'>' if key == _BECOMES else '<'}{_KEY_WIDTH}} {text}", COLUMNS, subsequent_indent=" " * (_KEY_WIDTH + 1))


def _shown(key: str, value: object) -> str:
    """A value as people read it: hashes short, times local, and `-` for none."""
    if key.endswith("_at") and isinstance(value, str):
        return f"{datetime.fromisoformat(value.replace('Z', '+00:00')).astimezone():%Y-%m-%d %H:%M:%S}"
    text = "-" if value is None or value == "" else str(value)
    return text[:12] if len(text) == _HASH and " " not in text else text
