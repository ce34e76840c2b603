from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.config import FrameSize, Locator, Masks, Recipe, RegionOfInterest
from edge_inspect.errors import ConfigError
from edge_inspect.geometry import locate, place, warp
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
    with pytest.raises(ConfigError, match=r"^0 usable.*left out: .*0\.png"):
        place_good_images(files, recipe(), width=64, height=64)


def test_parts_of_different_sizes_are_each_seen_whole(plate: Plate) -> None:
    named = [(f"{seed}", plate(seed, width=70 + seed, height=90 - seed)) for seed in range(12)]
    assert place_good_images(named, recipe(), width=64, height=64).pixels.shape == (12, 64, 64, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"region_of_interest": RegionOfInterest(left=0, top=0, width=60, height=60)},
        {"masks": Masks(border_px=4)},
        {"locator": Locator(kind="principal_axis", background="dark", width=80, height=30)},
    ],
    ids=["region of interest", "masks", "locator"],
)
def test_a_region_a_locator_or_masks_need_frames_of_one_size(fields: dict[str, object], plate: Plate) -> None:
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


LOCATOR = Locator(kind="principal_axis", background="dark", width=90, height=45)


def wedge(seed: int, *, y: float = 60) -> np.ndarray:
    """A light wedge on a dark ground, turned by seed x 40 degrees."""
    angle = np.radians(40 * seed)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    corners = np.array([60, y]) + np.array([-40 * along - 16 * across, -40 * along + 16 * across, 40 * along])
    return cv2.fillPoly(np.full((120, 120, 1), 40, np.uint8), [np.rint(corners).astype(np.int32)], 180)


def test_loose_parts_are_located_as_the_line_does_it() -> None:
    named = [(f"{seed}", wedge(seed)) for seed in range(12)]
    good = place_good_images(named, recipe(locator=LOCATOR), width=64, height=32)
    for row, placement, (_, frame) in zip(good.pixels, good.placements, named, strict=True):
        wanted = locate(frame, None, LOCATOR, width=64, height=32, channels=1)
        np.testing.assert_array_equal(placement.affine, wanted.affine)
        np.testing.assert_array_equal(row, warp(frame, wanted))
    assert np.abs(good.pixels.astype(int) - good.pixels[0]).mean(axis=(1, 2, 3)).max() < 8


def test_a_part_that_cannot_be_located_is_named_and_left_out() -> None:
    named = [("empty.png", np.full((120, 120, 1), 40, np.uint8)), *((f"{seed}", wedge(seed)) for seed in range(11))]
    good = place_good_images(named, recipe(locator=LOCATOR), width=64, height=32)
    assert good.names == tuple(f"{seed}" for seed in range(11))
    assert len(good.pixels) == len(good.hashes) == len(good.placements) == 11
    [refused] = good.refused
    assert refused.startswith("empty.png: no part in the region of interest")


def test_images_without_a_part_are_named_where_too_few_are_left() -> None:
    named = [(f"{seed}.png", np.full((120, 120, 1), 40, np.uint8)) for seed in range(12)]
    with pytest.raises(ConfigError, match=r"^0 usable.*left out: 0\.png: no part"):
        place_good_images(named, recipe(locator=LOCATOR), width=64, height=32)


def test_what_lies_beyond_the_frame_is_searched_in_no_image_but_in_another() -> None:
    named = [("low", wedge(0, y=18)), *((f"{seed}", wedge(0)) for seed in range(10))]
    located = recipe(locator=LOCATOR)
    good = place_good_images(named, located, width=64, height=32)
    low, other = (good.searched(located, width=16, height=8, image=index) for index in (0, 1))
    assert not low[0].any()
    assert low[1:].all()
    assert other.all()
    np.testing.assert_array_equal(good.searched(located, width=16, height=8), other)


def test_specks_are_taken_out_of_good_images_as_on_the_line(plate: Plate) -> None:
    clean = [(f"{seed}", plate(seed)) for seed in range(12)]
    drawn = np.random.default_rng(0).random(clean[0][1].shape)
    noisy = [(name, np.where(drawn < 0.05, np.uint8(0), np.where(drawn > 0.95, np.uint8(255), frame))) for name, frame in clean]
    wanted = place_good_images(clean, recipe(), width=64, height=64)
    cleaned = place_good_images(noisy, recipe(despeckle=True), width=64, height=64)
    left_in = place_good_images(noisy, recipe(), width=64, height=64)
    assert cleaned.hashes == left_in.hashes
    off, off_left_in = (np.abs(one.pixels.astype(int) - wanted.pixels).mean() for one in (cleaned, left_in))
    assert off < 0.2 * off_left_in
