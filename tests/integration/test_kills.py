"""What the PLC has read stands in the database after kill -9, once; `tools/measure-kills` does the same hundreds of times."""

from __future__ import annotations

from .kills import Killing


def test_what_the_plc_has_read_is_recorded_once_whenever_the_process_is_killed(cell):
    station = cell / "station.yaml"
    station.write_text(station.read_text().replace("pace: trigger", "pace: trigger, loop: true"))
    toll = Killing(cell, port=int((cell / "port").read_text()), seed=20261126).go(6)
    assert (toll.lost, toll.doubled, toll.log_differs, toll.intact) == (0, 0, 0, True)
    assert toll.reported > 6
    assert toll.recorded >= toll.reported
