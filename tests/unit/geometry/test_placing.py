"""Where the network's image lies in the frame."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.config import RegionOfInterest
from edge_inspect.errors import ConfigError
from edge_inspect.geometry import frame_points, place

sizes = st.integers(1, 600)


@st.composite
def regions_in_a_frame(draw):
    """A region of any angle whose frame is just large enough for it, or larger."""
    width, height = draw(st.floats(1, 900)), draw(st.floats(1, 900))
    half = np.hypot(width, height) / 2
    centre_x, centre_y = draw(st.floats(half, half + 500)), draw(st.floats(half, half + 500))
    region = RegionOfInterest(
        left=centre_x - width / 2, top=centre_y - height / 2, width=width, height=height, rotation_deg=draw(st.floats(-180, 180))
    )
    return region, int(centre_x + half) + 1, int(centre_y + half) + 1


@given(regions_in_a_frame(), sizes, sizes, st.lists(st.tuples(st.floats(-10, 700), st.floats(-10, 700)), min_size=1))
def test_a_point_comes_back_from_the_frame_where_it_was_in_the_network_image(placed, width, height, points):
    region, frame_width, frame_height = placed
    placement = place(frame_width, frame_height, region, width=width, height=height, channels=3)
    points = np.array(points)
    there = frame_points(placement, points)
    back = np.column_stack(
        [
            cv2.invertAffineTransform(placement.affine),
        ]
    ).T
    np.testing.assert_allclose(np.column_stack([there, np.ones(len(there))]) @ back, points, atol=1e-6)


@given(regions_in_a_frame(), sizes, sizes)
def test_the_middle_of_the_network_image_is_the_middle_of_the_region(placed, width, height):
    region, frame_width, frame_height = placed
    placement = place(frame_width, frame_height, region, width=width, height=height, channels=1)
    middle = frame_points(placement, np.array([[(width - 1) / 2, (height - 1) / 2]]))[0] + 0.5
    np.testing.assert_allclose(middle, [region.left + region.width / 2, region.top + region.height / 2], atol=1e-6)


def test_without_a_region_the_first_network_pixel_is_the_mean_place_of_its_frame_pixels():
    placement = place(1024, 512, None, width=256, height=256, channels=3)
    np.testing.assert_array_equal(placement.affine, [[4, 0, 1.5], [0, 2, 0.5]])
    assert (placement.width, placement.height, placement.channels) == (256, 256, 3)


def test_a_region_scales_and_shifts():
    region = RegionOfInterest(left=10, top=20, width=128, height=64)
    placement = place(640, 480, region, width=256, height=256, channels=1)
    np.testing.assert_allclose(placement.affine, [[0.5, 0, 10 - 0.25], [0, 0.25, 20 - 0.375]])


@pytest.mark.parametrize(
    ("rotation_deg", "top_left"),
    [(0, (40, 45)), (90, (55, 40)), (-90, (45, 60)), (180, (60, 55)), (-180, (60, 55)), (45, (46.464, 39.393))],
)
def test_a_region_turns_clockwise_about_its_centre(rotation_deg, top_left):
    region = RegionOfInterest(left=40, top=45, width=20, height=10, rotation_deg=rotation_deg)
    placement = place(100, 100, region, width=20, height=10, channels=1)
    np.testing.assert_allclose(frame_points(placement, np.array([[-0.5, -0.5]]))[0] + 0.5, top_left, atol=1e-3)


@pytest.mark.parametrize("rotation_deg", [0, 90, -90, 180, -180])
def test_a_quarter_turn_is_exact(rotation_deg):
    region = RegionOfInterest(left=0, top=0, width=100, height=100, rotation_deg=rotation_deg)
    assert set(np.abs(place(100, 100, region, width=100, height=100, channels=1).affine[:, :2]).ravel()) == {0.0, 1.0}


@pytest.mark.parametrize(
    "region",
    [
        RegionOfInterest(left=541, top=0, width=100, height=100),
        RegionOfInterest(left=0, top=400, width=100, height=80.5),
        RegionOfInterest(left=0, top=0, width=641, height=10),
        RegionOfInterest(left=0, top=100, width=100, height=100, rotation_deg=30),
        RegionOfInterest(left=100, top=0, width=100, height=100, rotation_deg=30),
    ],
)
def test_a_region_that_reaches_out_of_the_frame_is_refused_with_the_numbers(region):
    with pytest.raises(ConfigError, match=r"region_of_interest: .* out of the frame of 640 x 480 px; move or shrink it") as caught:
        place(640, 480, region, width=256, height=256, channels=3)
    assert f"{region.width:g} x {region.height:g} px at ({region.left:g}, {region.top:g})" in str(caught.value)
    assert ("turned by 30 degrees" in str(caught.value)) == (region.rotation_deg == 30)


def test_a_region_that_just_fits_is_taken_though_its_corners_are_rounded():
    side = 100 / np.sqrt(2)
    region = RegionOfInterest(left=50 - side / 2, top=50 - side / 2, width=side, height=side, rotation_deg=45)
    assert place(100, 100, region, width=64, height=64, channels=1).width == 64
