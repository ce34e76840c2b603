"""Illumination normalisation inside the graph: local contrast and the homomorphic filter, from convolutions and poolings only.

Source: An, Wu, Li 2026, section 5.4 names both and gives no numbers. Both work on planes 0 to 255 and give planes around 127
with about the same spread, so that what follows need not know which was chosen. Statistics are local to one image by their
nature; nothing is rescaled by the whole image's minimum or maximum.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.workshop.models.frames import GaussianFilter, enlarged
from edge_inspect.workshop.models.system import Illumination

GREY = 127.0
CONTRAST_SIGMA_PX = 24.0
"""Neighbourhood of the local contrast [px of the network's image]: a tenth of the usual 256, larger than a defect."""
CONTRAST_GAIN = 48.0
"""Grey levels of one local standard deviation: about a photograph's own spread."""
CONTRAST_FLOOR = 8.0
"""Least standard deviation [grey levels]: where there is nothing but noise it must not be blown up."""
LIGHT_SIGMA_PX = 32.0
"""What varies more slowly than this is light, not part [px]."""
LIGHT_KEPT = 0.25
"""Share of the light that the homomorphic filter keeps (gamma low); detail is kept whole (gamma high 1)."""
SHRINK = 8
"""Slow filters run on an image this much smaller: the same to the eye and a sixtieth of the work."""


class SlowFilter(nn.Module):
    """Low-pass of wide sigma: block means, a Gaussian on the small image, enlarged again."""

    def __init__(self, sigma_px: float) -> None:
        """Sigma in pixels of the network's image."""
        super().__init__()
        self.gaussian = GaussianFilter(sigma_px / SHRINK)

    def forward(self, planes: Tensor) -> Tensor:
        """(n, c, H, W) to the same; H and W multiples of `SHRINK`."""
        return enlarged(self.gaussian(functional.avg_pool2d(planes, SHRINK)), SHRINK)


class LocalContrast(nn.Module):
    """(x - local mean) / local standard deviation, in grey levels around 127. Source: An 2026, section 5.4."""

    def __init__(self) -> None:
        """No learnt weights."""
        super().__init__()
        self.mean = SlowFilter(CONTRAST_SIGMA_PX)

    def forward(self, planes: Tensor) -> Tensor:
        """(n, c, H, W) 0 to 255 to the same around 127; the deviation of a pixel is its distance from the local mean."""
        apart: Tensor = planes - self.mean(planes)
        deviation = torch.sqrt(self.mean(apart * apart) + CONTRAST_FLOOR**2)
        return GREY + CONTRAST_GAIN * apart / deviation


class Homomorphic(nn.Module):
    """exp(log x - (1 - gamma) slow(log x)), scaled so that even light of 127 stays 127. Source: An 2026, section 5.4."""

    def __init__(self) -> None:
        """No learnt weights."""
        super().__init__()
        self.slow = SlowFilter(LIGHT_SIGMA_PX)

    def forward(self, planes: Tensor) -> Tensor:
        """(n, c, H, W) 0 to 255 to the same."""
        logarithm = torch.log(planes + 1.0)
        light = self.slow(logarithm) - torch.log(torch.tensor(GREY + 1.0))
        return torch.exp(logarithm - (1.0 - LIGHT_KEPT) * light) - 1.0


def open_illumination(kind: Illumination) -> nn.Module:
    """The normalisation of that name; "both" is the homomorphic filter and then local contrast."""
    layers = {"none": (), "contrast": (LocalContrast,), "homomorphic": (Homomorphic,), "both": (Homomorphic, LocalContrast)}[kind]
    return nn.Sequential(*(layer() for layer in layers))
