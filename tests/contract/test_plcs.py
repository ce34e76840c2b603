"""The built-in PLC wires keep the promises that third parties are held to."""

from __future__ import annotations

from functools import partial

from edge_inspect.plugins import load_factory
from edge_inspect.testing import check_plc


def test_the_modbus_wire_keeps_its_promises():
    check_plc(partial(load_factory("plc", "modbus"), deadline_ms=1000.0, port=0))
