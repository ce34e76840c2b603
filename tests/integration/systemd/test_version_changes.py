"""The installer on a machine without a network: install, the same again, upgrade, refuse, roll back, remove. In this order."""

from __future__ import annotations

import pytest

from .conftest import UNIT, install

pytestmark = [pytest.mark.nspawn, pytest.mark.slow]


def version(machine):
    return machine.run("readlink", "-f", "/opt/edge-inspect/current").stdout.strip()


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


@pytest.mark.parametrize(
    ("bundle", "told"),
    [("tampered", "is not the one that requirements.txt names"), ("refuses", "would not start with"), ("never-ready", "is back and Ready")],
)
def test_a_version_that_cannot_serve_leaves_or_brings_back_the_one_before(machine, station, bundle, told):
    before = version(machine)
    refused = install(machine, bundle, "--ready-s", "4", check=False)
    assert refused.returncode == 1
    assert told in refused.stderr
    assert version(machine) == before
    now = machine.show(UNIT, "MainPID", "SubState")
    assert now["SubState"] == "running"
    assert (now["MainPID"] == station["MainPID"]) is (bundle != "never-ready")
    assert len(machine.run("ls", "/opt/edge-inspect/versions").stdout.split()) == 1


def test_an_upgrade_restarts_what_runs_and_keeps_the_version_before(machine, station):
    before = version(machine)
    said = install(machine, "second").stdout
    assert f"is installed and Ready: {UNIT}" in said
    assert version(machine) != before
    assert machine.show(UNIT, "SubState") == {"SubState": "running"}
    assert before.rsplit("/", 1)[1] in machine.run("ls", "/opt/edge-inspect/versions").stdout.split()


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
