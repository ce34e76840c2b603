from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_inspect.config import FrameSize, Masks, Recipe, RegionOfInterest
from edge_inspect.errors import ConfigError
from edge_inspect.geometry import place, warp
from edge_inspect.workshop.good_images import place_good_images

pytestmark = pytest.mark.workshop
Plate = Callable[..., np.ndarray]


def recipe(**fields: object) -> Recipe:
    return Recipe(part="plate", engine=Path("engine"), **fields)


def test_images_are_placed_and_warped_as_the_line_does_it(plate: Plate) -> None:
    region = RegionOfInterest(left=5, top=3, width=60, height=50, rotation_deg=4)
    named = [(f"{seed}", plate(seed)) for seed in range(12)]
    good = place_good_images(named, recipe(region_of_interest=region), width=64, height=48)
    placement = place(80, 72, region, width=64, height=48, channels=1)
    assert good.pixels.shape == (12, 48, 64, 1)
    for row, (_, frame) in zip(good.pixels, named, strict=True):
        np.testing.assert_array_equal(row, warp(frame, placement))
    assert (good.size.width, good.size.height, good.size.channels) == (64, 48, 1)


def test_nine_images_are_too_few_and_the_count_is_told(plate: Plate) -> None:
    with pytest.raises(ConfigError, match=r"^9 usable good images, 10 or more"):
        place_good_images([(f"{seed}", plate(seed)) for seed in range(9)], recipe(), width=64, height=64)


def test_no_image_at_all_is_too_few() -> None:
    with pytest.raises(ConfigError, match=r"^0 usable good images"):
        place_good_images([], recipe(), width=64, height=64)


def test_an_unreadable_image_is_named_and_left_out(good_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    good = place_good_images([*sorted(good_folder.iterdir()), broken], recipe(), width=64, height=64)
    assert len(good.names) == 20
    assert len(good.refused) == 1
    assert "broken.png: is empty" in good.refused[0]


def test_unreadable_images_are_named_where_too_few_are_left(tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.png" for index in range(12)]
    for file in files:
        file.write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"^0 usable.*not readable: .*0\.png"):
        place_good_images(files, recipe(), width=64, height=64)


def test_parts_of_different_sizes_are_each_seen_whole(plate: Plate) -> None:
    named = [(f"{seed}", plate(seed, width=70 + seed, height=90 - seed)) for seed in range(12)]
    assert place_good_images(named, recipe(), width=64, height=64).pixels.shape == (12, 64, 64, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"region_of_interest": RegionOfInterest(left=0, top=0, width=60, height=60)},
        {"masks": Masks(border_px=4)},
    ],
    ids=["region of interest", "masks"],
)
def test_a_region_or_masks_need_frames_of_one_size(fields: dict[str, object], plate: Plate) -> None:
    named = [(f"{seed}.png", plate(seed, width=80 + (seed == 7))) for seed in range(12)]
    with pytest.raises(ConfigError, match=r"^7\.png: is 81 x 72, the first image 80 x 72"):
        place_good_images(named, recipe(**fields), width=64, height=64)


def test_a_frame_of_another_size_than_the_recipes_is_refused(plate: Plate) -> None:
    named = [(f"{seed}.png", plate(seed)) for seed in range(12)]
    with pytest.raises(ConfigError, match=r"^0\.png: is 80 x 72, the recipe's frame is 640 x 480"):
        place_good_images(named, recipe(frame=FrameSize(width=640, height=480)), width=64, height=64)


def test_grey_and_colour_do_not_mix(plate: Plate) -> None:
    named = [(f"{seed}.png", plate(seed, channels=3 if seed == 4 else 1)) for seed in range(12)]
    with pytest.raises(ConfigError, match=r"^4\.png: has 3 channels, the first image 1"):
        place_good_images(named, recipe(), width=64, height=64)


def test_colour_stays_colour(plate: Plate) -> None:
    named = [(f"{seed}.png", plate(seed, channels=3)) for seed in range(12)]
    assert place_good_images(named, recipe(), width=64, height=64).size.channels == 3


def test_the_fingerprint_depends_on_the_images_and_not_on_their_order(plate: Plate) -> None:
    named = [(f"{seed}", plate(seed)) for seed in range(12)]
    good = place_good_images(named, recipe(), width=64, height=64)
    turned = place_good_images(named[::-1], recipe(), width=64, height=64)
    assert good.fingerprint(range(12)) == turned.fingerprint(range(12))
    assert good.fingerprint(range(12)) != good.fingerprint(range(11))


def test_masks_of_the_recipe_say_which_cells_are_searched(plate: Plate) -> None:
    masked = recipe(masks=Masks(ignore=(((0, 0), (40, 0), (40, 72), (0, 72)),)))
    good = place_good_images([(f"{seed}", plate(seed)) for seed in range(12)], masked, width=64, height=64)
    searched = good.searched(masked, width=16, height=16)
    assert not searched[:, :8].any()
    assert searched[:, 8:].all()
