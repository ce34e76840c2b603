"""MDAAE and self-attention GAN, systems A to E of one class; E is the product's flagship. Source: An, Wu, Li 2026.

    frame -> illumination -> levels F_l (2) -> standardised -> fused (3, 4) -> code z -> F^_l (5)
    error of a cell: 1 - SSIM_local(F_l, F^_l) (7), squared difference, or the difference's Mahalanobis length at its position
    score of a cell (15): error + gamma x discriminator, each in standard deviations over good parts; Gaussian filter

Training (good parts only): (6) for the autoencoder, (8) with feature matching and penalty (13) for the discriminator, (9) and (14)
for the generator. Where we leave the paper, and why:

- its 7:2:1 split trains on defects; here anomalies are planted into good pictures (`anomalies.py`) for the discriminator;
- the adversary works on feature levels (on the image in A and C) and judges every cell: it costs a hundredth of one on pixels,
  and its term is a map;
- (14) and (15) weight the error by the generator's attention. With `whitened` the covariance of good parts' errors weighs
  it instead, by position; the attention stays inside generator and discriminator;
- Xavier initialisation for all new layers, not only the attention's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageScore, ImageSize, MeanOfHighest, highest_cells
from edge_inspect.workshop.anomalies import moved, plant_anomaly
from edge_inspect.workshop.models.cross_fitting import cross_fitted, joined
from edge_inspect.workshop.models.frames import GaussianFilter, enlarged, mean_of_highest, planes_from_frames
from edge_inspect.workshop.models.illumination import open_illumination
from edge_inspect.workshop.models.initialise import xavier_uniform
from edge_inspect.workshop.models.mdaae_errors import open_error
from edge_inspect.workshop.models.mdaae_network import CELL_PX, FeatureLevels, ImageLevel, LevelAutoencoder, Standard, on_one_grid
from edge_inspect.workshop.models.mdaae_sagan_config import MdaaeSaganConfig
from edge_inspect.workshop.models.mdaae_sagan_discriminator import CellDiscriminator
from edge_inspect.workshop.models.mdaae_sagan_losses import (
    discrimination,
    feature_matching,
    masked_reconstruction,
    non_saturating,
    sparsity,
)
from edge_inspect.workshop.models.neighbours import NeighbourMemory
from edge_inspect.workshop.models.padim import refuse_uneven
from edge_inspect.workshop.models.system import Batches, Prepared

MULTIPLE = 4 * CELL_PX
"""The code's cells are four of the finest wide."""

PLAYED = 4
"""Every fourth reconstruction of a batch plays the adversarial game: the discriminator learns mostly from planted anomalies, and
each more costs as much as the autoencoder does."""


