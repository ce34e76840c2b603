"""The installer on a machine without a network: install, the same again, upgrade, refuse, roll back, remove. In this order."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from .conftest import UNIT, install
from .machine import ENVIRONMENT, PYTHON

pytestmark = [pytest.mark.nspawn, pytest.mark.slow]


WAITS = "edge-inspect@waits.service"
DATABASE = "var/lib/edge-inspect/example/inspections.sqlite"


def version(machine):
    return machine.run("readlink", "-f", "/opt/edge-inspect/current").stdout.strip()


def parts_in(file):
    """The counts in a database."""
    with closing(sqlite3.connect(file)) as connection:
        return [row[0] for row in connection.execute("SELECT sequence FROM inspections ORDER BY sequence")]


def steps_of(file):
    """How many steps the tables of a database have been through."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def recorded_beyond(machine, count):
    """Wait until the running station has recorded a part after this one."""
    until = time.monotonic() + 20
    while parts_in(machine.root / DATABASE)[-1:] <= [count]:
        assert time.monotonic() < until, machine.journal(UNIT)[-2000:]
        time.sleep(0.2)


def newer_asides(machine):
    files = (machine.root / DATABASE).parent.glob("*.newer-*")
    return [file for file in files if not file.name.endswith(("-wal", "-shm"))]


def pyvenv(machine):
    return (machine.root / version(machine).lstrip("/") / "pyvenv.cfg").read_text()


def test_it_installs_offline_what_the_bundle_names_and_an_example_station(machine, installed):
    assert "an example station lies in /etc/edge-inspect/example" in installed
    assert "is installed" in installed
    assert machine.run("stat", "-c", "%U %a", "/etc/edge-inspect/example/station.yaml").stdout == "root 640\n"
    assert machine.run("edge-inspect", "--version", PYTHONPATH="/srv/site-packages").stdout.startswith("edge-inspect ")


def test_the_same_bundle_again_changes_nothing(machine, station):
    before = version(machine)
    assert "runs already; nothing was changed" in install(machine, "first").stdout
    assert version(machine) == before
    assert machine.show(UNIT, "MainPID", "SubState") == {"MainPID": station["MainPID"], "SubState": "running"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("bundle", "told", "ready_s"),
    [
        ("tampered", "is not the one that requirements.txt names", 12),
        ("refuses", "would not start with", 12),
        ("never-ready", "is back and Ready", 12),
        ("wider-schema", "is back and Ready", 90),  # these end for good when they have changed the tables, and are not awaited
        ("newer-schema", "is back and Ready", 90),
    ],
)
def test_a_version_that_cannot_serve_leaves_or_brings_back_the_one_before_with_its_records(machine, station, bundle, told, ready_s):
    recorded_beyond(machine, 0)
    before, parts, steps = version(machine), parts_in(machine.root / DATABASE), steps_of(machine.root / DATABASE)
    refused = install(machine, bundle, "--ready-s", str(ready_s), check=False)
    assert told in refused.stderr
    assert refused.returncode == 1
    assert version(machine) == before
    now = machine.show(UNIT, "MainPID", "SubState")
    assert now["SubState"] == "running"
    assert (now["MainPID"] == station["MainPID"]) is (bundle in {"tampered", "refuses"})
    assert len(machine.run("ls", "/opt/edge-inspect/versions").stdout.split()) == 1
    recorded_beyond(machine, parts[-1])
    if bundle != "newer-schema":
        assert parts_in(machine.root / DATABASE)[: len(parts)] == parts
        assert newer_asides(machine) == []
        assert steps_of(machine.root / DATABASE) == steps + (bundle == "wider-schema")


def test_the_database_that_a_newer_version_has_changed_lies_aside_and_the_count_went_on(machine, station):
    [aside] = newer_asides(machine)
    assert parts_in(machine.root / DATABASE)[0] > parts_in(aside)[-1]
    wanted = f"was written by a newer program and lies aside as {aside.name}"
    assert wanted in machine.show(UNIT, "StatusText")["StatusText"]
    machine.run("rm", f"/{aside.relative_to(machine.root)}")


