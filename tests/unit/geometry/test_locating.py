"""A loose part is found, and the network's image laid about it."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_inspect.config import Locator, Masks, RegionOfInterest
from edge_inspect.errors import PartNotLocated
from edge_inspect.geometry import frame_points, locate, searched_cells, walk, warp
from edge_inspect.geometry.locating import principal_axis

FRAME = 300
LIGHT, DARK = 190, 80

HEAD, SHANK = 34, 10
"""Widths of a screw's head and shank [px]."""

angles = st.floats(-math.pi, math.pi)


def locator(*, background="light", ends="differ", shown_px=(200.0, 60.0), **fields):
    return Locator(kind="principal_axis", background=background, width=shown_px[0], height=shown_px[1], ends=ends, **fields)


def screw(length=160, head=HEAD):
    """Outline of a part with a head on the left, its middle at 0, 0 (n, 2)."""
    neck = -length / 2 + 20
    above = [(-length / 2, head / 2), (-length / 2 + 6, head / 2), (neck, SHANK / 2), (length / 2 - 12, SHANK / 2), (length / 2, 0)]
    return np.array(above + [(x, -y) for x, y in above[-2::-1]], float)


def bar(length=160, width=30):
    return np.array([(-length / 2, -width / 2), (length / 2, -width / 2), (length / 2, width / 2), (-length / 2, width / 2)])


def at(x, y):
    return np.array([x, y])


def turned(outline, angle):
    """Turned clockwise on the screen."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return outline @ np.array([[cosine, sine], [-sine, cosine]])


def drawn(*parts, size=FRAME, part=DARK, background=LIGHT, channels=1):
    """A picture of parts, each an outline (n, 2) of edges from the frame's top left corner; eight times finer inside."""
    fine = np.full((8 * size, 8 * size), background, np.uint8)
    for outline in parts:
        cv2.fillPoly(fine, [np.rint(8 * outline - 0.5).astype(np.int32)], part)
    small = cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)
    return np.repeat(small[:, :, np.newaxis], channels, axis=2)


def located(pixels, region=None, *, width=200, height=60, **fields):
    return locate(pixels, region, locator(**fields), width=width, height=height, channels=1)


def middle_of(placement):
    """Edge in the frame."""
    return frame_points(placement, np.array([[(placement.width - 1) / 2, (placement.height - 1) / 2]]))[0] + 0.5


def angle_of(placement):
    return math.atan2(placement.affine[1, 0], placement.affine[0, 0])


def between(one, other):
    """Angle from one direction to another, whatever the way round."""
    return abs((one - other + math.pi) % (2 * math.pi) - math.pi)


@settings(max_examples=60, deadline=None)
@given(angles, st.floats(105, 195), st.floats(105, 195), st.floats(100, 170))
def test_a_part_is_found_wherever_and_however_it_lies(angle, x, y, length):
    placement = located(drawn(turned(screw(length), angle) + at(x, y)))
    assert between(angle_of(placement), angle) < math.radians(1.5)
    along, across = turned(middle_of(placement) - at(x, y), -angle)
    # The tip is thinner than a pixel at its end and not seen, and half of what is missing is missing from the middle.
    assert along == pytest.approx(-1.1, abs=1.7)
    assert across == pytest.approx(0, abs=1)


@given(angles, st.floats(105, 195), st.floats(105, 195))
@settings(max_examples=20, deadline=None)
def test_the_network_sees_the_same_picture_of_a_part_that_has_been_turned(angle, x, y):
    seen = [warp(pixels, located(pixels)) for pixels in (drawn(screw() + FRAME / 2), drawn(turned(screw(), angle) + at(x, y)))]
    assert np.abs(seen[0].astype(int) - seen[1]).mean() < 3


def test_the_wider_end_lies_on_the_left():
    pixels = drawn(turned(screw(), 2.0) + FRAME / 2)
    seen = warp(pixels, located(pixels))[:, :, 0] < (LIGHT + DARK) / 2
    assert seen[:, :60].sum() > 1.5 * seen[:, 140:].sum()


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_frame_turned_by_a_quarter_gives_the_same_picture(quarter_turns):
    pixels = drawn(turned(screw(), 0.4) + at(140, 160))
    other = np.ascontiguousarray(np.rot90(pixels, quarter_turns))
    difference = np.abs(warp(pixels, located(pixels)).astype(int) - warp(other, located(other)))
    assert difference.mean() < 1


@given(st.floats(90, 190), angles)
@settings(max_examples=20, deadline=None)
def test_no_part_changes_the_scale(length, angle):
    affine = located(drawn(turned(screw(length), angle) + FRAME / 2), width=100, height=15).affine
    np.testing.assert_allclose(np.linalg.norm(affine[:, :2], axis=0), [2, 4], rtol=1e-12)
    assert affine[0, 0] * affine[0, 1] + affine[1, 0] * affine[1, 1] == pytest.approx(0, abs=1e-9)


