"""Encoder and decoder of IAEAD: blocks of convolution, batch norm and activation.

Source: Cheng et al. 2021, section 4.3; kernel, stride, widths and the tanh of the embedding from its published code.

The last block that halves pads below and to the right only. With one pixel all around, as published, the middle of a cell lies 3.5 px
above and left of the middle of the 8 x 8 pixels that it stands for; so it lies within half a pixel, and a score map covers the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from edge_inspect.model_folder import ImageSize

FEWEST_BLOCKS = 3
LEAST_CELLS = 4
"""Source: the published code; 32 x 32 pixels become 4 x 4 cells before the embedding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large everything is.

    Attributes:
        image: channels of the image.
        widths: channels after each block that halves.
        before: cells (height, width) after these.
        embedding: numbers in one embedding.
        cells: embeddings of one image (height, width).
        rim: pixels added left, right, above, below so that every block halves evenly.
        by_cells: one embedding for every 8 x 8 pixels, else one for the image.
    """

    image: int
    widths: tuple[int, ...]
    before: tuple[int, int]
    embedding: int
    cells: tuple[int, int]
    rim: tuple[int, int, int, int]
    by_cells: bool

    @classmethod
    def of(cls, size: ImageSize, *, by_cells: bool, channels: int, embedding: int) -> Shape:
        """For an image size, with so many channels after the first block and numbers in an embedding."""
        blocks = FEWEST_BLOCKS if by_cells else max(FEWEST_BLOCKS, (min(size.width, size.height) // LEAST_CELLS).bit_length() - 1)
        (top, bottom), (left, right) = (_rim(side, 2**blocks) for side in (size.height, size.width))
        before = (size.height + top + bottom) // 2**blocks, (size.width + left + right) // 2**blocks
        return cls(
            image=size.channels,
            widths=tuple(channels * min(2**block, 4) for block in range(blocks)),
            before=before,
            embedding=embedding,
            cells=before if by_cells else (1, 1),
            rim=(left, right, top, bottom),
            by_cells=by_cells,
        )


class Reshaped(nn.Module):
    """Rows of numbers as maps: (n, c * h * w) to (n, c, h, w)."""

    def __init__(self, channels: int, cells: tuple[int, int]) -> None:
        """Of the maps."""
        super().__init__()
        self.maps = (channels, *cells)

    def forward(self, rows: Tensor) -> Tensor:
        """See the class."""
        return rows.reshape(-1, *self.maps)


class Cropped(nn.Module):
    """Without the last row and column, which the padding below and right added on the way in."""

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h + 1, w + 1) to (n, c, h, w)."""
        return maps[:, :, :-1, :-1]


def open_encoder(shape: Shape) -> nn.Sequential:
    """f: planes (n, C, H, W) in -1 to 1 to embeddings (n, e, h, w) in -1 to 1."""
    return nn.Sequential(*_halving(shape), *(_embedding_by_cell(shape) if shape.by_cells else _embedding_of_all(shape)))


def open_decoder(shape: Shape) -> nn.Sequential:
    """g: embeddings (n, e, h, w) to planes (n, C, H, W) in -1 to 1."""
    return nn.Sequential(*(_cells_again(shape) if shape.by_cells else _all_again(shape)), *_doubling(shape))


def _halving(shape: Shape) -> Iterator[nn.Module]:
    source = shape.image
    for width in shape.widths[:-1]:
        yield from (nn.Conv2d(source, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        source = width
    last = shape.widths[-1]
    yield from (nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(source, last, 3, stride=2), nn.BatchNorm2d(last), nn.ReLU())


def _doubling(shape: Shape) -> Iterator[nn.Module]:
    last, *between = reversed(shape.widths)
    source = between[0]
    yield from (nn.ConvTranspose2d(last, source, 3, stride=2), Cropped(), nn.BatchNorm2d(source), nn.ReLU())
    for width in between[1:]:
        yield from (nn.ConvTranspose2d(source, width, 3, stride=2, padding=1, output_padding=1), nn.BatchNorm2d(width), nn.ReLU())
        source = width
    yield from (nn.ConvTranspose2d(source, shape.image, 3, stride=2, padding=1, output_padding=1), nn.Tanh())


def _embedding_of_all(shape: Shape) -> Iterator[nn.Module]:
    yield from (nn.Flatten(), nn.Linear(_numbers(shape), shape.embedding), nn.Tanh(), Reshaped(shape.embedding, (1, 1)))


def _all_again(shape: Shape) -> Iterator[nn.Module]:
    numbers = _numbers(shape)
    yield from (
        nn.Flatten(),
        nn.Linear(shape.embedding, numbers),
        nn.BatchNorm1d(numbers),
        nn.ReLU(),
        Reshaped(shape.widths[-1], shape.before),
    )


def _embedding_by_cell(shape: Shape) -> Iterator[nn.Module]:
    yield from (nn.Conv2d(shape.widths[-1], shape.embedding, 3, padding=1), nn.Tanh())


def _cells_again(shape: Shape) -> Iterator[nn.Module]:
    width = shape.widths[-1]
    yield from (nn.ConvTranspose2d(shape.embedding, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())


def _numbers(shape: Shape) -> int:
    return shape.widths[-1] * shape.before[0] * shape.before[1]


def _rim(side: int, multiple: int) -> tuple[int, int]:
    missing = -side % multiple
    return missing // 2, missing - missing // 2
