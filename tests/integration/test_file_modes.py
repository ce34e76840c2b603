"""Whoever starts the station by hand, with whatever umask: others read none of its files and enter none of its folders."""

from __future__ import annotations

import os
import signal

from edge_inspect.field.fake_plc import FakePlc

from .conftest import running


def test_others_read_nothing_of_a_station_that_was_used(cell):
    before = os.umask(0o022)
    try:
        with running(cell) as process:
            with FakePlc(port=int((cell / "port").read_text())) as plc:
                for _ in range(3):
                    plc.inspect_one()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    finally:
        os.umask(before)
    data = cell / "data"
    made = [data, *data.rglob("*")]
    assert {"status.json", "sequence", "station.lock", "acceptance.json", "inspections.sqlite"} <= {path.name for path in made}
    modes = {str(path.relative_to(cell)): oct(path.stat().st_mode & 0o777) for path in made}
    assert modes == {str(path.relative_to(cell)): "0o750" if path.is_dir() else "0o640" for path in made}