def test_a_light_part_on_a_dark_ground_is_found_where_its_negative_is():
    pixels = drawn(turned(screw(), 0.7) + FRAME / 2)
    np.testing.assert_array_equal(located(255 - pixels, background="dark").affine, located(pixels).affine)


@pytest.mark.parametrize("background", ["light", "dark"])
def test_the_ground_of_the_recipe_is_believed_and_not_guessed(background):
    pixels = drawn(turned(screw(), 0.7) + FRAME / 2)
    other = pixels if background == "dark" else 255 - pixels
    with pytest.raises(PartNotLocated):
        located(other, background=background)


@pytest.mark.parametrize(("gain", "offset"), [(0.4, 0), (0.4, 100), (1.2, 20)])
def test_the_lamp_moves_no_part(gain, offset):
    pixels = drawn(turned(screw(), -2.2) + at(130, 170))
    dimmed = (gain * pixels + offset).clip(0, 255).astype(np.uint8)
    one, other = located(pixels), located(dimmed)
    assert between(angle_of(one), angle_of(other)) < math.radians(0.3)
    np.testing.assert_allclose(middle_of(one), middle_of(other), atol=0.5)


def test_a_soft_shadow_counts_as_background():
    part = turned(screw(), 0.3)
    shadow = 60.0 * np.exp(-(((np.mgrid[:FRAME, :FRAME] - np.array([[[150]], [[205]]])) / [[[25]], [[45]]]) ** 2).sum(axis=0))
    shaded = drawn(part + FRAME / 2, background=210).astype(float)
    shaded[shaded > 140] -= np.broadcast_to(shadow[:, :, np.newaxis], shaded.shape)[shaded > 140]
    placement = located(shaded.astype(np.uint8))
    assert between(angle_of(placement), 0.3) < math.radians(1.5)
    np.testing.assert_allclose(middle_of(placement), (150, 150), atol=2)


def test_a_glint_within_the_part_moves_nothing():
    part = turned(screw(), 0.3) + FRAME / 2
    glint = turned(bar(50, 5), 0.3) + at(FRAME / 2 + 20, FRAME / 2 + 5)
    glossy = drawn(part)
    glossy[drawn(glint, part=0, background=255) < 128] = 230
    one, other = located(glossy), located(drawn(part))
    assert between(angle_of(one), angle_of(other)) < math.radians(0.3)
    np.testing.assert_allclose(middle_of(one), middle_of(other), atol=0.3)


def test_dirt_beside_the_part_moves_nothing():
    part, speck = turned(screw(), 1.0) + FRAME / 2, turned(bar(20, 16), 0.5) + at(40, 250)
    np.testing.assert_allclose(located(drawn(part, speck)).affine, located(drawn(part)).affine, atol=0.05)


def test_a_colour_frame_is_located_as_its_grey_one():
    part = turned(screw(), 1.0) + FRAME / 2
    np.testing.assert_array_equal(located(drawn(part, channels=3)).affine, located(drawn(part)).affine)


@given(angles)
@settings(max_examples=20, deadline=None)
def test_only_the_region_of_interest_is_searched_however_it_is_turned(angle):
    wanted, other = turned(screw(100), angle) + at(190, 190), turned(screw(100), 0.5) + at(55, 55)
    region = RegionOfInterest(left=120, top=120, width=140, height=140, rotation_deg=20)
    placement = located(drawn(wanted, other), region)
    assert between(angle_of(placement), angle) < math.radians(2)
    np.testing.assert_allclose(middle_of(placement), (190, 190), atol=1.5)


def test_a_long_region_of_interest_bends_no_axis():
    region = RegionOfInterest(left=0.5, top=100.25, width=299.1, height=113.7)
    placement = located(drawn(turned(screw(), 0.2) + at(150, 155)), region)
    assert between(angle_of(placement), 0.2) < math.radians(1)
    np.testing.assert_allclose(middle_of(placement), (150, 155), atol=2)


@pytest.mark.parametrize("factor", [2, 3])
def test_a_frame_of_twice_the_pixels_is_located_alike(factor):
    part = turned(screw(), 1.0) + FRAME / 2
    small = located(drawn(part))
    large = located(drawn(factor * part, size=factor * FRAME), shown_px=(200.0 * factor, 60.0 * factor))
    assert between(angle_of(small), angle_of(large)) < math.radians(0.5)
    np.testing.assert_allclose(middle_of(large), factor * middle_of(small), atol=factor)


