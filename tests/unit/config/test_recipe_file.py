"""What may stand in `recipe.yaml`, and which of it moves a score."""

import shutil

import pytest

from edge_inspect.config import DecisionRule, Masks, Recipe, RegionRule, load_recipe
from edge_inspect.errors import ConfigError

FULL = {
    "part": "cell",
    "engine": "engine",
    "thresholds": "t.json",
    "frame": "{width: 640, height: 480}",
    "region_of_interest": "{left: 10, top: 20, width: 300, height: 200, rotation_deg: 1.5}",
    "mm_per_px": "0.1",
    "masks": "{include: [[[0, 0], [9, 0], [0, 9]]], ignore: [[[0, 0], [5, 0], [0, 5]]], png: mask.png, border_px: 2}",
    "decision": "{image_score: true, regions: {min_area_px: 3, min_area_mm2: 0.5, min_peak: 1, max_count: 2}}",
}


@pytest.fixture
def read(tmp_path):
    (tmp_path / "mask.png").write_bytes(b"white")
    (tmp_path / "black.png").write_bytes(b"black")
    (tmp_path / "same.png").write_bytes(b"white")

    def write_and_load(**changes):
        lines = [f"{key}: {value}\n" for key, value in (FULL | changes).items() if value is not None]
        (tmp_path / "recipe.yaml").write_text("".join(lines))
        return load_recipe(tmp_path / "recipe.yaml")

    return write_and_load


def test_paths_come_back_beside_the_file(read, tmp_path):
    recipe = read(engine="../engines/cell")
    assert recipe.engine == tmp_path / ".." / "engines" / "cell"
    assert recipe.thresholds == tmp_path / "t.json"
    assert recipe.masks.png == tmp_path / "mask.png"


def test_a_small_recipe_has_its_defaults(tmp_path):
    (tmp_path / "recipe.yaml").write_text("part: cell\nengine: engine\n")
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert recipe == Recipe(part="cell", engine=tmp_path / "engine", thresholds=tmp_path / "thresholds.json")
    assert recipe.masks.empty
    assert recipe.decision == DecisionRule(image_score=True, regions=None)


def test_what_stands_in_the_file_is_what_is_read(read):
    recipe = read()
    assert (recipe.frame.width, recipe.frame.height, recipe.mm_per_px) == (640, 480, 0.1)
    assert recipe.region_of_interest.rotation_deg == 1.5
    assert recipe.masks.ignore == (((0, 0), (5, 0), (0, 5)),)
    assert recipe.decision.regions == RegionRule(min_area_px=3, min_area_mm2=0.5, min_peak=1, max_count=2)


@pytest.mark.parametrize(
    "masks",
    [
        {"include": (((0, 0), (1, 0), (0, 1)),)},
        {"ignore": (((0, 0), (1, 0), (0, 1)),)},
        {"png": "a.png"},
        {"border_px": 1},
    ],
)
def test_one_rule_is_enough_for_a_mask(masks):
    assert not Masks(**masks).empty


@pytest.mark.parametrize(
    "changes",
    [
        {"frame": "{width: 641, height: 480}"},
        {"frame": "{width: 640, height: 481}"},
        {"frame": None},
        {"region_of_interest": None},
        *(
            {"region_of_interest": FULL["region_of_interest"].replace(old, new)}
            for old, new in (("10", "11"), ("20", "21"), ("300", "301"), ("200", "201"), ("1.5", "1.6"))
        ),
        {"masks": FULL["masks"].replace("9", "8")},
        {"masks": FULL["masks"].replace("5", "6")},
        {"masks": FULL["masks"].replace("mask", "black")},
        {"masks": FULL["masks"].replace(", png: mask.png", "")},
        {"masks": FULL["masks"].replace("border_px: 2", "border_px: 3")},
        {"masks": None},
        {"despeckle": "true"},
    ],
)
def test_what_moves_a_score_changes_the_hash(read, changes):
    assert read(**changes).sha256 != read().sha256


@pytest.mark.parametrize(
    "changes",
    [
        {"part": "other"},
        {"engine": "elsewhere"},
        {"thresholds": None},
        {"mm_per_px": "0.2"},
        {"decision": "{image_score: false, regions: {min_area_px: 4}}"},
        {"decision": None},
        {"masks": FULL["masks"].replace("mask", "same")},
        {"frame": "{height: 480, width: 640}"},
        {"region_of_interest": FULL["region_of_interest"].replace("10", "10.0")},
    ],
)
def test_what_moves_no_score_leaves_the_hash(read, changes):
    assert read(**changes).sha256 == read().sha256


def test_specks_left_in_leave_the_hash(read):
    assert read(despeckle="false").sha256 == read().sha256


LOCATED = {"masks": "{border_px: 2}", "locator": "{kind: principal_axis, background: light, width: 200, height: 80}"}


def test_a_locator_says_what_stands_in_the_file(read):
    locator = read(**LOCATED).locator
    assert (locator.background, locator.width, locator.height, locator.ends) == ("light", 200, 80, "differ")


