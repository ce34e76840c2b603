"""The network's image laid over the frame's region of interest: one affine."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edge_inspect.config import RegionOfInterest
from edge_inspect.datatypes import Placement
from edge_inspect.errors import ConfigError

Positions = npt.NDArray[np.float64]
Pair = tuple[float, float]

EDGE_SLACK_PX = 1e-6
"""The corners of a turned region are rounded in float64: a millionth of a pixel is neither outside nor a pixel of its own."""


def place(frame_width: int, frame_height: int, region: RegionOfInterest | None, *, width: int, height: int, channels: int) -> Placement:
    """Lay the network's image over the region of interest.

    The centre of network pixel (u, v) lies (u + 0.5) / width of the region's width from its left edge, and likewise down;
    then the region turns clockwise (on the screen) about its centre.

    Args:
        frame_width: width of the frame [px].
        frame_height: height of the frame [px].
        region: the region of interest; None is the whole frame.
        width: width of the network's image [px].
        height: height of the network's image [px].
        channels: channels of the network's image, 1 or 3.

    Raises:
        ConfigError: the region reaches out of the frame.
    """
    region = region or RegionOfInterest(left=0, top=0, width=frame_width, height=frame_height)
    middle = (region.left + region.width / 2 - 0.5, region.top + region.height / 2 - 0.5)
    size_px, direction = (region.width, region.height), _direction(region.rotation_deg)
    placement = lay(middle, direction, size_px, width=width, height=height, channels=channels)
    _refuse_outside(placement, frame_width, frame_height, region)
    return placement


def lay(middle: Pair, direction: Pair, size_px: Pair, *, width: int, height: int, channels: int) -> Placement:
    """Lay the network's image about a position of the frame; it may reach out of the frame.

    Args:
        middle: position of its middle, x and y [frame px].
        direction: cosine and sine of the angle that it is turned by, clockwise on the screen.
        size_px: what it covers along and across that direction [frame px].
        width: width of the network's image [px].
        height: height of the network's image [px].
        channels: channels of the network's image, 1 or 3.
    """
    (cosine, sine), (step_x, step_y) = direction, (size_px[0] / width, size_px[1] / height)
    turned = np.array([[cosine * step_x, -sine * step_y], [sine * step_x, cosine * step_y]])
    origin = np.array(middle) - turned @ np.array([(width - 1) / 2, (height - 1) / 2])
    return Placement(affine=np.column_stack([turned, origin]), width=width, height=height, channels=channels)


def frame_points(placement: Placement, network_points: Positions) -> Positions:
    """Map positions (n, 2), x and y, from network pixels to frame pixels."""
    return network_points @ placement.affine[:, :2].T + placement.affine[:, 2]


def reach(row: list[float], placement: Placement) -> tuple[float, float]:
    """First and last edge of the placed image along one axis of the frame [px], given that axis's row of the affine."""
    along_u, along_v, offset = row
    centre = along_u * (placement.width - 1) / 2 + along_v * (placement.height - 1) / 2 + offset + 0.5
    half = (abs(along_u) * placement.width + abs(along_v) * placement.height) / 2
    return centre - half, centre + half


def _direction(rotation_deg: float) -> Pair:
    """Cosine and sine, exact for quarter turns."""
    quarter_turns = rotation_deg / 90
    if quarter_turns == round(quarter_turns):
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[round(quarter_turns) % 4]
    return math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))


def _refuse_outside(placement: Placement, frame_width: int, frame_height: int, region: RegionOfInterest) -> None:
    (left, right), (top, bottom) = (reach(row, placement) for row in placement.affine.tolist())
    if min(left, top) < -EDGE_SLACK_PX or right > frame_width + EDGE_SLACK_PX or bottom > frame_height + EDGE_SLACK_PX:
        turned = f" turned by {region.rotation_deg:g} degrees" if region.rotation_deg else ""
        raise ConfigError(
            f"region_of_interest: {region.width:g} x {region.height:g} px at ({region.left:g}, {region.top:g}){turned} reaches "
            f"from ({left:.1f}, {top:.1f}) to ({right:.1f}, {bottom:.1f}), out of the frame of {frame_width} x {frame_height} px; "
            "move or shrink it"
        )
