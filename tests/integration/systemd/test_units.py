"""The units as systemd-analyze reads them, without a systemd that runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from .machine import ROOT

SYSTEMD = ROOT / "systemd"
UNIT = "edge-inspect@.service"
DROP_INS = sorted(path.name for path in (SYSTEMD / "drop-ins").glob("*.conf"))
CAMERAS = ("usb-camera.conf", "usb3-vision-camera.conf", "gige-vision-camera.conf")
WORK = ("gpu.conf", "gpio.conf", "gate.conf", "serial.conf", "port-502.conf", "mqtt-password.conf")
"""What a station may need beside its camera."""

STATIONS = [
    (),
    *((name,) for name in DROP_INS),
    *((camera, *work) for camera in CAMERAS for number in (1, len(WORK) - 1, len(WORK)) for work in combinations(WORK, number)),
    tuple(DROP_INS),
]
LARGEST_EXPOSURE = "20"  # tenths

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here; Debian: apt-get install systemd")


@pytest.fixture
def unit(tmp_path):
    """The unit with a program that is there."""
    text = (SYSTEMD / UNIT).read_text().replace("/opt/edge-inspect/current/bin/edge-inspect", str(Path(sys.executable).resolve()))
    (tmp_path / UNIT).write_text(text)
    return tmp_path / UNIT


def analyze(*words, cwd):
    return subprocess.run(["systemd-analyze", *words], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("drop_ins", STATIONS, ids=lambda names: "+".join(name.removesuffix(".conf") for name in names) or "none")
def test_systemd_reads_unit_and_drop_ins_without_a_word_and_exposure_is_small(unit, drop_ins):
    folder = unit.with_name(UNIT + ".d")
    folder.mkdir()
    for drop_in in drop_ins:
        shutil.copy(SYSTEMD / "drop-ins" / drop_in, folder)
    verified = analyze("verify", f"./{UNIT}", cwd=unit.parent)
    assert (verified.returncode, verified.stderr) == (0, "")
    secured = analyze("security", "--offline=true", f"--threshold={LARGEST_EXPOSURE}", f"./{UNIT}", cwd=unit.parent)
    assert secured.returncode == 0, secured.stdout.splitlines()[-1]


def test_a_word_that_systemd_does_not_know_would_be_seen(unit):
    unit.write_text(unit.read_text().replace("WatchdogSec=10", "WatchdogSecs=10"))
    assert "WatchdogSecs" in analyze("verify", f"./{UNIT}", cwd=unit.parent).stderr


def test_every_drop_in_stands_on_the_page():
    page = (SYSTEMD / "README.md").read_text()
    assert [name for name in DROP_INS if f"`{name}`" not in page] == []
