"""A system as small as one can be that has all that real ones have: batch norm, dropout, an optimiser, settled constants."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from edge_inspect.model_folder import MeanOfHighest
from edge_inspect.workshop.models.catalogue import CATALOGUE
from edge_inspect.workshop.models.frames import GaussianFilter, enlarged, mean_of_highest, planes_from_frames
from edge_inspect.workshop.models.illumination import open_illumination
from edge_inspect.workshop.models.system import SystemConfig


class ToyConfig(SystemConfig):
    width: int = 32
    height: int = 32
    epochs: int = Field(default=3, ge=0)
    batch: int = 4
    patience: int = 2
    image_score: Literal["map maximum", "own"] = "map maximum"
    offset: float = 0.0
    highest_cells: int = 1
    fail_at: int = -1
    nan_at: int = -1
    levels: tuple[int, ...] = (1, 2)


class Toy(nn.Module):
    """Squeezes blocks of 4 x 4 pixels through two channels; the score is the error against its usual size at that place."""

    Config = ToyConfig
    score_meaning = "squared error over its mean on good parts"

    def __init__(self, config, size):
        super().__init__()
        self.config, self.epoch = config, 0
        self.image_score = MeanOfHighest(mean_of_highest=config.highest_cells) if config.highest_cells > 1 else config.image_score
        self.illumination = open_illumination(config.illumination)
        self.squeeze = nn.Sequential(
            nn.Conv2d(size.channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1), nn.Conv2d(8, 2, 1)
        )
        self.widen = nn.Conv2d(2, size.channels, 1)
        self.smooth = GaussianFilter(config.smoothing_cells)
        self.register_buffer("usual", torch.ones(1, 1, size.height // 4, size.width // 4))

    def optimizers(self):
        return {"all": torch.optim.Adam(self.parameters(), lr=self.config.learning_rate)}

    def prepare(self, frames, random):
        noise = torch.from_numpy(random.normal(0, 0.01, frames.shape[0])).to(frames.device, torch.float32)
        return (self.small(frames) + noise[:, None, None, None],)

    def start_epoch(self, epoch, batches):
        self.epoch = epoch
        if epoch == self.config.fail_at:
            raise KeyboardInterrupt

    def step(self, rows, optimizers):
        loss = self.error(rows[0]).mean()
        optimizers["all"].zero_grad()
        loss.backward()
        optimizers["all"].step()
        return {"error": float("nan") if self.epoch == self.config.nan_at else loss.item()}

    def stop_loss(self, rows):
        return self.error(rows[0]).mean().item()

    def settle(self, batches):
        self.usual.copy_(torch.cat([self.error(rows[0]) for rows in batches()]).mean(dim=0, keepdim=True))

    def small(self, frames):
        planes = self.illumination(planes_from_frames(frames)) / 255.0
        return nn.functional.avg_pool2d(planes, 4)

    def error(self, small):
        return ((self.widen(self.squeeze(small)) - small) ** 2).mean(dim=1, keepdim=True)

    def forward(self, frames):
        score_map = self.smooth(enlarged(self.error(self.small(frames)) / (self.usual + 1e-4), 2))
        own = score_map.mean(dim=(1, 2, 3)) + self.config.offset
        return score_map, own if self.image_score == "own" else mean_of_highest(score_map, self.config.highest_cells)


class ToyEntry:
    """What `catalogue.Entry` offers."""

    preset = {"smoothing_cells": 0.5}
    source = "nobody 2026"

    def load(self):
        return Toy


def register():
    CATALOGUE["toy"] = ToyEntry()