def test_an_upgrade_restarts_what_runs_and_keeps_the_version_before(machine, station):
    before = version(machine)
    said = install(machine, "second").stdout
    assert f"is installed and Ready: {UNIT}" in said
    assert version(machine) != before
    assert machine.show(UNIT, "SubState") == {"SubState": "running"}
    assert "include-system-site-packages = false" in pyvenv(machine)
    assert before.rsplit("/", 1)[1] in machine.run("ls", "/opt/edge-inspect/versions").stdout.split()


@pytest.fixture
def waiting(machine, station):
    """Beside the example a station whose camera is absent."""
    machine.run("cp", "-a", "/etc/edge-inspect/example", "/etc/edge-inspect/waits")
    file = machine.root / "etc/edge-inspect/waits/station.yaml"
    away = 'camera: {kind: opencv, source: "http://127.0.0.1:9/"}'
    lines = [away if line.startswith("camera:") else line for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines).replace("/example", "/waits").replace("1502", "1503") + "\n")
    machine.run("systemctl", "start", "--no-block", WAITS)
    yield machine.wait(WAITS, ActiveState="activating")
    machine.run("systemctl", "stop", WAITS)


def test_an_upgrade_does_not_wait_for_a_station_that_waits_for_its_camera(machine, waiting):
    before = version(machine)
    said = install(machine, "first", "--ready-s", "20").stdout
    assert f"is installed and Ready: {UNIT}; not awaited, since it was not Ready before: {WAITS}" in said
    assert version(machine) != before
    now = machine.wait(WAITS, ActiveState="activating")
    assert machine.run("readlink", f"/proc/{now['MainPID']}/cwd").returncode == 0
    assert now["MainPID"] not in {"0", waiting["MainPID"]}


def test_an_extra_is_asked_of_the_index_beside_those_of_a_station(machine, station):
    before = version(machine)
    environment = {**ENVIRONMENT, "PYTHONPATH": f"/srv/bundles/checkout/no-pip:{ENVIRONMENT['PYTHONPATH']}"}
    script = ("/srv/bundles/checkout/systemd/install", "--python", str(PYTHON))
    refused = machine.run(*script, "--extra", "pylon", "--extra", "gpu", check=False, **environment)
    assert "asked for /srv/bundles/checkout[station,pylon,gpu]" in refused.stderr
    assert refused.returncode == 1
    assert version(machine) == before
    assert "--extra is for a checkout" in install(machine, "first", "--extra", "pylon", check=False).stderr


def test_removing_it_keeps_stations_and_records_unless_told_otherwise(machine, station):
    assert "are kept" in install(machine, "first", "--uninstall").stdout
    assert machine.run("systemctl", "is-active", UNIT, check=False).stdout.strip() == "inactive"
    assert not (machine.root / "opt/edge-inspect").exists()
    assert not (machine.root / "etc/systemd/system/edge-inspect@.service").exists()
    assert (machine.root / "var/lib/edge-inspect/example/inspections.sqlite").exists()
    install(machine, "first", "--uninstall", "--purge")
    for left in ("etc/edge-inspect", "var/lib/edge-inspect", "var/log/edge-inspect", "usr/local/bin/edge-inspect"):
        assert not (machine.root / left).exists()
    assert machine.run("id", "edge-inspect", check=False).returncode


def test_on_a_jetson_the_environment_sees_the_packages_of_the_system(machine, installed):
    release = machine.root / "etc/nv_tegra_release"
    release.touch()
    try:
        install(machine, "first")
        assert "include-system-site-packages = true" in pyvenv(machine)
    finally:
        release.unlink()
        install(machine, "first", "--uninstall", "--purge")
