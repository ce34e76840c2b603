"""A station that names a public key runs what its owner signed, and nothing else."""

import shutil
import subprocess
import sys

import pytest

from edge_inspect.cli.main import main
from edge_inspect.errors import UntrustedModel
from edge_inspect.field.replay import replay
from tests.conftest import MODELS, write_part

pytest.importorskip("cryptography", reason="needs cryptography, the extra sign")


@pytest.fixture
def signed_cell(cell, capsys):
    """The station of `cell`, its engine signed, its public key named."""
    engine = shutil.copytree(MODELS / "tiny", cell / "engines" / "cell")
    write_part(cell / "calibration" / "cell", model=engine)
    assert main(["sign", "--model", str(engine), "--key", str(cell / "private.pem"), "--new-key"]) == 0
    with (cell / "station.yaml").open("a") as station:
        station.write("public_key: private.pub\n")
    capsys.readouterr()
    return cell


def said_by(verb, cell, capsys):
    """Exit code and standard error of a verb."""
    code = main([*verb, "--station", str(cell / "station.yaml")])
    return code, capsys.readouterr().err


def unsigned(cell):
    (cell / "engines" / "cell" / "manifest.json.sig").unlink()


def altered(cell):
    (cell / "engines" / "cell" / "model.onnx").write_bytes(b"other")


def signed_by_another(cell):
    assert main(["sign", "--model", str(cell / "engines" / "cell"), "--key", str(cell / "other.pem"), "--new-key"]) == 0


def test_a_signed_model_starts(signed_cell, capsys):
    assert said_by(["check"], signed_cell, capsys)[0] == 0


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (unsigned, "manifest.json.sig: cannot be read"),
        (altered, "is not the file that was made"),
        (signed_by_another, "or another key signed it"),
    ],
)
def test_another_model_is_refused_with_one_sentence_and_78(signed_cell, capsys, harm, words):
    harm(signed_cell)
    capsys.readouterr()
    code, said = said_by(["check"], signed_cell, capsys)
    assert code == 78
    assert words in said
    assert said.startswith("edge-inspect: ")
    assert said.count("\n") == 1


def test_a_station_that_is_started_with_it_ends_with_78_so_that_systemd_leaves_it(signed_cell):
    unsigned(signed_cell)
    words = [sys.executable, "-m", "edge_inspect", "run", "--station", str(signed_cell / "station.yaml")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 78
    assert "manifest.json.sig: cannot be read" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_calibration_refuses_it_too(signed_cell, capsys):
    unsigned(signed_cell)
    code, said = said_by(["calibrate", "--good", str(signed_cell / "parts")], signed_cell, capsys)
    assert code == 78
    assert "manifest.json.sig: cannot be read" in said


def test_a_bench_of_the_station_refuses_it_too(signed_cell, capsys):
    unsigned(signed_cell)
    code, said = said_by(["bench"], signed_cell, capsys)
    assert code == 78
    assert "manifest.json.sig: cannot be read" in said


def test_a_replay_refuses_it_too(signed_cell, monkeypatch):
    then = {"taken_at": "2026-11-26T12:00:00+00:00", "part_id": "", "recipe": "cell"}
    monkeypatch.setattr("edge_inspect.field.replay._record", lambda *_: then)
    monkeypatch.setattr("edge_inspect.field.replay._picture", lambda *_: signed_cell / "parts" / "0.png")
    unsigned(signed_cell)
    with pytest.raises(UntrustedModel, match="cannot be read"):
        replay(signed_cell / "station.yaml", 1)
