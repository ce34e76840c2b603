"""What a line does to a picture on a bad day: noise, light, focus, compression, a part that lies elsewhere.

Each is a pure function of the frame (H, W, C) uint8, a strength and a random generator, and gives a new frame of that shape.
An, Wu and Li 2026 (figures 10 and 13) name salt and pepper, low light, strong light and shadow, but give numbers only for
the first; what the others mean is said here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import UInt8Image

Apply = Callable[[UInt8Image, float, np.random.Generator], UInt8Image]

ELECTRONS_PER_LEVEL = 40
"""Shot noise of an industrial sensor: about 10,000 electrons make white (EMVA 1288 sheets of 3.45 um pixels), in 255 levels."""

SHADOW_EDGE = 0.1
"""Width of a shadow's soft edge, of the frame's diagonal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """A way to disturb a frame.

    Attributes:
        name: key in the JSON.
        title: for people.
        unit: what a strength is.
        neutral: the strength that stands for a frame as it came.
        strengths: those tried, weakest first.
        apply: does it.
    """

    name: str
    title: str
    unit: str
    neutral: float
    strengths: tuple[float, ...]
    apply: Apply


def salt_and_pepper(pixels: UInt8Image, density_percent: float, random: np.random.Generator) -> UInt8Image:
    """So many percent of the pixels become black or white, all channels alike. Source: An 2026, figure 10(a): 0 to 25 %."""
    drawn = random.random(pixels.shape[:2])
    disturbed = pixels.copy()
    disturbed[drawn < density_percent / 200] = 0
    disturbed[drawn > 1 - density_percent / 200] = 255
    return disturbed


def low_light(pixels: UInt8Image, share: float, random: np.random.Generator) -> UInt8Image:
    """Only a share of the light arrives, with the shot noise that so few photons have."""
    darkened = pixels.astype(np.float64) * share
    noise = random.standard_normal(pixels.shape) * np.sqrt(darkened / ELECTRONS_PER_LEVEL)
    return _grey_levels(darkened + noise)


def strong_light(pixels: UInt8Image, gain: float, _random: np.random.Generator) -> UInt8Image:
    """So many times the light: bright places are white and stay white."""
    return _grey_levels(pixels * gain)


def shadow(pixels: UInt8Image, share: float, random: np.random.Generator) -> UInt8Image:
    """A soft-edged shadow over one side of a line through the frame's middle third; only a share of the light is left in it."""
    height, width = pixels.shape[:2]
    angle = random.uniform(0, 2 * np.pi)
    x, y = (np.array((width, height)) * random.uniform(1 / 3, 2 / 3, 2)).tolist()
    rows, columns = np.ogrid[0:height, 0:width]
    distance = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    lit = np.clip(0.5 + distance / (SHADOW_EDGE * np.hypot(width, height)), 0, 1)
    return _grey_levels(pixels * (share + (1 - share) * lit)[:, :, None])


def blur(pixels: UInt8Image, sigma_px: float, _random: np.random.Generator) -> UInt8Image:
    """Out of focus: a Gaussian filter of so many frame pixels."""
    return _shaped(cv2.GaussianBlur(pixels, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE), pixels)


def jpeg(pixels: UInt8Image, quality: float, _random: np.random.Generator) -> UInt8Image:
    """Packed as JPEG of this quality and unpacked."""
    _, packed = cv2.imencode(".jpg", _bgr(pixels), [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
    unpacked = cv2.imdecode(packed, cv2.IMREAD_UNCHANGED)
    return _bgr(_shaped(np.asarray(unpacked), pixels))


def shift(pixels: UInt8Image, percent: float, random: np.random.Generator) -> UInt8Image:
    """The part lies so many percent of the frame's width and height elsewhere, either way; edge pixels are repeated."""
    height, width = pixels.shape[:2]
    across, down = random.choice((-1, 1), 2) * percent / 100
    return _moved(pixels, np.array([[1, 0, across * width], [0, 1, down * height]]))


def rotation(pixels: UInt8Image, degrees: float, random: np.random.Generator) -> UInt8Image:
    """The part is turned about the frame's centre, either way; edge pixels are repeated."""
    height, width = pixels.shape[:2]
    turned = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), float(random.choice((-1, 1)) * degrees), 1.0)
    return _moved(pixels, turned)


DISTURBANCES = (
    Disturbance(
        name="salt_and_pepper", title="Salt and pepper", unit="% of pixels", neutral=0, strengths=(5, 10, 15, 20, 25), apply=salt_and_pepper
    ),
    Disturbance(name="low_light", title="Low light", unit="of the light", neutral=1, strengths=(0.75, 0.5, 0.35), apply=low_light),
    Disturbance(
        name="strong_light", title="Strong light", unit="times the light", neutral=1, strengths=(1.25, 1.5, 2.0), apply=strong_light
    ),
    Disturbance(name="shadow", title="Shadow", unit="of the light in it", neutral=1, strengths=(0.75, 0.5, 0.35), apply=shadow),
    Disturbance(name="blur", title="Blur", unit="px sigma", neutral=0, strengths=(1, 2, 3), apply=blur),
    Disturbance(name="jpeg", title="JPEG", unit="quality", neutral=100, strengths=(90, 50, 20), apply=jpeg),
    Disturbance(name="shift", title="Shift", unit="% of the frame", neutral=0, strengths=(1, 2, 4), apply=shift),
    Disturbance(name="rotation", title="Rotation", unit="degrees", neutral=0, strengths=(1, 3, 5), apply=rotation),
)
"""All of them. The neutral strength is never applied: it stands for the frame as it came."""


def _grey_levels(values: npt.NDArray[np.floating]) -> UInt8Image:
    levels: UInt8Image = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels


def _bgr(pixels: UInt8Image) -> UInt8Image:
    """RGB as OpenCV's codecs want it, and back; grey stays."""
    turned: UInt8Image = np.ascontiguousarray(pixels[:, :, ::-1])
    return turned


def _moved(pixels: UInt8Image, affine: cv2.typing.MatLike) -> UInt8Image:
    size = (pixels.shape[1], pixels.shape[0])
    return _shaped(cv2.warpAffine(pixels, affine, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), pixels)


def _shaped(changed: npt.NDArray[Any], like: UInt8Image) -> UInt8Image:
    """OpenCV drops the axis of a single channel."""
    shaped: UInt8Image = np.ascontiguousarray(changed, np.uint8).reshape(like.shape)
    return shaped
