"""A part is taught in tiles, and the promise holds for the part, not for a tile of it."""

from __future__ import annotations

import numpy as np
import pytest

from edge_inspect.config import PluginBlock, load_recipe
from edge_inspect.datatypes import Verdict
from edge_inspect.errors import ConfigError
from edge_inspect.inspector import open_inspector
from edge_inspect.workshop.evaluation.judging import frame_from_pixels
from edge_inspect.workshop.good_images import place_good_images
from edge_inspect.workshop.splits import split_parts
from edge_inspect.workshop.teach import teach

pytestmark = pytest.mark.workshop

RECIPE = "part: web\nengine: engine\nframe: {width: 160, height: 120}\ntiles: {across: 2, down: 2, overlap_px: 12}\n"


def webs(count=12):
    """Frames of a rough surface that looks alike everywhere."""
    random = np.random.default_rng(3)
    return [(f"{number}.png", random.integers(100, 140, (120, 160, 3), np.uint8)) for number in range(count)]


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def test_what_is_taught_in_tiles_is_inspected_in_tiles(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file)
    taught = teach(webs(), recipe=recipe, width=64, height=64)
    assert taught.thresholds.sample.images == 4
    assert taught.cut.parts == 4
    assert len(taught.scores) == 16
    with open_inspector(recipe_file, PluginBlock(kind="reference"), base=tmp_path) as inspector:
        held_out = {name.split(",")[0] for name in taught.held_out}
        for name, pixels in webs():
            finding = inspector.inspect(frame_from_pixels(pixels, number=1, name=name))
            if name in held_out:
                own = max(score for one, score in zip(taught.held_out, taught.scores, strict=True) if one.startswith(f"{name},"))
                assert finding.score == pytest.approx(own, rel=1e-6)
                assert finding.verdict is Verdict.OK
        spoilt = webs()[0][1].copy()
        spoilt[50:80, 60:100] = 250
        finding = inspector.inspect(frame_from_pixels(spoilt, number=2, name="spoilt"))
    assert finding.verdict is Verdict.NG
    assert len(finding.regions) == 1


def test_tiles_of_one_frame_stay_on_one_side_of_the_split(recipe_file):
    good = place_good_images(webs(), load_recipe(recipe_file), width=64, height=64, cells=(16, 16))
    assert good.names[:2] == ("0.png, tile 1", "0.png, tile 2")
    split = split_parts(good.names, seed=0, frames=good.frames)
    assert {len(part) for part in split.held_out} == {4}
    assert not {good.frames[index] for index in split.fit} & {good.frames[index] for part in split.held_out for index in part}


def test_the_inner_edges_of_tiles_are_no_border(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE + "masks: {border_px: 20}\n")
    recipe = load_recipe(path)
    good = place_good_images(webs(), recipe, width=64, height=64, cells=(16, 16))
    first = good.searched(recipe, width=16, height=16, image=0)
    assert not first[0].any()
    assert not first[:, 0].any()
    assert first[-1, -1]
    assert good.searched(recipe, width=16, height=16).sum() > first.sum()


def test_a_verb_that_cannot_make_engines_for_tiles_says_so(recipe_file):
    with pytest.raises(ConfigError, match="the recipe has tiles, and only `teach` makes engines for them"):
        place_good_images(webs(), load_recipe(recipe_file), width=64, height=64)
