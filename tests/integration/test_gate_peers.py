"""The gate's two bits as mbpoll (libmodbus, written by nobody here) reads them at the addresses of docs/gate.md."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from edge_inspect.datatypes import GateShown
from edge_inspect.plc.modbus import open_modbus

REJECT = 1621
pytestmark = pytest.mark.skipif(shutil.which("mbpoll") is None, reason="the package mbpoll is not installed")


def bits(port: int) -> tuple[bool, ...]:
    """Two discrete inputs from `REJECT` on; mbpoll counts from 1."""
    command = ["mbpoll", "-m", "tcp", "-p", str(port), "-a", "1", "-t", "1", "-r", str(REJECT + 1), "-c", "2", "-1", "127.0.0.1"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return tuple(value == "1" for value in re.findall(r"^\[\d+\]:\s+(\d)", told, re.MULTILINE))


@pytest.mark.parametrize("shown", [GateShown(), GateShown(reject=True), GateShown(reject=True, clearing=True)])
def test_mbpoll_sees_what_the_gate_shows(shown: GateShown):
    with open_modbus(deadline_ms=1000, port=0) as plc:
        plc.show_gate(shown)
        assert bits(plc.bound_port) == (shown.reject, shown.clearing)