@pytest.mark.parametrize(
    "locator",
    [
        None,
        LOCATED["locator"].replace("light", "dark"),
        LOCATED["locator"].replace("200", "201"),
        LOCATED["locator"].replace("80", "81"),
        LOCATED["locator"].replace("}", ", ends: alike}"),
    ],
)
def test_what_moves_a_located_part_changes_the_hash(read, locator):
    assert read(**LOCATED | {"locator": locator}).sha256 != read(**LOCATED).sha256


def test_a_locator_that_evens_the_light_out_has_a_hash_of_its_own_and_one_that_does_not_keeps_its(read):
    plain = read(**LOCATED)
    assert read(**LOCATED | {"locator": LOCATED["locator"].replace("}", ", even_light: false}")}).sha256 == plain.sha256
    assert read(**LOCATED | {"locator": LOCATED["locator"].replace("}", ", even_light: true}")}).sha256 != plain.sha256
    assert "even_light" not in plain.locator.moves_scores


def test_a_locator_written_in_another_way_leaves_the_hash(read):
    other = "{height: 80.0, width: 200, ends: differ, background: light, kind: principal_axis}"
    assert read(**LOCATED | {"locator": other}).sha256 == read(**LOCATED).sha256


@pytest.mark.parametrize("mask", ["include: [[[0, 0], [9, 0], [0, 9]]]", "ignore: [[[0, 0], [9, 0], [0, 9]]]", "png: mask.png"])
def test_masks_that_lie_still_in_the_frame_are_refused_beside_a_locator(read, mask):
    with pytest.raises(ConfigError, match="with a locator the part does not; remove them, or the locator"):
        read(**LOCATED | {"masks": f"{{{mask}}}"})


@pytest.mark.parametrize(
    ("locator", "words"),
    [
        ("{kind: principal_axis, width: 200, height: 80}", "locator.background: is missing; add it"),
        ("{kind: principal_axis, background: light, height: 80}", "locator.width: is missing; add it"),
        ("{background: light, width: 200, height: 80}", "locator.kind: is missing; add it"),
        (LOCATED["locator"].replace("light", "auto"), "locator.background: got 'auto'; should be 'light' or 'dark'"),
        (LOCATED["locator"].replace("80", "0"), "locator.height: got 0; should be greater than 0"),
    ],
)
def test_nothing_of_a_locator_is_guessed(read, locator, words):
    with pytest.raises(ConfigError, match=words):
        read(**LOCATED | {"locator": locator})


def test_a_changed_mask_of_the_same_name_changes_the_hash(read, tmp_path):
    before = read().sha256
    (tmp_path / "mask.png").write_bytes(b"redrawn")
    assert read().sha256 != before


def test_a_project_folder_may_move(read, tmp_path):
    before = read().sha256
    shutil.copytree(tmp_path, tmp_path / "moved")
    assert load_recipe(tmp_path / "moved" / "recipe.yaml").sha256 == before


def test_a_hash_without_its_mask_is_refused(read, tmp_path):
    recipe = read()
    (tmp_path / "mask.png").unlink()
    with pytest.raises(ConfigError, match=r"mask\.png: cannot be read: No such file"):
        _ = recipe.sha256


def test_the_hash_is_that_of_the_first_version(tmp_path):
    """Thresholds on devices carry it: a change of this number makes every one of them unusable."""
    (tmp_path / "recipe.yaml").write_text("part: cell\nengine: engine\n")
    assert load_recipe(tmp_path / "recipe.yaml").sha256[:12] == "908be3b4fe81"


TILED = {"frame": "{width: 640, height: 480}", "tiles": "{across: 4, down: 3, overlap_px: 16}"}


def test_tiles_say_what_stands_in_the_file_and_overlap_by_nothing_else(read):
    assert (read(**TILED).tiles.across, read(**TILED).tiles.down, read(**TILED).tiles.overlap_px) == (4, 3, 16)
    assert read(**TILED | {"tiles": "{across: 2, down: 1}"}).tiles.overlap_px == 0


@pytest.mark.parametrize("tiles", ["{across: 5, down: 3, overlap_px: 16}", "{across: 4, down: 2, overlap_px: 16}", "{across: 4, down: 3}"])
def test_tiles_change_the_hash(read, tiles):
    hashes = {read(**TILED | {"tiles": tiles}).sha256, read(**TILED).sha256, read(frame=TILED["frame"]).sha256}
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tiles": "{across: 2, down: 2}"}, "tiles are laid once, over frames of one size"),
        (TILED | {"locator": LOCATED["locator"], "masks": "{border_px: 2}"}, "with a locator the part does not; remove one of them"),
        (TILED | {"tiles": "{across: 0, down: 2}"}, "tiles.across"),
    ],
)
def test_tiles_that_cannot_be_laid_are_refused(read, changes, words):
    with pytest.raises(ConfigError, match=words):
        read(**{"frame": None, **changes} if "frame" not in changes else changes)
