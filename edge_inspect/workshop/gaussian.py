"""The Gaussian filter's weights, for graphs written with onnx and for those traced from torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def gaussian_kernel(sigma: float) -> npt.NDArray[np.float32]:
    """Weights of a Gaussian filter, summing to one, out to three sigma [cells]."""
    reach = max(1, int(np.ceil(3 * sigma)))
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    kernel: npt.NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return kernel
