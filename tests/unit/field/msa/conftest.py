"""A station of the tiny model with pictures of good parts (a grey of 128) and of defective ones (a square brighter by 30)."""

import json

import cv2
import numpy as np
import pytest

from edge_inspect.cli.main import main
from tests.conftest import write_part


def write_picture(path, score, number=0):
    """A part (48, 64, 3); the number makes its frame one of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((48, 64, 3), 128, np.uint8)
    pixels[16:24, 16:24] = 128 + score
    pixels[40 + number // 56 % 8, number % 56] = 127
    cv2.imwrite(str(path), pixels)


@pytest.fixture
def station(tmp_path, monkeypatch):
    """Folder of a station whose part is `cell`."""
    monkeypatch.chdir(tmp_path)
    write_part(tmp_path / "cell")
    (tmp_path / "station.yaml").write_text(
        "name: cell-3\nrecipe: cell/recipe.yaml\ncamera: {kind: folder, path: good}\nruntime: onnx\ndeadline_ms: 2000\n"
    )
    return tmp_path


@pytest.fixture
def told(capsys):
    """Run a verb; (exit code, standard output, standard error)."""

    def run(*words):
        code = main(["--log", "warning", *map(str, words)])
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in words and out else out, err

    return run
