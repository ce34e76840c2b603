"""The `gate` block: units, and what cannot be is told with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_inspect.config import Gate, load_station
from edge_inspect.errors import ConfigError
from edge_inspect.gate.fitting import geometry_of

STATION = "name: cell\nrecipe: recipe.yaml\ncamera: simulated\ndeadline_ms: 100\ngate: {gate}\n"


def read(tmp_path: Path, gate: str) -> Gate:
    (tmp_path / "station.yaml").write_text(STATION.format(gate=gate))
    found = load_station(tmp_path / "station.yaml").gate
    assert found is not None
    return found


def test_without_an_encoder_lengths_are_milliseconds(tmp_path: Path):
    gate = read(tmp_path, "{distance: 840, pulse: 60, pitch: 120, lead: 10, least_on_ms: 5}")
    assert gate.unit == "ms"
    geometry = geometry_of(gate)
    assert (geometry.distance, geometry.pulse, geometry.lead) == (840_000_000, 60_000_000, 10_000_000)
    assert geometry.least_on_ns == 5_000_000
    assert geometry.sensor is None


def test_with_an_encoder_they_are_counts_or_millimetres(tmp_path: Path):
    counts = read(tmp_path, "{distance: 840, pulse: 60, pitch: 120, encoder: {kind: counter, path: /sys/c}}")
    assert (counts.unit, geometry_of(counts).distance) == ("counts", 840)
    encoder, sensor = "{kind: counter, path: /sys/c, counts_per_mm: 12.5}", "{distance: 700, window: 20, line: S}"
    text = f"{{distance: 840, pulse: 60, pitch: 120, encoder: {encoder}, sensor: {sensor}}}"
    mm = read(tmp_path, text)
    assert (mm.unit, geometry_of(mm).distance, geometry_of(mm).sensor, geometry_of(mm).window) == ("mm", 10_500, 8750, 250)


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("{distance: 840, pulse: 60, pitch: 0}", "pitch must be more than 0"),
        ("{distance: 840, pulse: 10, pitch: 50, lead: 10}", "pulse more than lead"),
        ("{distance: 840, pulse: 90, pitch: 60, lead: 10}", "reaches its neighbour, 60 away"),
        ("{distance: 840, pulse: 90, pitch: 60, lead: 70}", "reaches its neighbour, 60 away"),
        ("{distance: 5, pulse: 30, pitch: 60, lead: 10}", "lead is longer than distance"),
        ("{distance: 840, pulse: 30, pitch: 60, reverse: 60}", "reverse must be less than pitch"),
        ("{distance: 840, pulse: 30, pitch: 60, sensor: {distance: 700, window: 30, line: S}}", "less than half of pitch"),
        ("{distance: 840, pulse: 30, pitch: 60, lead: 10, sensor: {distance: 820, window: 20, line: S}}", "must lie before the point"),
        ("{distance: 840, pulse: 30, pitch: 60, encoder: {kind: gpio}}", "needs the line `a`"),
        ("{distance: 840, pulse: 30, pitch: 60, encoder: {kind: counter, a: 3}}", "needs the path of its count"),
        ("{distance: 840, pulse: 30, pitch: 60, encoder: {kind: counter, path: count}}", "the path of a counter is absolute"),
        ("{distance: 840, pulse: 30, pitch: 60, width: 3}", "width"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(tmp_path: Path, gate: str, says: str):
    with pytest.raises(ConfigError, match=r"station\.yaml:5: gate") as raised:
        read(tmp_path, gate)
    assert says in str(raised.value)
