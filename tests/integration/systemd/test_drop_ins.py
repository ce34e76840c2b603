"""The drop-ins on a real systemd: what they open is reached through them, and is refused without."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from .stations import another, documented, drop_in

pytestmark = [pytest.mark.nspawn, pytest.mark.slow]

SERIAL = "4", "64"  # the kernel's first serial port, under a name that no other machine uses
LINE = "/dev/ttyS9"
OPENS = f"""Type=oneshot
Restart=no
RuntimeMaxSec=infinity
ExecStartPre=
ExecStart=
ExecStart=/bin/sh -c 'stat {LINE} && exec 3<{LINE} && echo opened as $(id -un)'
"""
"""Instead of the station: the sandbox stays the unit's, and that of its drop-ins."""


@pytest.fixture
def line(machine, installed):
    """A serial line, of the group that Debian gives it."""
    machine.run("mknod", "-m", "660", LINE, "c", *SERIAL)
    machine.run("chgrp", "dialout", LINE)
    try:
        if machine.run("sh", "-c", f"exec 3<{LINE}", check=False).returncode:
            pytest.skip("this kernel has no serial port that could be opened")
        yield LINE
    finally:
        machine.run("rm", LINE)


@pytest.mark.parametrize(
    ("drop_ins", "said"),
    [
        ((), "No such file or directory"),
        (("usb-camera.conf",), f"cannot open {LINE}"),  # devices are there; this one is not given
        (("serial.conf",), "opened as edge-inspect"),
        (("gige-vision-camera.conf", "gpu.conf", "serial.conf", "gate.conf"), "opened as edge-inspect"),
    ],
)
def test_a_serial_line_is_opened_through_its_drop_in_and_by_no_other_way(machine, line, drop_ins, said):
    unit = "edge-inspect@serial.service"
    for group in ("video", "render", "dialout"):
        machine.run("groupadd", "--force", "--system", group)
    documented(machine, unit, *drop_ins)
    drop_in(machine, unit, OPENS)
    since = machine.run("date", "+%F %T.%6N").stdout.strip()
    machine.run("systemctl", "start", unit, check=False)
    told = machine.journal(unit, "--since", since)
    assert said in told
    assert ("opened" in told) == (said == "opened as edge-inspect")


@pytest.mark.parametrize("allowed", [False, True])
def test_the_gate_has_its_real_time_priority_through_its_drop_in(machine, installed, allowed):
    bare = (
        "systemd-run",
        "--wait",
        "--pipe",
        "-p",
        "User=edge-inspect",
        "-p",
        "LimitRTPRIO=50",
        "-p",
        "CPUWeight=1000",
        "chrt",
        "-f",
        "40",
        "true",
    )
    if allowed and machine.run(*bare, check=False).returncode:
        pytest.skip("this machine gives no service a real-time priority")
    name = f"gate-{allowed}".lower()
    unit = f"edge-inspect@{name}.service"
    another(machine, name, trigger="camera\ngate: {distance: 2000, pulse: 100, lead: 20, pitch: 200, priority: 40}")
    documented(machine, unit, *(["gate.conf"] if allowed else []))
    try:
        machine.run("systemctl", "start", unit)
        pid = machine.wait(unit, SubState="running")["MainPID"]
        told = machine.journal(unit)
        kinds = machine.run("ps", "-L", "-o", "cls=,rtprio=", "-p", pid).stdout.splitlines()
    finally:
        machine.run("systemctl", "stop", unit)
    assert [line.split() for line in kinds].count(["FF", "40"]) == allowed, told
    assert ("gate: priority 40 is not allowed here" in told) != allowed


@pytest.mark.parametrize(
    ("name", "blocks", "runs"),
    [
        ("opcua", {"plc": "{{kind: opcua, pki: /var/lib/edge-inspect/opcua/pki, username: plc, password_file: {file}}}"}, "no alarms"),
        ("camera", {"camera": '{{kind: opencv, source: "http://viewer@127.0.0.1:9/", password_file: {file}}}'}, "ALARM camera"),
    ],
)
def test_a_password_comes_as_a_credential_that_the_stations_user_cannot_read_on_disk(machine, installed, name, blocks, runs):
    unit, secret = f"edge-inspect@{name}.service", f"/etc/edge-inspect/{name}/{name}-password"
    file = f"/run/credentials/{unit}/{name}-password"
    another(machine, name, **{key: block.format(file=file) for key, block in blocks.items()})
    (machine.root / secret[1:]).write_text("let me in\n")
    (machine.root / secret[1:]).chmod(0o600)
    try:
        machine.run("systemctl", "start", unit, check=False)
        machine.wait(unit, ActiveState="failed", ExecMainStatus="78")
        assert f"password_file: {file} cannot be read" in machine.journal(unit)
        documented(machine, unit, f"{name}-password.conf")
        machine.run("systemctl", "reset-failed", unit)
        machine.run("systemctl", "start", "--no-block", unit)
        until = time.monotonic() + 30
        while runs not in (line := machine.show(unit, "StatusText")["StatusText"]) and time.monotonic() < until:
            time.sleep(0.1)
        assert runs in line
        pid = machine.show(unit, "MainPID")["MainPID"]
        assert machine.run("runuser", "-u", "edge-inspect", "--", "cat", secret, check=False).returncode
        assert "let me in" not in machine.run("cat", f"/proc/{pid}/environ").stdout + machine.journal(unit)
    finally:
        machine.run("systemctl", "stop", unit, check=False)


BROKER = """listener 1883 127.0.0.1
allow_anonymous false
password_file /etc/broker-passwords
"""


def test_the_password_of_a_broker_comes_as_a_credential_that_no_file_of_the_station_holds(machine, installed):
    if shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    unit = "edge-inspect@secret.service"
    folder = machine.root / "etc/edge-inspect/secret"
    credential = f"/run/credentials/{unit}/mqtt-password"
    mqtt = f"{{kind: mqtt, host: 127.0.0.1, port: 1883, tls: false, topic: a/b, username: cell-3, password_file: {credential}}}"
    another(machine, "secret", plc=mqtt)
    (folder / "mqtt-password").write_text("let me in\n")
    (folder / "mqtt-password").chmod(0o600)
    (machine.root / "etc/broker.conf").write_text(BROKER)
    machine.run("mosquitto_passwd", "-c", "-b", "/etc/broker-passwords", "cell-3", "let me in")
    machine.run("chmod", "644", "/etc/broker-passwords")
    machine.run("systemd-run", "--unit=broker", "/usr/sbin/mosquitto", "-c", "/etc/broker.conf")
    documented(machine, unit, "mqtt-password.conf")
    try:
        machine.run("systemctl", "start", unit)
        until = time.monotonic() + 30
        while "u'cell-3'" not in (said := machine.journal("broker")) and time.monotonic() < until:
            time.sleep(0.1)
        assert "u'cell-3'" in said
        assert "no alarms" in machine.wait(unit, SubState="running")["StatusText"]
        pid = machine.show(unit, "MainPID")["MainPID"]
        refused = machine.run("runuser", "-u", "edge-inspect", "--", "cat", "/etc/edge-inspect/secret/mqtt-password", check=False)
        assert refused.returncode
        assert "let me in" not in machine.run("cat", f"/proc/{pid}/environ").stdout
    finally:
        machine.run("systemctl", "stop", unit, "broker", check=False)
