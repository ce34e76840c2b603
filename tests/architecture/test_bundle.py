"""What a station's bundle holds: the library of every wire, and what is asked for beside it."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE_PIP = "import pathlib, sys; pathlib.Path(sys.argv[sys.argv.index('--wheel-dir') + 1], 'asked').write_text(sys.argv[-1])"


def extra(name: str) -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup["options.extras_require"][name].split()


@pytest.mark.parametrize("name", ["teach", "metrics", "sign", "mqtt", "sparkplug", "opcua", "gpio"])
def test_a_station_has_the_libraries_of_every_wire(name):
    assert set(extra(name)) <= set(extra("station"))


@pytest.mark.parametrize(
    ("words", "asked"), [((), "[station]"), (("--extra", "pylon"), "[station,pylon]"), (("--extra", "a", "--extra", "b"), "[station,a,b]")]
)
def test_an_extra_of_a_bundle_comes_beside_those_of_a_station(tmp_path, words, asked):
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    (tmp_path / "pip" / "__main__.py").write_text(FAKE_PIP)
    tool = [sys.executable, str(ROOT / "tools" / "build-wheelhouse"), str(tmp_path / "bundle"), *words]
    subprocess.run(tool, check=True, capture_output=True, env={"PYTHONPATH": str(tmp_path)})
    assert (tmp_path / "bundle" / "asked").read_text() == f"{ROOT}{asked}"