class MdaaeSagan(nn.Module):
    """See the module's docstring."""

    Config = MdaaeSaganConfig
    config: MdaaeSaganConfig
    image_score: ImageScore
    error_mean: Tensor
    error_scale: Tensor
    memory_mean: Tensor
    memory_scale: Tensor
    judged_mean: Tensor
    judged_scale: Tensor

    def __init__(self, config: MdaaeSaganConfig, size: ImageSize) -> None:
        """Untrained.

        Raises:
            ConfigError: the image's size is no multiple of 32, the backbone is not installed, or `level_weights` are neither
                one nor one a level.
        """
        super().__init__()
        refuse_uneven(size, MULTIPLE)
        self.config = config
        self.epoch = 0
        self.image_score = _image_score(config, size)
        self.highest_cells = highest_cells(self.image_score) or 1
        self.score_meaning = _meaning(config)
        self.illumination = open_illumination(config.illumination)
        self.levels = FeatureLevels(config.backbone) if config.reconstruction == "mdaae" else ImageLevel(size.channels)
        channels, strides = self.levels.channels, self.levels.strides
        self.betas = _betas(config.level_weights, len(channels))
        self.standard = Standard(channels)
        self.autoencoder = LevelAutoencoder(
            channels,
            strides,
            width=config.fused_channels,
            code=config.code,
            heads=config.heads,
            temperature=config.temperature,
            attention=config.attention and config.adversary,
        )
        self.discriminator = (
            CellDiscriminator(sum(channels), width=config.discriminator_width, heads=config.heads, attention=config.attention)
            if config.adversary
            else None
        )
        self.autoencoder.apply(xavier_uniform)
        grid = (size.height // CELL_PX, size.width // CELL_PX)
        self.error = open_error(config, sum(channels), grid)
        positions = grid if config.by_position else (1, 1)
        coarse = tuple(side // max(strides) for side in grid) if config.by_position else (1, 1)
        self.memory = _memory(config, sum(channels), strides)
        for name, shape in (("error", positions), ("memory", coarse), ("judged", (1, 1))):
            self.register_buffer(f"{name}_mean", torch.zeros(1, 1, *shape))
            self.register_buffer(f"{name}_scale", torch.ones(1, 1, *shape))
        self.smooth = GaussianFilter(config.smoothing_cells)

    def optimizers(self) -> Mapping[str, Optimizer]:
        """The generator's and, where there is one, the discriminator's."""
        generator = AdamW(self.autoencoder.parameters(), lr=self.config.learning_rate, weight_decay=1e-4)
        if self.discriminator is None:
            return {"generator": generator}
        adversary = AdamW(self.discriminator.parameters(), lr=self.config.learning_rate, weight_decay=self.config.penalty)
        return {"generator": generator, "discriminator": adversary}

    def prepare(self, frames: Tensor, random: np.random.Generator) -> Prepared:
        """Levels of every copy, of the same with a planted anomaly, its cells, the effective area, and whether it is as taken.

        Kept in half precision: the frozen backbone runs once for every copy.
        """
        device = frames.device
        made = [_copies(frame, random, self.config) for frame in frames.cpu().numpy()]
        rows = [self._row(copies, device) for copies in made]
        return tuple(torch.cat(values) for values in zip(*rows, strict=True))

    def start_epoch(self, epoch: int, batches: Batches) -> None:
        """Measures the levels' mean and deviation before the first; the learning rate falls along a cosine (ours)."""
        self.epoch = epoch
        if epoch == 0:
            self.standard.measure([self._good(rows) for rows in batches()])

    def step(self, rows: Prepared, optimizers: Mapping[str, Optimizer]) -> dict[str, float]:
        """First the discriminator on (8) and (13), then the generator on (6) and (14)."""
        self._set_rates(optimizers)
        good = self.standard(self._good(rows))
        again, code = self.autoencoder([level + self.config.noise * torch.randn_like(level) for level in good])
        losses = {
            "reconstruction": masked_reconstruction(good, again, self._masks(rows, good), self.betas),
            "sparsity": self.config.sparsity_weight * sparsity(code),
        }
        if self.discriminator is not None:
            played = [level[::PLAYED] for level in again]
            adversary, real = self._discriminator_loss(rows, [level.detach() for level in played])
            _descend(optimizers["discriminator"], adversary)
            losses |= self._adversarial_losses(played, real)
        _descend(optimizers["generator"], torch.stack(list(losses.values())).sum())
        told = losses if self.discriminator is None else {**losses, "discriminator": adversary}
        return {name: float(loss.detach()) for name, loss in told.items()}

    def stop_loss(self, rows: Prepared) -> float:
        """(6) on held-out good rows, without noise."""
        good = self.standard(self._good(rows))
        again, _ = self.autoencoder(good)
        return float(masked_reconstruction(good, again, self._masks(rows, good), self.betas))

    def settle(self, batches: Batches) -> None:
        """Fit the error's statistics, then the means and deviations that bring both terms of (15) to one measure."""
        pair = joined(self._differences(batches))
        self._normalise("error", cross_fitted(self.error, pair))
        if self.memory is not None:
            self._normalise("memory", cross_fitted(self.memory, pair))
        if self.discriminator is not None:
            judged = [self._judged(self.standard(self._taken(rows))) for rows in batches() if bool(rows[-1].any())]
            self._normalise("judged", torch.cat(judged))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Score map (n, 1, H/4, W/4) and image score (n,). Source: An et al. 2026, eq. 15, but for the image score, which is ours."""
        levels = self.standard(self.levels(self.illumination(planes_from_frames(frames))))
        again, _ = self.autoencoder(levels)
        score = (self.error(levels, again) - self.error_mean) * self.error_scale
        if self.memory is not None:
            far = (self.memory(levels, again) - self.memory_mean) * self.memory_scale
            score = score + enlarged(far, self.memory.coarsest)
        if self.discriminator is not None:
            judged = (self._judged(levels) - self.judged_mean) * self.judged_scale
            score = score + self.config.discriminator_weight * judged
        score_map = self.smooth(enlarged(score, 2))
        return score_map, mean_of_highest(score_map, self.highest_cells)

    def _row(self, copies: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], device: torch.device) -> Prepared:
        good, spoilt, anomalous, area = (torch.from_numpy(np.stack(values)).to(device) for values in zip(*copies, strict=True))
        as_taken = torch.arange(len(copies)) == 0
        both = [*self._half(good), *(self._half(spoilt) if self.config.adversary else ())]
        return (*both, functional.max_pool2d(anomalous[:, None], CELL_PX), functional.avg_pool2d(area[:, None], CELL_PX), as_taken)

    def _half(self, frames: Tensor) -> list[Tensor]:
        return [level.half() for level in self.levels(self.illumination(planes_from_frames(frames)))]

    def _good(self, rows: Prepared) -> list[Tensor]:
        return [level.float() for level in rows[: len(self.levels.channels)]]

    def _taken(self, rows: Prepared) -> list[Tensor]:
        """Levels of the rows that are as taken."""
        return [level[rows[-1]].float() for level in rows[: len(self.levels.channels)]]

    def _masks(self, rows: Prepared, levels: Sequence[Tensor]) -> list[Tensor]:
        """Effective area at each level's size. Source: An et al. 2026, M_l of eq. 6."""
        area = rows[-2].to(levels[0].dtype) if self.config.masked else torch.ones_like(rows[-2])
        return [functional.avg_pool2d(area, stride) if stride > 1 else area for stride in self.levels.strides]

    def _adversarial_losses(self, again: Sequence[Tensor], real: Tensor) -> dict[str, Tensor]:
        """Eq. 9 and feature matching; the discriminator's own gradients from here are thrown away at its next step."""
        assert self.discriminator is not None
        judged, made = self.discriminator(on_one_grid(again, self.levels.strides))
        return {
            "adversarial": self.config.adversarial_weight * non_saturating(judged),
            "matching": self.config.matching_weight * feature_matching(real, made),
        }

    def _discriminator_loss(self, rows: Prepared, again: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Eq. 8, and what it judges real parts by. Cells beside a planted anomaly are real; a reconstruction is made up."""
        assert self.discriminator is not None
        count = len(self.levels.channels)
        spoilt = self.standard([level.float() for level in rows[count : 2 * count]])
        joined = torch.cat([on_one_grid(levels, self.levels.strides) for levels in (spoilt, again)])
        judged, features = self.discriminator(joined)
        planted, made = judged[: len(spoilt[0])], judged[len(spoilt[0]) :]
        loss = discrimination(planted, rows[-3]) + self.config.adversarial_weight * discrimination(made, torch.ones_like(made))
        return loss, features[: len(spoilt[0])].detach()

    def _judged(self, levels: Sequence[Tensor]) -> Tensor:
        assert self.discriminator is not None
        judged: Tensor = self.discriminator(on_one_grid(levels, self.levels.strides))[0]
        return judged

    def _differences(self, batches: Batches) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
        """Levels of the rows as taken, and what the autoencoder makes of them."""
        for rows in batches():
            if bool(rows[-1].any()):
                levels = self.standard(self._taken(rows))
                yield levels, self.autoencoder(levels)[0]

    def _normalise(self, name: str, values: Tensor) -> None:
        """Mean and deviation over good parts: by position where asked (with a floor of a tenth of the whole's), else of all cells."""
        mean, scale = getattr(self, f"{name}_mean"), getattr(self, f"{name}_scale")
        if mean.shape[2:] == (1, 1):
            mean.fill_(float(values.mean()))
            scale.fill_(1 / (float(values.std()) + 1e-6))
        else:
            mean.copy_(values.mean(dim=0, keepdim=True))
            scale.copy_(1 / (values.std(dim=0, keepdim=True) + 0.1 * values.std() + 1e-6))

    def _set_rates(self, optimizers: Mapping[str, Optimizer]) -> None:
        share = 0.5 * (1 + np.cos(np.pi * self.epoch / max(1, self.config.epochs)))
        for optimizer in optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.config.learning_rate * float(share)


def _copies(
    frame: np.ndarray, random: np.random.Generator, config: MdaaeSaganConfig
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Copies of one frame: the copy, with an anomaly planted, where that is, and which of it was seen in the frame."""
    made = []
    for number in range(config.copies):
        good, seen = frame, np.ones(frame.shape[:2], np.float32)
        if number:
            good, seen = moved(frame, random, turn_deg=config.turn_deg, shift_share=config.shift_share)
        spoilt, anomalous = plant_anomaly(good, random)
        made.append((good, spoilt, anomalous, seen))
    return made


def _image_score(config: MdaaeSaganConfig, size: ImageSize) -> ImageScore:
    """The highest cells' mean, so many as the share of the map is; the maximum where that is one cell or fewer."""
    cells = round(config.highest_share * (2 * size.height // CELL_PX) * (2 * size.width // CELL_PX))
    return MeanOfHighest(mean_of_highest=cells) if cells > 1 else "map maximum"


def _memory(config: MdaaeSaganConfig, channels: int, strides: Sequence[int]) -> NeighbourMemory | None:
    if config.memory == 0:
        return None
    return NeighbourMemory(channels, strides, entries=config.memory, whitening=config.memory_whitening)


def _meaning(config: MdaaeSaganConfig) -> str:
    further = ["distance to the nearest of good parts' neighbourhoods"] if config.memory else []
    further += [f"{config.discriminator_weight:g} x discriminator"] if config.adversary else []
    said = " + ".join([f"error of reconstruction ({config.error})", *further])
    return f"{said}, in standard deviations over good parts" if further else said


def _betas(given: tuple[float, ...], levels: int) -> tuple[float, ...]:
    if len(given) not in {1, levels}:
        raise ConfigError(f"level_weights: got {len(given)} values for {levels} levels; write one, or one a level")
    return given if len(given) == levels else given * levels


def _descend(optimizer: Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
