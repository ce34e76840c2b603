"""The bundle: what is in it, and that no secret is."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import replace

import pytest

from edge_inspect.audit import open_audit
from edge_inspect.cli.main import main
from edge_inspect.config import Audit
from edge_inspect.datatypes import Action, Deed, Outcome, Peer
from edge_inspect.errors import OutputError
from edge_inspect.field import support
from edge_inspect.field.support import collect, without_secrets, write_bundle
from edge_inspect.outputs.database import open_database
from edge_inspect.testing import sample_inspections
from tests.conftest import write_part

RECORDED, KEPT = 150, 100
SECRETS = ("hunter2", "s3same", "swordfish", "letmein")


@pytest.fixture
def station(tmp_path):
    folder = tmp_path / "cell-3"
    write_part(folder / "part")
    file = folder / "station.yaml"
    file.write_text(
        """name: cell-3
recipe: part/recipe.yaml
# the camera's password is letmein
camera: {kind: opencv, source: "rtsp://user:hunter2@10.0.0.7/stream?token=s3same", password: swordfish}
deadline_ms: 100
outputs:
  - {kind: database, path: data/inspections.sqlite}
"""
    )
    (folder / "data").mkdir()
    (folder / "data" / "status.json").write_text('{"state": "ready", "url": "rtsp://user:hunter2@10.0.0.7"}')
    with open_database(station="cell-3", path=folder / "data" / "inspections.sqlite") as database:
        for sequence in range(1, RECORDED + 1):
            database.emit(replace(sample_inspections()[sequence % len(sample_inspections())], sequence=sequence))
    with open_audit(folder / "data", Audit()) as audit:
        audit.note(Action(deed=Deed.JOB, outcome=Outcome.DONE, wire="modbus", by=Peer("10.0.0.7"), subject="job 3"))
    return file


@pytest.fixture(autouse=True)
def journal(monkeypatch):
    """A machine whose journal says a line with a password in it."""

    def run(command, **_):
        assert command[-1] == "edge-inspect@cell-3.service"
        return subprocess.CompletedProcess(command, 0, "camera rtsp://user:hunter2@10.0.0.7: away\n", "")

    monkeypatch.setattr(support.subprocess, "run", run)


def read(path):
    with tarfile.open(path) as archive:
        return {member.name.split("/", 1)[1]: archive.extractfile(member).read().decode() for member in archive.getmembers()}


def test_it_holds_what_a_helper_needs_and_no_secret(station, tmp_path, capsys):
    out = tmp_path / "bundle.tar.gz"
    assert main(["support", "--station", str(station), "--out", str(out)]) == 0
    files = read(out)
    assert set(files) == {
        *("contents.json", "station.yaml", "device.json", "versions.txt", "journal.txt", "status.json", "audit.jsonl"),
        *("recipes/0/recipe.yaml", "recipes/0/thresholds.json", "records/inspections.sqlite.jsonl"),
    }
    assert [secret for secret in SECRETS if any(secret in text for text in files.values())] == []
    assert "10.0.0.7" in files["station.yaml"]
    records = [json.loads(line)["sequence"] for line in files["records/inspections.sqlite.jsonl"].splitlines()]
    assert records == list(range(RECORDED, RECORDED - KEPT, -1))  # the last hundred, newest first
    assert [json.loads(line)["subject"] for line in files["audit.jsonl"].splitlines()] == ["job 3"]
    assert "numpy==" in files["versions.txt"]
    assert json.loads(files["device.json"])["disk_free_bytes"] > 0
    assert json.loads(files["contents.json"])["missing"] == {}
    assert out.stat().st_mode & 0o777 == 0o600
    assert "look through it before you send it" in capsys.readouterr().out


def test_what_cannot_be_had_is_named_and_the_rest_is_there(station, tmp_path, monkeypatch, capsys):
    def refused(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "no journal files were found")

    monkeypatch.setattr(support.subprocess, "run", refused)
    (station.parent / "data" / "inspections.sqlite").unlink()
    out = tmp_path / "bundle.tar.gz"
    assert main(["support", "--station", str(station), "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert "no journal files were found; run this as root" in said["missing"]["journal.txt"]
    assert "there is no database" in said["missing"]["records/inspections.sqlite.jsonl"]
    assert "status.json" in said["files"]
    main(["support", "--station", str(station), "--out", str(tmp_path / "b.tar.gz")])
    assert "not in it: journal.txt" in capsys.readouterr().out


def test_a_station_file_that_is_no_yaml_goes_in_without_its_secrets(station):
    station.write_text("camera: {password: swordfish, source: [\nmy_token: s3same\n")
    bundle = collect(station)
    assert "swordfish" not in bundle.files["station.yaml"]
    assert "s3same" not in bundle.files["station.yaml"]
    assert "my_token: ***" in bundle.files["station.yaml"]
    assert "status, records, recipes" in bundle.missing


@pytest.mark.parametrize(
    "text",
    ["password: hunter2", "plc: {mqtt_password: hunter2}", "a:\n  - {apiKey: hunter2}", "secret: |\n  hunter2\n  more", "auth: [hunter2]"],
)
def test_a_value_named_like_a_secret_is_hidden_however_it_is_written(text):
    assert "hunter2" not in without_secrets(text)


def test_an_archive_that_is_there_is_not_overwritten(station, tmp_path):
    out = tmp_path / "bundle.tar.gz"
    out.touch()
    with pytest.raises(OutputError, match="cannot be written: File exists; give another place"):
        write_bundle(collect(station), out)
