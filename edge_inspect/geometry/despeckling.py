"""Black and white specks, taken out of a frame before anything else looks at it: a bad cable's bits, salt and pepper.

At the frame's own resolution a speck is one pixel of 0 or 255; once the warp has averaged blocks it is a blot that no filter in the graph
can tell from texture. So this stands beside the warp and not in the graph.

Source: Sun, Neuvo 1994, Detail-preserving median based filters in image processing (switching: only what looks like a speck is replaced);
Esakkirajan et al. 2011 (trimmed: from sound neighbours alone). Ours: a frame with hardly any specks comes back bit for bit, so that a
threshold made on such frames holds; one with many gets a median over 3 x 3 pixels besides, for the grain that filling leaves.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import UInt8Image

LEAST_SHARE = 0.01
"""Of the frame's values that are specks; below it the frame is left as it is: a black hairline crack is made of such pixels too."""

LEAST_STEP = 40
"""Between a speck and the median of its neighbourhood [grey levels]."""

SEARCHED_PX = 5
"""Side of that neighbourhood: with 25 % specks one in a thousand lies among so many of its kind that 3 x 3 pixels take it for sound."""

NEAR = np.array([1, 2, 1], np.float32)
"""Weight of neighbours along either side."""

Values = npt.NDArray[np.uint8]
"""A frame's rows, all channels of a pixel beside each other: (H, W * C)."""


def despeckle(pixels: UInt8Image) -> UInt8Image:
    """Put the mean of the sound neighbours in the place of specks, and a median filter over the frame.

    A speck is a value of 0 or 255 that lies more than `LEAST_STEP` from the median of its neighbourhood; white ground that is overexposed
    and black ground that gets no light are none. Channels are looked at one by one.

    Args:
        pixels: the frame (H, W, C) uint8, C is 1 or 3; it is not written to.

    Returns:
        `pixels` itself where fewer than 1 % of its values are specks, else a new frame of that shape.
    """
    least = LEAST_SHARE * pixels.size
    inside = cv2.inRange(_flat(pixels), (1,), (254,))
    if pixels.size - cv2.countNonZero(inside) < least:
        return pixels
    median = np.asarray(cv2.medianBlur(pixels, SEARCHED_PX), np.uint8).reshape(pixels.shape)
    _, apart = cv2.threshold(cv2.absdiff(_flat(pixels), _flat(median)), LEAST_STEP, 255, cv2.THRESH_BINARY)
    specks = cv2.bitwise_and(apart, cv2.bitwise_not(inside))
    if cv2.countNonZero(specks) < least:
        return pixels
    filled = _filled(pixels, np.asarray(specks, np.uint8), median)
    return np.asarray(cv2.medianBlur(filled, 3), np.uint8).reshape(pixels.shape)


def _filled(pixels: UInt8Image, specks: Values, median: UInt8Image) -> UInt8Image:
    """Specks filled with the mean of their sound neighbours; with the median where there is none."""
    sound = np.asarray(cv2.bitwise_not(specks), np.uint8)
    total = _near(np.asarray(cv2.bitwise_and(_flat(pixels), sound), np.uint8), pixels.shape)
    weight = _near(np.asarray(sound & 1, np.uint8), pixels.shape)
    filled = _flat(median.copy())
    cv2.copyTo(cv2.divide(total, weight, dtype=cv2.CV_8U), cv2.min(specks, cv2.compare(weight, 0, cv2.CMP_GT)), filled)  # type: ignore[call-overload]
    cv2.copyTo(_flat(pixels), sound, filled)
    return filled.reshape(pixels.shape)


def _near(values: Values, shape: tuple[int, ...]) -> npt.NDArray[np.int16]:
    """Weighted sum over the 3 x 3 neighbourhood; at most 16 x 255."""
    near = cv2.sepFilter2D(values.reshape(shape), cv2.CV_16S, NEAR, NEAR, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(near, np.int16).reshape(values.shape)


def _flat(pixels: UInt8Image) -> Values:
    return pixels.reshape(pixels.shape[0], -1)
