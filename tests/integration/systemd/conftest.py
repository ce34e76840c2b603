"""One booted machine for the tests of a module here, with the service installed offline and the example station on it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

from .bundle import build_bundle, changed_bundle, checkout_without_index, tampered_bundle
from .machine import ENVIRONMENT, PYTHON, Machine, NoMachine, must_be_possible

UNIT = "edge-inspect@example.service"
# What the tests change: where a moved interpreter finds its packages, and a watchdog that they need not wait ten seconds for.
DROP_IN = f"""[Service]
Environment={" ".join(f"{key}={value}" for key, value in ENVIRONMENT.items())}
WatchdogSec=2
"""
LAST_STEP = "    Migration(_VERSION_3, only_adds=True),\n"
ADDS = """Migration(("ALTER TABLE inspections ADD COLUMN shift TEXT NOT NULL DEFAULT ''",), only_adds=True)"""
CHANGES = 'Migration(("ALTER TABLE inspections RENAME COLUMN verdict TO said",), only_adds=False)'
NEWER_SCHEMAS = {"wider-schema": ADDS, "newer-schema": f"{ADDS},\n    {CHANGES}"}  # tried in this order on one database


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """Folder of bundles by name; the machine sees it as /srv/bundles."""
    folder = tmp_path_factory.mktemp("bundles")
    try:
        first = build_bundle(folder / "first")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"pip builds no wheel here, which needs setuptools from an index: {error.stderr.decode()[-300:]}")
    run = "edge_inspect/cli/run.py"
    changed_bundle(first, folder / "second", file="edge_inspect/cli/status.py", old="no alarms", new="no alarm")
    changed_bundle(first, folder / "never-ready", file=run, old="station.run(", new="(lambda *_, **__: stop.wait())(")
    ends = changed_bundle(first, folder / "ends", file=run, old="station.run(", new="(lambda *_, **__: exit(78))(")
    for name, step in NEWER_SCHEMAS.items():
        changed_bundle(ends, folder / name, file="edge_inspect/outputs/schema.py", old=LAST_STEP, new=f"{LAST_STEP}    {step},\n")
    changed_bundle(
        first, folder / "refuses", file="edge_inspect/cli/check.py", old='"""Check; 0', new='raise SystemExit("no")\n    """Check; 0'
    )
    tampered_bundle(first, folder / "tampered")
    checkout_without_index(folder / "checkout")
    return folder


@pytest.fixture(scope="module")
def machine(request):
    """The machine, nothing installed; skips where none can be booted. Off after the module: other tests count this process's children."""
    try:
        must_be_possible()
    except NoMachine as error:
        pytest.skip(str(error))
    bundles = request.getfixturevalue("bundles")  # only now: building them takes seconds
    folder = Path(tempfile.mkdtemp(prefix="edge-inspect-machine-", dir="/run" if Path("/run").is_dir() else None))
    try:
        with Machine(folder, {bundles: "/srv/bundles"}) as booted:
            yield booted
    except NoMachine as error:
        pytest.skip(str(error))
    finally:
        folder.rmdir()


def install(machine, bundle, *words, check=True):
    """Run the bundle's own installer on the machine, without a network."""
    script = f"/srv/bundles/{bundle}/systemd/install"
    offline = [] if "--uninstall" in words else ["--offline", f"/srv/bundles/{bundle}", "--python", str(PYTHON)]
    return machine.run(script, *offline, *words, check=check, **ENVIRONMENT)


@pytest.fixture(scope="module")
def installed(machine):
    """The machine with the first version and the example station, as the installer leaves it; what it said."""
    said = install(machine, "first").stdout
    folder = machine.root / "etc/systemd/system/edge-inspect@.service.d"
    folder.mkdir()
    (folder / "tests.conf").write_text(DROP_IN)
    machine.run("systemctl", "daemon-reload")
    return said


@pytest.fixture
def station(machine, installed):
    """The example station, Ready."""
    machine.run("systemctl", "reset-failed", UNIT, check=False)
    started = machine.run("systemctl", "start", UNIT, check=False)
    assert started.returncode == 0, f"{started.stderr}\n{machine.journal(UNIT)[-3000:]}"
    return machine.wait(UNIT, SubState="running")
