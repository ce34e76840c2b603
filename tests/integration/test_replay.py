"""What replay needs and does not find, one sentence each."""

from __future__ import annotations

import signal

import pytest

from edge_inspect.cli.main import main
from edge_inspect.field.fake_plc import FakePlc

from .conftest import running


@pytest.fixture
def served(cell, monkeypatch):
    """A station that has inspected one part and stopped."""
    monkeypatch.chdir(cell)
    with running(cell) as process:
        with FakePlc(port=int((cell / "port").read_text())) as plc:
            plc.inspect_one()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    return cell


def test_a_frame_that_was_not_kept_and_a_part_without_a_recipe_are_told(served, capsys):
    recipe = served / "calibration" / "cell" / "recipe.yaml"
    whole = recipe.read_text()
    recipe.write_text(whole.replace("part: cell", "part: another"))
    assert main(["replay", "1"]) == 1
    assert "has no recipe for the part 'cell' any more" in capsys.readouterr().err
    recipe.write_text(whole)
    for picture in (served / "data" / "pictures").rglob("*_raw.png"):
        picture.unlink()
    assert main(["replay", "1"]) == 1
    assert "holds no raw frame of inspection 1" in capsys.readouterr().err
