"""The built-in PLC wires keep the promises that third parties are held to."""

from __future__ import annotations

from functools import partial

import pytest

from edge_inspect.plugins import load_factory
from edge_inspect.testing import check_plc


def test_the_modbus_wire_keeps_its_promises():
    check_plc(partial(load_factory("plc", "modbus"), deadline_ms=1000.0, port=0))


def test_the_opcua_wire_keeps_its_promises(tmp_path):
    pytest.importorskip("asyncua", reason="asyncua is not installed (extra opcua)")
    check_plc(partial(load_factory("plc", "opcua"), deadline_ms=1000.0, port=0, pki=tmp_path / "pki"))
