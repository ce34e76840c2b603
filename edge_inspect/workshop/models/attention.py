"""Self-attention over the cells of a feature map, in several heads, from 1x1 convolutions.

Source: An, Wu, Li 2026, eq. 10 and 11 (f, g, h and an output 1x1); Zhang et al. 2019, SAGAN, for the gate that starts at zero and
for pooled keys and values; Sun et al. 2025, eq. 4 is the same with one head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from edge_inspect.workshop.models.initialise import xavier_uniform

AT_ONCE_BYTES = 1 << 30
"""Attention weights of a batch beyond this are made part by part, and again for the gradient. A map of 64 x 64 cells (the flagship's
at 1024 x 1024 px) has 256 MiB of them for every part, and a batch of sixteen keeps several such matrices: some 20 GB."""


class SelfAttention(nn.Module):
    """x + gate * out(softmax(f(x)^T g(x) / sqrt(d)) h(x)), cell by cell.

    Keys and values may be pooled (`pool`), as SAGAN does: N cells then look at N / pool^2 means of neighbourhoods instead of at N
    cells. Without it a 64 x 64 map needs a 4096 x 4096 matrix a head.
    """

    def __init__(self, channels: int, *, heads: int = 1, inner: int | None = None, pool: int = 1) -> None:
        """Inner: channels of f, g and h together (default `channels`), a multiple of `heads`; `pool`: side of the neighbourhoods."""
        super().__init__()
        inner = inner or channels
        self.heads = heads
        self.pool = pool
        self.query = nn.Conv2d(channels, inner, 1)
        self.key = nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, inner, 1)
        self.out = nn.Conv2d(inner, channels, 1)
        self.gate = nn.Parameter(torch.zeros(1))
        for layer in (self.query, self.key, self.value, self.out):
            xavier_uniform(layer)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) to the same."""
        gathered: Tensor = self.out(self.attended(maps))
        return maps + self.gate * gathered

    def attended(self, maps: Tensor) -> Tensor:
        """What the cells gather from the others: (n, inner, h, w)."""
        if len(maps) > 1 and len(maps) * self._weights_bytes(maps) > AT_ONCE_BYTES:
            return torch.cat([checkpoint(self._attended, one, use_reentrant=False) for one in torch.split(maps, 1)])
        return self._attended(maps)

    def _weights_bytes(self, maps: Tensor) -> int:
        """Of one part's attention weights."""
        cells = maps.shape[2] * maps.shape[3]
        return maps.element_size() * self.heads * cells * (cells // self.pool**2)

    def _attended(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[2:]
        seen = functional.avg_pool2d(maps, self.pool) if self.pool > 1 else maps
        query, key, value = self._split(self.query(maps)), self._split(self.key(seen)), self._split(self.value(seen))
        weights = torch.softmax(torch.matmul(query.transpose(2, 3), key) / math.sqrt(query.shape[2]), dim=3)
        gathered = torch.matmul(value, weights.transpose(2, 3))
        return gathered.reshape(-1, self.value.out_channels, height, width)

    def _split(self, maps: Tensor) -> Tensor:
        """(n, inner, h, w) to (n, heads, inner / heads, h * w)."""
        channels, height, width = maps.shape[1:]
        return maps.reshape(-1, self.heads, channels // self.heads, height * width)
