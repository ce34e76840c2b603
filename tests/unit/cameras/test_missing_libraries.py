"""A camera whose library is not installed is one sentence that says what to install."""

import sys

import pytest

from edge_inspect.cameras import genicam, pylon
from edge_inspect.cameras.aravis_library import Aravis
from edge_inspect.cli.main import main
from edge_inspect.errors import PluginError


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypylon", None)
    monkeypatch.setattr("edge_inspect.cameras.aravis_library.LIBRARY", "libaravis-that-is-not-there.so")
    monkeypatch.setattr(genicam, "imported", Aravis)


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (pylon.open_pylon, r"kind 'pylon' needs pypylon .*install the extra: pip install edge-inspect\[pylon\]"),
        (genicam.open_genicam, r"kind 'genicam' needs the system's Aravis .*install it: apt install libaravis-0\.8-0"),
    ],
)
def test_what_to_install_is_told_when_the_station_starts(factory, sentence):
    with pytest.raises(PluginError, match=sentence), factory(name="top"):
        pass


def test_the_survey_goes_on_without_them(capsys):
    main(["cameras", "--no-frame", "--kind", "pylon", "--kind", "genicam"])
    said = capsys.readouterr().out
    assert "pylon: not asked: cameras: kind 'pylon' needs pypylon" in said
    assert "genicam: not asked: cameras: kind 'genicam' needs the system's Aravis" in said
