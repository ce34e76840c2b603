"""`edge-inspect support` where a real journal holds what the installed service has said."""

from __future__ import annotations

import json
import tarfile

import pytest

from .conftest import UNIT

STATION = "/etc/edge-inspect/example/station.yaml"
BUNDLE = "srv/support.tar.gz"

pytestmark = [pytest.mark.nspawn, pytest.mark.slow]


def test_the_bundle_holds_the_journal_of_this_station_and_its_records(machine, station):
    said = machine.run("edge-inspect", "support", "--station", STATION, "--out", f"/{BUNDLE}", "--json", PYTHONPATH="/srv/site-packages")
    assert json.loads(said.stdout)["missing"] == {}
    with tarfile.open(machine.root / BUNDLE) as archive:
        names = [member.name.split("/", 1)[1] for member in archive.getmembers()]
        files = {name: archive.extractfile(member).read().decode() for name, member in zip(names, archive.getmembers(), strict=True)}
    journal = machine.run("journalctl", "--no-pager", "-o", "short-iso-precise", "-u", UNIT).stdout.splitlines()
    held = files["journal.txt"].splitlines()
    assert held == journal[: len(held)]  # the service may have said more since
    assert any("Started" in line and UNIT in line for line in held)
    assert f"[{station['MainPID']}]" in files["journal.txt"]
    assert files["records/inspections.sqlite.jsonl"].splitlines()
