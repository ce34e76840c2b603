"""IAEAD: an autoencoder whose embeddings are drawn together, made for training sets with a few anomalies among the good parts.

    loss (8)   mean (x - g(f(x)))^2 + lambda { R^2 + 1 / (nu n) sum max(0, ||f(x) - c||^2 - R^2) }
    score (9)  || f(x) - mean f(training set) ||

f is three blocks of convolution, batch norm and ReLU and a fourth that gives the embedding, g mirrors it (`iaead_network.py`). For
the first `warm_up_epochs` the second term is left out; then c is the mean embedding of the training set, and after every mini-batch R
is the radius at which (7) is least for it.

Source: Cheng, Wang, Zhang, Wang, Liu, Zhu 2021; where the text is silent, the code its authors published (github.com/wogong/pt-iaead).

One network, three scores:

    global          one embedding a part; image score (9). The score map is the reconstruction error |x - g(f(x))|: it shows where a
                    part is unlike its reconstruction, and its maximum is not (9)
    map             one embedding for every 8 x 8 pixels, which sees 31 x 31 of them, about the paper's whole image; each is a sample
                    of (7), the map is (9) cell by cell, from the mean of its own position or of all
    reconstruction  (3) with the L1 norm: mean |x - g(f(x))|

The baselines are settings (`iaead_config.py`): `CAE`, and `DEEP_SVDD`, which learns by (7) alone once the warm-up is over.

Where we leave the paper: (8) prints a norm, the published code takes the mean square, and lambda 5e-5 belongs to that; (9) prints a sum
where it means the mean; "line search" is the exact minimum (`svdd.py`). Images beyond 32 x 32 get further blocks, images whose sides
no block can halve get a black rim as the paper's 28 x 28 do. Deep SVDD's learning rate falls as the others' does, by halves. Before c
and before (9)'s mean are taken, batch norm's statistics are measured over the whole training set: the running ones still remember the
first weights when there were only tens of steps, and every embedding is then nearly the same.

With few steps (9) can fall below chance: an embedding then tells how good parts differ from each other, and what it never learnt lies
near the mean (measured: pullover in docs/results/contamination.md). A larger `svdd_weight` draws good parts together sooner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, Optimizer

from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.models.frames import GaussianFilter, maximum, planes_from_frames
from edge_inspect.workshop.models.iaead_config import IaeadConfig
from edge_inspect.workshop.models.iaead_network import Shape, open_decoder, open_encoder
from edge_inspect.workshop.models.illumination import SHRINK, open_illumination
from edge_inspect.workshop.models.initialise import xavier_uniform
from edge_inspect.workshop.models.svdd import away_from_zero, best_radius, squared_distances, svdd_loss
from edge_inspect.workshop.models.system import Batches, Prepared

MAP_BLOCK = 4
"""Score maps of the reconstruction have a quarter of the image's side, as PaDiM's: a pixel's own error is mostly noise."""
WARMING_UP = 1e4
"""Added to the stop loss during the warm-up: more than (7) can reach, so that no epoch before the real loss counts as the best."""


