"""The one training loop: every system is driven by it, through the protocol in `models/system.py`.

Weights move only in `step`, in training mode. Everything else runs in eval mode and without gradients; a system that needs
one there says so itself (`torch.enable_grad()`). What a system learns must be in its state dict, else it is lost on resuming.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from edge_inspect.errors import EngineError
from edge_inspect.workshop.checkpoints import load_checkpoint, save_checkpoint
from edge_inspect.workshop.models.system import SystemConfig
from edge_inspect.workshop.rows import Rows

CHECKPOINT_EVERY_S = 5.0
"""A checkpoint after every epoch, but not more often: short epochs would wait for the disk [s]."""

NO_EPOCHS = "nothing to train: only fitted"


class Progress(Protocol):
    """Told as the work goes on."""

    def __call__(self, doing: str, done: int, total: int, note: str = "", /) -> None:
        """Say what is being done, how much of it is done, how much there is, and how it goes (the losses)."""


class Loop:
    """Epochs, early stopping and checkpoints."""

    def __init__(self, system: Any, *, fit: Rows, stop: Rows | None, out: Path, begun_with: Mapping[str, str]) -> None:
        """Go on from the checkpoint in `out`, if there is one.

        Args:
            system: on its device, as it was made; an `nn.Module` that obeys `models.system.System`.
            fit: rows that are learnt from.
            stop: rows that decide when to stop; None never stops early and keeps the last weights.
            out: folder of the checkpoint.
            begun_with: what a checkpoint must have been begun with.

        Raises:
            ConfigError: the checkpoint is another training's, or damaged.
        """
        self.system, self.fit, self.stop, self.out, self.begun_with = system, fit, stop, out, begun_with
        self.config: SystemConfig = system.config
        self.optimizers: Mapping[str, Any] = system.optimizers()
        self.standing = load_checkpoint(out, begun_with, system, self.optimizers)
        self._saved_at = time.monotonic()

    def run(self, progress: Progress) -> str:
        """Train until the last epoch or until the stop loss falls no more; the best weights are the system's afterwards.

        Returns:
            Why it stopped.

        Raises:
            ConfigError: a checkpoint cannot be written.
            EngineError: a loss is not a finite number.
        """
        if not self.optimizers or self.config.epochs == 0:
            return NO_EPOCHS
        while not (why := self._why_stop()):
            self._epoch(progress)
            self._checkpoint()
        if self.standing.best:
            self.system.load_state_dict(self.standing.best)
        return why

    def _why_stop(self) -> str:
        standing = self.standing
        if self.stop is not None and standing.epoch - 1 - standing.best_epoch >= self.config.patience:
            return f"no better stop loss for {self.config.patience} epochs"
        return f"all {self.config.epochs} epochs done" if standing.epoch >= self.config.epochs else ""

    def _epoch(self, progress: Progress) -> None:
        standing, started = self.standing, time.monotonic()
        self.system.eval()
        self.system.start_epoch(standing.epoch, self.fit.in_order)
        row: dict[str, Any] = {"epoch": standing.epoch, "losses": self._learn(progress)}
        self.system.eval()
        if self.stop is not None:
            row["stop_loss"] = self._keep_the_best(self._stop_loss(self.stop))
        standing.history.append({**row, "seconds": round(time.monotonic() - started, 3)})
        standing.epoch += 1

    def _learn(self, progress: Progress) -> dict[str, float]:
        """One pass over the training rows; the mean losses."""
        sums: dict[str, float] = {}
        seen, rows = 0, len(self.fit)
        self.system.train()
        for batch in self.fit.shuffled():
            with torch.enable_grad():
                losses = self.system.step(batch, self.optimizers)
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + self._finite(name, loss) * len(batch[0])
            seen += len(batch[0])
            means = {name: total / seen for name, total in sums.items()}
            progress("training", self.standing.epoch * rows + seen, self.config.epochs * rows, self._note(means))
        return means

    def _stop_loss(self, rows: Rows) -> float:
        total = sum(self._finite("stop_loss", self.system.stop_loss(batch)) * len(batch[0]) for batch in rows.in_order())
        return total / len(rows)

    def _keep_the_best(self, stop_loss: float) -> float:
        if stop_loss < self.standing.best_loss:
            self.standing.best = {name: value.detach().cpu().clone() for name, value in self.system.state_dict().items()}
            self.standing.best_epoch, self.standing.best_loss = self.standing.epoch, stop_loss
        return stop_loss

    def _finite(self, name: str, loss: float) -> float:
        if not math.isfinite(loss):
            raise EngineError(
                f"{name} is {loss} in epoch {self.standing.epoch + 1}: training has diverged; "
                f"lower learning_rate, which is {self.config.learning_rate:g}, and start over with --fresh"
            )
        return float(loss)

    def _note(self, losses: Mapping[str, float]) -> str:
        said = [f"{name} {loss:.4g}" for name, loss in losses.items()]
        best = [] if self.standing.best_epoch < 0 else [f"stop loss {self.standing.best_loss:.4g} in epoch {self.standing.best_epoch + 1}"]
        return ", ".join([f"epoch {self.standing.epoch + 1}", *said, *best])

    def _checkpoint(self) -> None:
        if time.monotonic() - self._saved_at >= CHECKPOINT_EVERY_S:
            save_checkpoint(self.out, self.begun_with, self.standing, self.system, self.optimizers)
            self._saved_at = time.monotonic()
