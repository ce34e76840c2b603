"""An INT8 engine may round, and nothing else: whatever breaks a float32 engine is refused of it too."""

import shutil
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from edge_inspect.acceptance import compare
from edge_inspect.config import load_recipe
from edge_inspect.datatypes import Scores
from edge_inspect.model_folder import add_precisions, open_model_folder
from edge_inspect.runtimes.onnx_runtime import open_onnx
from edge_inspect.workshop.good_images import place_good_images
from edge_inspect.workshop.precision.body import named
from edge_inspect.workshop.precision.files import build_precisions
from edge_inspect.workshop.precision.quantised import measure_ranges
from edge_inspect.workshop.precision.sensitivity import quantise
from edge_inspect.workshop.teach import teach

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.workshop


@pytest.fixture(scope="module")
def brown(good_folder, tmp_path_factory):
    """Pictures of brown plates: grey ones would not tell swapped channels."""
    folder = tmp_path_factory.mktemp("brown")
    for file in sorted(good_folder.iterdir()):
        grey = cv2.imread(str(file), cv2.IMREAD_COLOR)
        cv2.imwrite(str(folder / file.name), (grey * (0.5, 0.75, 1.0)).astype(np.uint8))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def eight(brown, tmp_path_factory):
    """A taught part with its INT8 file: recipe and thresholds."""
    file = tmp_path_factory.mktemp("eight") / "recipe.yaml"
    file.write_text("part: plate\nengine: engine\n", encoding="utf-8")
    recipe = load_recipe(file)
    thresholds = teach(brown, recipe=recipe, width=64, height=64).thresholds
    build_precisions(recipe, brown, ["int8"])
    return recipe, thresholds


def complaints(runtime, model, thresholds):
    """What the gate has against an engine."""
    image, pixel = thresholds.image_threshold, thresholds.pixel_threshold
    return compare(runtime, model, image_threshold=image, pixel_threshold=pixel).complaints


@dataclass
class Broken:
    """An engine with something wrong on the way in or out."""

    runtime: object
    into: object = staticmethod(lambda pixels: pixels)
    out: object = staticmethod(lambda scores: scores)

    def infer(self, pixels, placement):
        return self.out(self.runtime.infer(self.into(pixels), placement))


def mapped(change):
    """Changes the map, and the image score with it."""

    def out(scores):
        changed = np.ascontiguousarray(change(scores.map), np.float32)
        return Scores(map=changed, image=float(changed.max()))

    return out


WRONG = {
    "sound": {},
    "scaled by 0.9": {"out": mapped(lambda cells: cells * 0.9)},
    "a zero map": {"out": mapped(np.zeros_like)},
    "one cell off": {"out": mapped(lambda cells: np.roll(cells, 1, axis=1))},
    "half a cell off": {"out": mapped(lambda cells: (cells + np.roll(cells, 1, axis=0)) / 2)},
    "swapped channels": {"into": lambda pixels: np.ascontiguousarray(pixels[..., ::-1])},
    "one pixel off": {"into": lambda pixels: np.roll(pixels, 2, axis=1)},
    "a quarter darker": {"into": lambda pixels: (pixels * 0.75).astype(np.uint8)},
}


@pytest.mark.parametrize("name", WRONG)
def test_an_int8_engine_that_is_wrong_in_more_than_rounding_is_refused(eight, name):
    recipe, thresholds = eight
    model = open_model_folder(recipe.engine).at("int8")
    with open_onnx(model=model) as runtime:
        found = complaints(Broken(runtime, **WRONG[name]), model, thresholds)
    assert bool(found) == (name != "sound"), found


def test_an_int8_engine_of_clipped_ranges_is_refused(eight, brown, tmp_path):
    """The file of another build, whose ranges were halved, under the manifest of the sound one."""
    recipe, thresholds = eight
    shutil.copytree(recipe.engine, tmp_path / "engine")
    model = open_model_folder(tmp_path / "engine")
    graph = named(onnx.load(str(model.model_file)))
    pixels = place_good_images(brown, recipe, width=64, height=64).pixels
    halved = {name: value / 2 for name, value in measure_ranges(graph, pixels).items()}
    clipped = quantise(graph, halved, pixels, ranged=pixels, threshold=thresholds.image_threshold, allowed=1000.0).graph
    model = add_precisions(model, {"int8": (clipped.SerializeToString(), model.manifest.precisions["int8"])}).at("int8")
    with open_onnx(model=model) as runtime:
        assert complaints(runtime, model, thresholds)