@given(angles)
@settings(max_examples=20, deadline=None)
def test_of_ends_that_are_alike_the_one_farther_to_the_right_lies_on_the_right(angle):
    assume(abs(math.cos(angle)) > 0.1)
    placement = located(drawn(turned(bar(), angle) + FRAME / 2), ends="alike")
    assert math.cos(angle_of(placement)) > 0
    assert abs(math.sin(angle_of(placement) - angle)) < math.radians(1)


def noise(level=150, sigma=4):
    random = np.random.default_rng(3)
    return np.clip(random.normal(level, sigma, (FRAME, FRAME, 1)), 0, 255).astype(np.uint8)


CENTRE = np.array([FRAME / 2, FRAME / 2])
DISC = np.array([(50 * math.cos(t), 50 * math.sin(t)) for t in np.linspace(0, 2 * math.pi, 60)])
LOPSIDED = np.array([(-80, -6), (-70, -46), (-60, -46), (-50, -6), (80, -6), (80, 6), (-80, 6)], float)
"""52 px across, of which more than half of 60 lie on one side of the centre of mass."""

NOT_LOCATED = {
    "an empty frame": (np.full((FRAME, FRAME, 1), 190, np.uint8), "no part in the region of interest: .* by 0 grey levels, wanted 10"),
    "a black frame": (np.zeros((FRAME, FRAME, 1), np.uint8), "no part in the region of interest"),
    "a white frame": (np.full((FRAME, FRAME, 1), 255, np.uint8), "no part in the region of interest"),
    "noise": (noise(), "no part in the region of interest: .* check trigger, light, and locator.background"),
    "dirt": (drawn(bar(12, 8) + CENTRE), "only specks; check the trigger"),
    "two parts": (drawn(screw() + at(150, 90), screw() + at(150, 210)), "2 parts of about one size .*; feed one at a time"),
    "three parts": (drawn(screw() + at(150, 60), screw() + at(150, 150), screw() + at(150, 240)), "3 parts of about one size"),
    "cut off on the left": (drawn(screw() + at(70, 150)), "reaches over the edge of the region of interest; let it lie farther in"),
    "cut off at the top": (drawn(turned(screw(), 1.5) + at(150, 70)), "reaches over the edge"),
    "cut off on the right": (drawn(screw() + at(230, 150)), "reaches over the edge"),
    "cut off at the bottom": (drawn(turned(screw(), 1.5) + at(150, 230)), "reaches over the edge"),
    "a disc": (drawn(DISC + CENTRE), r"has no direction: it is 1\.00 times as long as wide .*, wanted 1\.5; look at the frame"),
    "a square": (drawn(turned(bar(80, 80), 0.4) + CENTRE), "has no direction"),
    "a pin": (drawn(turned(bar(), 0.4) + CENTRE), r"ends look alike: taper 0\.0\d, wanted 0\.1; .* write `ends: alike`"),
    "too long": (drawn(turned(screw(210), 0.4) + CENTRE), r"the part is 2\d\d x \d\d px, the locator shows 200 x 60; .* teach again"),
    "too far out on one side": (drawn(turned(LOPSIDED, 0.4) + CENTRE), r"the part is 1\d\d x [678]\d px, the locator shows 200 x 60"),
    "too wide": (drawn(turned(screw(180, 68), 0.4) + CENTRE), r"the part is 1\d\d x \d\d px, the locator shows 200 x 60"),
}


@pytest.mark.parametrize(("pixels", "words"), NOT_LOCATED.values(), ids=NOT_LOCATED.keys())
def test_what_cannot_be_located_is_refused_with_the_reason(pixels, words):
    with pytest.raises(PartNotLocated, match=words):
        located(pixels)


def test_a_part_just_over_the_least_contrast_is_found():
    part = turned(screw(), 0.4) + FRAME / 2
    assert between(angle_of(located(drawn(part, part=148, background=160))), 0.4) < math.radians(1.5)
    with pytest.raises(PartNotLocated, match=r"by [78] grey levels"):
        located(drawn(part, part=152, background=160))


# out of the frame

CORNER = turned(screw(120), 0.8) + at(58, 60)


def test_what_lies_beyond_the_frame_repeats_its_outermost_pixels():
    pixels = drawn(CORNER) + np.arange(FRAME, dtype=np.uint8)[:, np.newaxis, np.newaxis] // 8
    placement = located(pixels)
    margin = 100
    padded = cv2.copyMakeBorder(pixels, margin, margin, margin, margin, cv2.BORDER_REPLICATE)[:, :, np.newaxis]
    farther = dataclasses.replace(placement, affine=placement.affine + np.array([0, 0, margin]))
    assert np.abs(warp(pixels, placement).astype(int) - warp(padded, farther)).max() <= 1


