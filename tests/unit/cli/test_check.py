"""`edge-inspect check` says what is not installed, before a station stops for it; nothing is opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_part

STATION = """name: drill
recipe: {recipe}
runtime: onnx
deadline_ms: 5000
camera: {{kind: folder, path: .}}
data: data
"""
CAMERA = "camera: {kind: folder, path: .}"
MODBUS = "plc: {kind: modbus, host: 127.0.0.1, port: 0}"
PYLON, GENICAM = "camera: {kind: pylon}", "camera: {kind: genicam}"
OUTPUT = "output: {line: 4, chip: /dev/gpiochip0}"
GATE = "gate: {{distance: 300, pulse: 30, pitch: 25, lead: 10, {more}}}"
NEEDS = [
    ("paho", "plc: {kind: mqtt, host: broker.plant, topic: a/b}", "install 'edge-inspect[mqtt]'"),
    ("google.protobuf", "plc: {kind: mqtt, host: broker.plant, sparkplug: {group: a, node: b}}", "install 'edge-inspect[sparkplug]'"),
    ("asyncua", "plc: {kind: opcua, pki: pki}", "install 'edge-inspect[opcua]'"),
    ("gpiod", "plc: {kind: gpio, ok: a, ng: b, hold: pulse}", "install 'edge-inspect[gpio]'"),
    ("gpiod", GATE.format(more=OUTPUT), "gate: needs gpiod"),
    ("gpiod", GATE.format(more="encoder: {kind: gpio, a: enc-a, counts_per_mm: 10}"), "gate: needs gpiod"),
    ("prometheus_client", "metrics: {port: 9464}", "install edge-inspect[metrics]"),
    ("cryptography", "public_key: none.pub", "install 'edge-inspect[sign]'"),
    ("pypylon", PYLON, "install edge-inspect[pylon]"),
    ("libaravis-0.8.so.0", GENICAM, "apt install libaravis-0.8-0"),
]
HIDDEN = """
import ctypes, sys
hidden = sys.argv.pop(1)
sys.modules[hidden] = None
opened = ctypes.CDLL.__init__
def refusing(library, name, *more, **also):
    if name == hidden:
        raise OSError(f"{name}: cannot open shared object file")
    opened(library, name, *more, **also)
ctypes.CDLL.__init__ = refusing
from edge_inspect.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def station_file(folder: Path, *blocks: str) -> Path:
    text = STATION.format(recipe=write_part(folder / "cell"))
    if any(block.startswith("camera:") for block in blocks):
        text = text.replace(f"{CAMERA}\n", "")
    (folder / "station.yaml").write_text(text + "\n".join(blocks) + "\n")
    return folder / "station.yaml"


def check_without(library: str, file: Path) -> subprocess.CompletedProcess[str]:
    """The verb in a process of its own, where nothing has imported the library yet."""
    words = [sys.executable, "-c", HIDDEN, library, "check", "--station", str(file)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])


@pytest.mark.parametrize(("library", "block", "told"), NEEDS, ids=[f"{library} for {block.split(',')[0]}" for library, block, _ in NEEDS])
def test_a_library_that_is_missing_is_told_with_78_and_nothing_is_opened(tmp_path, library, block, told):
    if library == "google.protobuf":
        pytest.importorskip("paho", reason="what MQTT needs before Sparkplug is not installed")
    checked = check_without(library, station_file(tmp_path, block))
    assert told in checked.stderr
    assert checked.returncode == 78
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cell", "station.yaml"]


def test_every_library_that_is_missing_is_told_at_once(tmp_path):
    checked = check_without("gpiod", station_file(tmp_path, "plc: {kind: gpio, ok: a, ng: b}", GATE.format(more=OUTPUT)))
    assert "plc: gpio: needs gpiod" in checked.stderr
    assert "gate: needs gpiod" in checked.stderr


@pytest.mark.parametrize(
    "block",
    ["plc: {kind: mqtt, host: broker.plant, topic: a/b}", GATE.format(more="encoder: {kind: counter, path: /sys/none, counts_per_mm: 10}")],
)
def test_a_library_that_nothing_of_the_station_needs_may_be_missing(tmp_path, block):
    if "mqtt" in block:
        pytest.importorskip("paho", reason="paho-mqtt is not installed (extra mqtt)")
    checked = check_without("gpiod", station_file(tmp_path, MODBUS if block.startswith("gate") else "", block))
    assert checked.stdout.splitlines()[-1:] == ["drill: would start"], checked.stderr
    assert checked.returncode == 0