class Iaead(nn.Module):
    """See the module's docstring. All that training changes is a parameter or a buffer, so that a checkpoint holds it."""

    Config = IaeadConfig
    epoch: Tensor
    radius: Tensor
    centre: Tensor
    origin: Tensor
    image_score: Literal["map maximum", "own"]

    def __init__(self, config: IaeadConfig, size: ImageSize) -> None:
        """Weights are drawn from torch's global generator.

        Raises:
            ConfigError: the score map or the illumination's filters do not cover an image of this size evenly.
        """
        super().__init__()
        self.config, self.size = config, size
        self.shape = Shape.of(size, by_cells=config.score == "map", channels=config.channels, embedding=self._embedding)
        self.image_score = "map maximum" if config.score == "map" else "own"
        self.score_meaning = _MEANINGS[config.score]
        _refuse_uneven(config, size)
        self.illumination = open_illumination(config.illumination)
        self.encoder, self.decoder = open_encoder(self.shape), open_decoder(self.shape)
        self.smooth = GaussianFilter(config.smoothing_cells)
        _draw_weights(self, config.weight_gain)
        cells = self.shape.cells if config.cell_mean == "position" else (1, 1)
        self.register_buffer("epoch", torch.zeros((), dtype=torch.long))
        self.register_buffer("radius", torch.zeros(()))
        self.register_buffer("centre", torch.zeros(1, self._embedding, *cells))
        self.register_buffer("origin", torch.zeros(1, self._embedding, *cells))

    @property
    def _embedding(self) -> int:
        return self.config.cell_embedding if self.config.score == "map" else self.config.embedding

    def optimizers(self) -> Mapping[str, Optimizer]:
        """One for all weights; `step` sets its learning rate by the epoch."""
        kind = {"sgd": SGD, "adam": Adam}[self.config.optimizer]
        return {"all": kind(self.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay)}

    def prepare(self, frames: Tensor, random: np.random.Generator) -> Prepared:  # noqa: ARG002 - nothing is drawn
        """The frames themselves (n, H, W, C) uint8: everything else is learnt, and bytes are the smallest to keep."""
        return (frames,)

    def start_epoch(self, epoch: int, batches: Batches) -> None:
        """Notes the epoch; after the warm-up, c is the mean embedding of the training set."""
        self.epoch.fill_(epoch)
        if epoch == self.config.warm_up_epochs and self.config.loss != "reconstruction":
            self._measure_norms(batches)
            self.centre.copy_(away_from_zero(self._mean_embedding(batches), self.config.centre_floor))

    def step(self, rows: Prepared, optimizers: Mapping[str, Optimizer]) -> dict[str, float]:
        """One step on (8), then the radius for these embeddings."""
        self.train()
        optimizer = optimizers["all"]
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate()
        losses, squared = self.losses(rows)
        optimizer.zero_grad()
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if not self.warming_up():
            self.radius.copy_(best_radius(squared, self.config.nu))
        return {name: float(loss.detach()) for name, loss in losses.items()} | {"radius": float(self.radius)}

    def losses(self, rows: Prepared) -> tuple[dict[str, Tensor], Tensor]:
        """The loss and its parts, and the squared distances from c, (n, h, w). Source: Cheng et al. 2021, eq. 8."""
        config, planes = self.config, self.planes(rows[0])
        embedded = self.encoder(planes)
        reconstruction = functional.mse_loss(self.decoder(embedded), planes)
        squared = squared_distances(embedded, self.centre)
        if config.loss == "reconstruction" or self.warming_up():
            return {"loss": reconstruction, "reconstruction": reconstruction}, squared
        sphere = svdd_loss(squared, self.radius, config.nu)
        both = reconstruction + config.svdd_weight * sphere
        return {"loss": sphere if config.loss == "svdd" else both, "reconstruction": reconstruction, "svdd": sphere}, squared

    def warming_up(self) -> bool:
        """Is the sphere still left out?"""
        return int(self.epoch) < self.config.warm_up_epochs

    def learning_rate(self) -> float:
        """Of this epoch: halved every so many."""
        return float(self.config.learning_rate * 0.5 ** (int(self.epoch) // self.config.halve_every_epochs))

    @torch.no_grad()
    def stop_loss(self, rows: Prepared) -> float:
        """(8) on held-out good rows."""
        self.eval()
        losses, _ = self.losses(rows)
        waits = self.config.loss != "reconstruction" and self.warming_up()
        return float(losses["loss"]) + (WARMING_UP if waits else 0.0)

    def settle(self, batches: Batches) -> None:
        """Batch norm's statistics, and the mean embedding of the training set, from which (9) measures; or c."""
        self._measure_norms(batches)
        self.origin.copy_(self.centre if self.config.measured_from == "centre" else self._mean_embedding(batches))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """From frames (n, H, W, C) uint8 to the smoothed score map and the image score (n,)."""
        planes = self.planes(frames)
        embedded = self.encoder(planes)
        if self.config.score == "map":
            score_map = self.smooth(self.distances(embedded)[:, None])
            return score_map, maximum(score_map)
        errors = self.errors(planes, embedded)
        score = self.distances(embedded)[:, 0, 0] if self.config.score == "global" else errors.mean(dim=(1, 2, 3))
        return self.smooth(functional.avg_pool2d(errors, MAP_BLOCK)), score

    def planes(self, frames: Tensor) -> Tensor:
        """Frames (n, H, W, C) uint8 to what the encoder takes: (n, C, H', W') in -1 to 1, with a black rim where a side needs one."""
        planes: Tensor = self.illumination(planes_from_frames(frames)) / 127.5 - 1.0
        if any(self.shape.rim):
            planes = functional.pad(planes, self.shape.rim, value=-1.0)
        return planes

    def distances(self, embedded: Tensor) -> Tensor:
        """(n, e, h, w) to (n, h, w). Source: Cheng et al. 2021, eq. 9."""
        return torch.sqrt(squared_distances(embedded, self.origin))

    def errors(self, planes: Tensor, embedded: Tensor) -> Tensor:
        """|x - g(f(x))|, mean over the channels, without the rim: (n, 1, H, W). Source: Cheng et al. 2021, eq. 3."""
        errors: Tensor = (planes - self.decoder(embedded)).abs().mean(dim=1, keepdim=True)
        left, _, top, _ = self.shape.rim
        return errors[:, :, top : top + self.size.height, left : left + self.size.width]

    @torch.no_grad()
    def _measure_norms(self, batches: Batches) -> None:
        norms = [layer for layer in self.modules() if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d))]
        kept = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's way to say: the mean over all batches
        self.train()
        for embedded in self._embedded(batches):
            self.decoder(embedded)
        self.eval()
        for norm, momentum in zip(norms, kept, strict=True):
            norm.momentum = momentum

    @torch.no_grad()
    def _mean_embedding(self, batches: Batches) -> Tensor:
        self.eval()
        total, count = torch.zeros_like(self.centre), 0
        for embedded in self._embedded(batches):
            per_row = embedded if self.config.cell_mean == "position" else embedded.mean(dim=(2, 3), keepdim=True)
            total, count = total + per_row.sum(dim=0, keepdim=True), count + len(embedded)
        return total / max(count, 1)

    def _embedded(self, batches: Batches) -> Iterator[Tensor]:
        for rows in batches():
            yield self.encoder(self.planes(rows[0]))


_MEANINGS = {
    "global": "distance of the part's embedding from the mean of good parts (map: reconstruction error); Cheng 2021, eq. 9",
    "map": "distance of a cell's embedding from the mean of good parts; Cheng 2021, eq. 9 by cell",
    "reconstruction": "mean reconstruction error, pixels in -1 to 1; Cheng 2021, eq. 3",
}


def _refuse_uneven(config: IaeadConfig, size: ImageSize) -> None:
    block = 8 if config.score == "map" else MAP_BLOCK
    block = max(block, SHRINK) if config.illumination != "none" else block
    if size.width % block or size.height % block:
        raise ConfigError(f"iaead ({config.score}): image is {size.width} x {size.height}; width and height must be multiples of {block}")


def _draw_weights(module: nn.Module, gain: float) -> None:
    module.apply(xavier_uniform)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                layer.weight.mul_(gain)
