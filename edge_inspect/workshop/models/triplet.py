"""Triplet network: good patches lie close together in its features, good patches with a box erased lie far off.

Source: Tayeh, Aburakhia, Myers, Shami 2020, Distance-Based Anomaly Detection for Industrial Surfaces Using Triplet Networks. Network and
loss are in `triplet_network.py`, the negatives in `random_erasing.py`. The prototype P is the mean feature map of good images;
a cell's score is its distance from it, s(p) = |F(p) - P(p)|.

Deviations:
    - Pixels are divided by 255. The paper scales every image by its own minimum and maximum (`scaling: image`): then one bright speck moves
      all its scores.
    - The sizes 1024, 512, 256, 128 are the network image's divided by 1, 2, 4, 8, those that hold a patch. One is drawn for a step, so that
      anchor, positive and negative are seen at one scale. A step is `batch` images: 16 give the paper's 256 triplets at the two
      large sizes, 128 at the small ones. A positive is another image's anchor, a negative is the positive with a box erased.
    - One network for one part, not one for eleven; early stop on held-out good images (`patience`; 0 gives the paper's fixed 40 epochs).
    - Without padding the map leaves out a rim of the image (481 cells where 512 would cover 1024 pixels): see `border`.
    - Mean and maximum are taken of the Gaussian-smoothed distances, as the map on the line is.
    - The support vector machine is not fitted on test images, see `thresholds/separation.py`; the default decision needs no defects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from edge_inspect.model_folder import ImageSize
from edge_inspect.thresholds.separation import Features, fit_svm
from edge_inspect.workshop.models.frames import GaussianFilter, maximum, planes_from_frames
from edge_inspect.workshop.models.illumination import open_illumination
from edge_inspect.workshop.models.initialise import xavier_uniform
from edge_inspect.workshop.models.random_erasing import erased
from edge_inspect.workshop.models.system import Batches, Prepared, SystemConfig
from edge_inspect.workshop.models.triplet_config import TripletConfig, border, check
from edge_inspect.workshop.models.triplet_network import (
    TripletNetwork,
    cut_patches,
    distances,
    grey_from_planes,
    scaled_by_image,
    triplet_loss,
)
from edge_inspect.workshop.synthetic import plant_defect


class Triplet(nn.Module):
    """The system, see `system.py`. What training works on are the frames themselves: patches are cut afresh in every step."""

    Config: ClassVar[type[SystemConfig]] = TripletConfig
    prototype: Tensor
    separation: Tensor

    def __init__(self, config: TripletConfig, size: ImageSize) -> None:
        """Weights are drawn evenly by fan-in and fan-out, as the paper's library does.

        Raises:
            ConfigError: the image has an odd side or holds no patch, or a patch is smaller than what one cell sees.
        """
        super().__init__()
        check(config, size)
        self.config: TripletConfig = config
        self.illumination = open_illumination(config.illumination)
        self.network = TripletNetwork(
            filters=config.filters, blocks=config.blocks, same_padding=config.same_padding, batch_norm=config.batch_norm
        )
        self.network.apply(xavier_uniform)
        self.smooth = GaussianFilter(config.smoothing_cells)
        self.continued_px, self.repeated_cells = border(config)
        self.scales = [
            (shrink, count)
            for shrink, count in zip(config.shrinks, config.patches, strict=True)
            if min(size.width, size.height) // shrink >= config.patch_px
        ]
        cells = (size.height // 2 - 2 * self.repeated_cells, size.width // 2 - 2 * self.repeated_cells)
        self.register_buffer("prototype", torch.zeros(1, config.filters, *(cells if config.prototype == "per_cell" else (1, 1))))
        self.register_buffer("separation", torch.tensor([0.0, 1.0, 0.0]))

    @property
    def image_score(self) -> Literal["map maximum", "own"]:
        """The paper's plain decision is the map's maximum."""
        return "map maximum" if self.config.decision == "maximum" else "own"

    @property
    def score_meaning(self) -> str:
        """What the numbers are."""
        cell = "distance of a cell's features from the prototype's"
        if self.config.decision == "svm":
            return f"{cell}; image: side of a line fitted on mean and maximum of good training images and copies with drawn defects"
        return f"{cell}; image: its {self.config.decision}"

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Adam."""
        return {"network": Adam(self.network.parameters(), lr=self.config.learning_rate)}

    def prepare(self, frames: Tensor, random: np.random.Generator) -> Prepared:  # noqa: ARG002
        """The frames as they are."""
        return (frames,)

    def start_epoch(self, epoch: int, batches: Batches) -> None:
        """Nothing depends on the epoch."""

    def step(self, rows: Prepared, optimizers: Mapping[str, Optimizer]) -> dict[str, float]:
        """Triplets from every image, all at one size drawn for this step."""
        self.train()
        shrink, count = self.scales[int(torch.randint(len(self.scales), ()))]
        loss = self._loss(rows[0], shrink, count)
        optimizers["network"].zero_grad()
        torch.autograd.backward(loss)
        optimizers["network"].step()
        return {"triplet": float(loss.detach())}

    @torch.no_grad()
    def stop_loss(self, rows: Prepared) -> float:
        """The triplet loss at every size, mean over sizes; patches and boxes are always the same ones."""
        self.eval()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return float(torch.stack([self._loss(rows[0], shrink, count) for shrink, count in self.scales]).mean())

    @torch.no_grad()
    def settle(self, batches: Batches) -> None:
        """Take the prototype from the good images, then the separation where the decision is one."""
        self.eval()
        count, total = 0, torch.zeros_like(self.prototype, dtype=torch.float64)
        for (frames,) in batches():
            features = self.features(frames).double()
            total += (
                features.sum(0, keepdim=True)
                if self.config.prototype == "per_cell"
                else features.mean((2, 3), keepdim=True).sum(0, keepdim=True)
            )
            count += len(frames)
        self.prototype.copy_(total / count)
        if self.config.decision == "svm":
            self._separate(batches)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (n, H, W, C) uint8 to score map (n, 1, H / 2, W / 2) and image score (n,)."""
        cells = self.cells(frames)
        rim = self.repeated_cells
        score_map = functional.pad(cells, (rim, rim, rim, rim), mode="replicate") if rim else cells
        return score_map, self._image_score(cells)

    def features(self, frames: Tensor) -> Tensor:
        """(n, H, W, C) uint8 to (n, filters, h, w), without the cells that are repeated."""
        margin = self.continued_px
        continued = functional.pad(self._grey(frames), (margin, margin, margin, margin), mode="replicate")
        return cast(Tensor, self.network(continued))

    def cells(self, frames: Tensor) -> Tensor:
        """Smoothed distances of the cells that the network computes: (n, H, W, C) uint8 to (n, 1, h, w)."""
        apart = self.features(frames) - self.prototype
        return cast(Tensor, self.smooth(torch.sqrt((apart * apart).sum(dim=1, keepdim=True))))

    def _grey(self, frames: Tensor) -> Tensor:
        """(n, H, W, C) uint8 to (n, 1, H, W), 0 to 1 without illumination normalisation."""
        grey = grey_from_planes(self.illumination(planes_from_frames(frames)))
        return scaled_by_image(grey) if self.config.scaling == "image" else grey

    def _loss(self, frames: Tensor, shrink: int, count: int) -> Tensor:
        """Anchors are patches of all images; the positive is a patch of the next image (of the same one where there is only one)."""
        images = functional.avg_pool2d(self._grey(frames), shrink)
        anchors = cut_patches(images, count=count, side=self.config.patch_px, same_place=self.config.pairs == "place")
        to_next = count if len(frames) > 1 else 1
        negatives = erased(anchors.roll(to_next, dims=0), fill=self.config.erase_fill)
        features = self.network(anchors)
        return triplet_loss(distances(features, features.roll(to_next, dims=0)), distances(features, self.network(negatives)))

    def _image_score(self, cells: Tensor) -> Tensor:
        """(n, 1, h, w) to (n,)."""
        if self.config.decision == "maximum":
            return maximum(cells)
        mean = cells.mean(dim=(1, 2, 3))
        return (
            mean if self.config.decision == "mean" else self.separation[0] * mean + self.separation[1] * maximum(cells) + self.separation[2]
        )

    def _separate(self, batches: Batches) -> None:
        """Fit the decision on the good images and on a copy of each with one drawn defect."""
        random = np.random.default_rng(0)
        good = [self._statistics(frames) for (frames,) in batches()]
        defective = [self._statistics(spoilt(frames, random)) for (frames,) in batches()]
        found = fit_svm(np.concatenate(good), np.concatenate(defective), penalty=self.config.svm_penalty)
        self.separation.copy_(torch.tensor([found.mean_weight, found.maximum_weight, found.bias]))

    def _statistics(self, frames: Tensor) -> Features:
        """Mean and maximum of the distances, (n, 2)."""
        cells = self.cells(frames)
        return torch.stack([cells.mean(dim=(1, 2, 3)), maximum(cells)], dim=1).double().cpu().numpy()


def spoilt(frames: Tensor, random: np.random.Generator) -> Tensor:
    """Copies of frames (n, H, W, C) uint8 with one drawn defect each."""
    copies = np.stack([plant_defect(frame, random) for frame in frames.cpu().numpy()])
    return torch.from_numpy(copies).to(frames.device)
