"""A whole station on disk, for tests that start the application as its user would."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from edge_inspect.service.live import STATUS_FILE, read_status
from tests.conftest import write_part


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def picture(path, grey=128, spot=None):
    """A grey part of 64 x 48, with a square of another grey where `spot` says (left, top, size, grey)."""
    pixels = np.full((48, 64, 3), grey, np.uint8)
    if spot:
        left, top, size, other = spot
        pixels[top : top + size, left : left + size] = other
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


@pytest.fixture
def cell(tmp_path):
    """Folder of a station with a folder camera, a Modbus wire and every record; `station.yaml` in it."""
    write_part(tmp_path / "calibration" / "cell")
    for number in range(6):
        picture(tmp_path / "parts" / f"{number}.png", spot=(16, 8, 8, 250) if number % 3 == 2 else None)
    port = free_port()
    (tmp_path / "port").write_text(str(port))
    (tmp_path / "station.yaml").write_text(
        f"""name: cell-3
recipe: calibration/cell/recipe.yaml
camera: {{kind: folder, path: parts, pace: trigger}}
runtime: onnx
trigger: plc
deadline_ms: 2000
plc: {{kind: modbus, port: {port}}}
outputs:
  - {{kind: jsonl, path: data/log}}
  - {{kind: database, path: data/inspections.sqlite}}
  - {{kind: images, path: data/pictures, keep: [OK, NG], background: {{queue: 32}}}}
"""
    )
    return tmp_path


@contextmanager
def running(folder, *, wait=True, command=(sys.executable, "-m", "edge_inspect", "run", "--station", "station.yaml")):
    """`edge-inspect run` in a process of its own; gives the process once it is ready, kills it at the end if need be."""
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        while wait and time.monotonic() < until and process.poll() is None:
            if (folder / "data" / STATUS_FILE).exists() and read_status(folder / "data" / STATUS_FILE)["state"] == "ready":
                break
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("a disk that fills up is a tmpfs, and there is no mount command here")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a disk that fills up is a tmpfs, which only root may mount: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)
