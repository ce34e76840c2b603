"""A whole station on the kernel's own GPIO lines (gpio-sim, in a virtual machine): pulses, gate, taken lines, and what a kill leaves.

The guest is emulated some ten times slower than this machine, so bounds of time are wide; lengths of pulses are never too short.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gpiod", reason="gpiod is not installed (extra gpio)")

from tests.conftest import write_part
from tests.integration.conftest import picture
from tests.integration.gpio.guest import CannotRun, make_guest, run_in_guest
from tests.integration.gpio.in_guest import DISTANCE_MS, GATE_MS, LEAD_MS, PULSE_MS

ROOT = Path(__file__).parents[3]
LATE_MS = 6000.0
"""How late the emulated machine may be; its lengths are compared with this slack above, and with a watcher's step below."""
STEP_MS = 2500.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
Seen = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def seen() -> Seen:
    """What the guest saw, by what it was."""
    try:
        guest = make_guest()
    except CannotRun as error:
        pytest.skip(f"no virtual machine with GPIO lines: {error}")
    folder = Path(tempfile.mkdtemp(dir=ROOT / ".cache"))
    try:
        write_part(folder / "calibration" / "cell")
        for number in range(6):
            picture(folder / "parts" / f"{number}.png", spot=(16, 8, 8, 250) if number % 3 == 2 else None)
        script = shlex.quote(str(ROOT / "tests" / "integration" / "gpio" / "in_guest.py"))
        command = f"cd {shlex.quote(str(ROOT))}; PYTHONPATH=. {shlex.quote(sys.executable)} {script} {shlex.quote(str(folder))}"
        told = run_in_guest(guest, command)
    finally:
        shutil.rmtree(folder)
    lines = [line[line.index("SAW {") + 4 :] for line in told.splitlines() if "SAW {" in line]
    assert lines, told[-3000:]
    found: Seen = {}
    for fact in map(json.loads, lines):
        found.setdefault(fact["what"], []).append(fact)
    assert "gave up" not in found, told[-5000:]
    assert "stopped" in found, told[-5000:]
    print("\n".join(lines))
    return found


def test_a_machine_without_a_chip_a_line_and_a_chip_that_are_not_there_are_told(seen: Seen):
    assert "this machine has no GPIO chip" in seen["without a chip"][0]["text"]
    assert "'LAMP': no line of that name" in seen["chip"][0]["text"]
    assert "there is no chip 'gpiochip9'; this machine has /dev/gpiochip0 (cell-lines)" in seen["chip"][0]["other"]


def test_a_line_that_the_station_has_is_busy_for_everybody_else(seen: Seen):
    assert "is taken by 'edge-inspect'" in seen["busy line"][0]["text"]


def test_an_encoder_is_counted_forwards_and_back_without_losing_an_edge(seen: Seen):
    assert seen["encoder"][0]["counts"] == [400, 300, 500]
    assert seen["encoder"][0]["suspect"] == ""


def test_a_good_part_is_a_pulse_on_ok_and_passes_the_gate(seen: Seen):
    for part in seen["good part"]:
        assert len(part["ok_ms"]) == 1
        assert PULSE_MS - STEP_MS <= part["ok_ms"][0] <= PULSE_MS + LATE_MS
        assert part["ng_ms"] == part["fault_ms"] == part["gate_from_ms"] == []


def test_a_bad_part_is_a_pulse_on_ng_and_is_rejected_when_it_is_at_the_gate(seen: Seen):
    [part] = seen["bad part"]
    assert part["ok_ms"] == part["fault_ms"] == []
    assert len(part["ng_ms"]) == 1
    assert PULSE_MS - STEP_MS <= part["ng_ms"][0] <= PULSE_MS + LATE_MS
    assert len(part["gate_from_ms"]) == 1
    assert DISTANCE_MS - LEAD_MS <= part["gate_from_ms"][0] <= DISTANCE_MS - LEAD_MS + LATE_MS
    assert GATE_MS - STEP_MS <= part["gate_ms"][0] <= GATE_MS + LATE_MS


def test_kill_9_gives_every_line_back_to_its_resistor_and_the_gate_rejects(seen: Seen):
    """gpio-sim's pull is the resistor: down on all of them, and the gate and NG are active low."""
    assert seen["before kill"][0]["levels"]["READY"]
    assert seen["before kill"][0]["levels"]["GATE"]
    after = seen["after kill"][0]
    assert not any(after["levels"].values())
    assert after["again"] == "taken"


def test_a_clean_stop_rejects_and_says_nothing(seen: Seen):
    assert seen["stopped"][0]["code"] == 0
    assert not any(seen["stopped"][0]["levels"][name] for name in ("OK", "FAULT", "READY", "BUSY", "VALID", "GATE"))
