import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from edge_inspect.cli import teach as verb
from edge_inspect.config import load_recipe
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError, ConfigError, FrameLost
from edge_inspect.model_folder import open_model_folder
from edge_inspect.thresholds import load_thresholds

pytestmark = pytest.mark.workshop
SMALL = ["--width", "64", "--height", "64"]


def teach(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args([*map(str, words), *SMALL]))


def test_a_part_is_taught_from_a_folder_and_reported(good_folder: Path, recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert teach("--recipe", recipe_file, "--images", good_folder) == 0
    told = capsys.readouterr().out
    assert "fitted on 14 good images" in told
    assert "6 held out: least" in told
    named = re.search(r"highest +(\d+_\d\.png) ([\d.]+), ", told)
    assert named is not None
    assert f"largest {named[2]}" in told
    assert f"threshold    {named[2]}" in told
    assert "With 95 % confidence at most" in told


def test_a_new_part_gets_its_recipe_and_engine_folders(
    good_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert teach("--new", "cell-7", "--images", good_folder, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    recipe = load_recipe(tmp_path / "calibration" / "cell-7" / "recipe.yaml")
    model = open_model_folder(tmp_path / "engines" / "cell-7")
    assert recipe.part == "cell-7"
    assert said["engine_sha256"] == model.engine_sha256
    assert said["thresholds"]["image_threshold"] > 0
    load_thresholds(recipe.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=recipe.sha256)


def test_a_new_part_does_not_overwrite_an_old_one(good_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calibration" / "cell").mkdir(parents=True)
    (tmp_path / "calibration" / "cell" / "recipe.yaml").write_text("part: old\nengine: x\n")
    with pytest.raises(ConfigError, match="exists already; teach it again with --recipe"):
        teach("--new", "cell", "--images", good_folder)
    assert load_recipe(tmp_path / "calibration" / "cell" / "recipe.yaml").part == "old"


def test_a_new_part_where_nothing_can_be_written_is_one_sentence(
    good_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calibration").write_text("a file where a folder should be")
    with pytest.raises(ConfigError, match="cannot be written"):
        teach("--new", "cell", "--images", good_folder)


@pytest.mark.parametrize("name", ["../cell", "", "a b", ".hidden", "x" * 81])
def test_a_name_that_is_no_folder_is_refused(name: str, good_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="also a folder"):
        teach("--new", name, "--images", good_folder)


def test_a_folder_of_images_without_a_part_asks_which(good_folder: Path) -> None:
    with pytest.raises(ConfigError, match="which part"):
        teach("--images", good_folder)


def test_an_image_that_was_left_out_is_named(
    good_folder: Path, recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for file in good_folder.iterdir():
        (images / file.name).write_bytes(file.read_bytes())
    (images / "broken.png").write_bytes(b"")
    teach("--recipe", recipe_file, "--images", images)
    assert "broken.png: is empty" in capsys.readouterr().out


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, good_folder: Path, recipe_file: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr("edge_inspect.cli.onnx_needed.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"edge-inspect\[teach\]"):
        teach("--recipe", recipe_file, "--images", good_folder)


class PlateCamera:
    """Exposes plates; the third exposure is lost, and after `parts` nothing comes any more."""

    def __init__(self, plate: Callable[..., np.ndarray], parts: int) -> None:
        self._plate, self._parts, self._next = plate, parts, 0

    def grab(self, timeout_s: float) -> Frame | None:
        self._next += 1
        if self._next > self._parts:
            return None
        if self._next == 3:
            raise FrameLost("the link lost a packet", sequence=self._next)
        return Frame(pixels=self._plate(self._next), sequence=self._next, exposed_ns=0, taken_at=datetime.now(timezone.utc), camera="one")


@pytest.fixture
def station_file(recipe_file: Path, tmp_path: Path) -> Path:
    file = tmp_path / "station.yaml"
    file.write_text(f"name: one\nrecipe: {recipe_file}\ncamera: plates\ndeadline_ms: 100\n")
    return file


def wire_camera(monkeypatch: pytest.MonkeyPatch, plate: Callable[..., np.ndarray], parts: int) -> None:
    @contextmanager
    def opened() -> Iterator[PlateCamera]:
        yield PlateCamera(plate, parts)

    monkeypatch.setattr(verb, "prepare", lambda door, block, base, given: opened)


def test_a_part_is_taught_in_front_of_the_camera_of_its_station(
    station_file: Path,
    recipe_file: Path,
    plate: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wire_camera(monkeypatch, plate, parts=30)
    assert teach("--camera", station_file, "--count", "12") == 0
    told = capsys.readouterr()
    assert "lost: the link lost a packet" in told.err
    assert "4 held out" in told.out
    assert load_recipe(recipe_file).thresholds.exists()


def test_a_line_that_stands_still_is_told(station_file: Path, plate: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    wire_camera(monkeypatch, plate, parts=5)
    with pytest.raises(CameraError, match="4 of 12 parts came, then none"):
        teach("--camera", station_file, "--count", "12")


@pytest.mark.parametrize("words", [["--count", "0"], ["--count", "many"], ["--part-of", "(("]])
def test_a_word_that_is_no_number_or_pattern_is_refused_by_the_command_line(words: list[str], good_folder: Path) -> None:
    with pytest.raises(SystemExit):
        teach("--images", good_folder, *words)