def test_nothing_is_read_beyond_the_frame():
    plan = walk(located(drawn(CORNER), width=100, height=30), FRAME, FRAME)
    assert (plan.left, plan.top) == (0, 0)
    assert plan.right <= FRAME
    assert plan.bottom <= FRAME


@given(st.floats(70, 230), st.floats(70, 230), angles)
@settings(max_examples=20, deadline=None)
def test_no_cell_beyond_the_frame_is_searched_and_none_within_is_left_out(x, y, angle):
    placement = located(drawn(turned(screw(120), angle) + at(x, y)), shown_px=(200.0, 100.0))
    searched = searched_cells(placement, 50, 15, FRAME, FRAME, Masks())
    row, column = np.mgrid[:15, :50]
    centres = np.column_stack([4 * column.ravel() + 1.5, 4 * row.ravel() + 1.5])
    edges = frame_points(placement, centres) + 0.5
    np.testing.assert_array_equal(searched.ravel(), ((edges >= 0) & (edges <= FRAME)).all(axis=1))


# the axis

TRIANGLE = np.array([[0, 0], [0, 60], [180, 30]], float)


def test_the_axis_of_a_triangle_is_the_one_of_the_formula():
    """Variances of a triangle about its centre of mass: height² / 18 along, base² / 24 across; u v² has mean h b² / 180."""
    axis = principal_axis(TRIANGLE)
    np.testing.assert_allclose(axis.direction, (1, 0), atol=1e-6)
    assert axis.elongation == pytest.approx(math.sqrt((180**2 / 18) / (60**2 / 24)))
    assert axis.taper == pytest.approx((180 * 60**2 / 180) / (180 / math.sqrt(18) * 60**2 / 24), rel=1e-4)


@settings(deadline=None)
@given(angles, st.floats(0, 4000), st.floats(0, 4000), st.floats(0.1, 10), st.booleans())
def test_an_axis_turns_with_its_outline_and_with_nothing_else(angle, x, y, scale, reversed_order):
    outline = scale * turned(TRIANGLE, angle) + at(x, y)
    axis = principal_axis(outline[::-1] if reversed_order else outline)
    assert between(math.atan2(axis.direction[1], axis.direction[0]), angle) < 0.01
    assert axis.elongation == pytest.approx(math.sqrt(12), rel=0.02)
    assert axis.taper == pytest.approx(principal_axis(TRIANGLE).taper, rel=0.05)


def test_a_needle_has_an_axis_too():
    needle = np.array([[0, 0], [100, 100], [100.01, 100]], float)
    assert principal_axis(needle).elongation > 1000


def shaded(pixels, share, angle, soft_px=40):
    """A soft-edged shadow over one side of a line through the frame's middle; only a share of the light is left in it."""
    rows, columns = np.indices(pixels.shape[:2]) - FRAME / 2
    lit = np.clip(0.5 + (columns * np.cos(angle) + rows * np.sin(angle)) / soft_px, 0, 1)
    return np.rint(pixels * (share + (1 - share) * lit)[:, :, np.newaxis]).astype(np.uint8)


@pytest.mark.parametrize("share", [0.75, 0.5])
@pytest.mark.parametrize("angle", [0.0, 0.9, 2.0, -2.5])
def test_a_part_under_a_shadow_is_found_where_the_light_is_evened_out(share, angle):
    pixels = shaded(drawn(turned(screw(), 0.6) + at(150, 140)), share, angle)
    placement = located(pixels, even_light=True)
    assert between(angle_of(placement), 0.6) < math.radians(2.5)
    np.testing.assert_allclose(middle_of(placement), [150, 140], atol=5)


def test_a_shadow_is_taken_for_a_part_where_the_light_is_left_alone():
    with pytest.raises(PartNotLocated):
        located(shaded(drawn(turned(screw(), 0.6) + at(150, 140)), 0.5, 0.9))


@pytest.mark.parametrize(("background", "part", "ground"), [("light", DARK, LIGHT), ("dark", LIGHT, DARK)])
def test_even_light_changes_little_where_the_light_is_even(background, part, ground):
    pixels = drawn(turned(screw(), -1.1) + at(160, 150), part=part, background=ground)
    plain, evened = (located(pixels, background=background, even_light=even) for even in (False, True))
    assert between(angle_of(plain), angle_of(evened)) < math.radians(0.5)
    np.testing.assert_allclose(middle_of(plain), middle_of(evened), atol=1)


def test_a_part_on_a_dark_ground_with_a_glow_is_found_where_the_light_is_evened_out():
    pixels = 255 - shaded(255 - drawn(turned(screw(), 0.6) + at(150, 140), part=LIGHT, background=20), 0.5, 0.9)
    placement = located(pixels, background="dark", even_light=True)
    assert between(angle_of(placement), 0.6) < math.radians(2.5)
