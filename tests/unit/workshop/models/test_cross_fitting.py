from collections.abc import Iterable, Sequence

import pytest
import torch
from torch import Tensor

from edge_inspect.workshop.models.cross_fitting import Pair, cross_fitted, joined
from edge_inspect.workshop.models.mdaae_errors import WhitenedError

pytestmark = pytest.mark.torch


class Mean:
    """Distance to the mean of what it was fitted on."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def fit(self, pairs: Iterable[Pair]) -> None:
        values = torch.cat([levels[0] for levels, _ in pairs])
        self.mean = values.mean()
        self.seen.append(values.flatten().tolist())

    def __call__(self, levels: Sequence[Tensor], again: Sequence[Tensor]) -> Tensor:
        return levels[0] - self.mean


def parts(*values: float) -> Pair:
    levels = [torch.tensor(values, dtype=torch.float32)[:, None, None, None]]
    return levels, levels


def test_every_part_is_measured_by_a_term_that_has_not_seen_it_and_the_last_has_seen_all() -> None:
    term = Mean()
    maps = cross_fitted(term, parts(0, 1, 2, 3, 4, 5, 6, 11))
    assert term.seen == [[2, 3, 4, 5, 6, 11], [0, 1, 4, 5, 6, 11], [0, 1, 2, 3, 6, 11], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6, 11]]
    assert float(term.mean) == 4
    assert maps.flatten().tolist() == pytest.approx([0 - 31 / 6, 1 - 31 / 6, 2 - 27 / 6, 3 - 27 / 6, 4 - 23 / 6, 5 - 23 / 6, 3.5, 8.5])


def test_too_few_parts_are_measured_by_what_was_fitted_on_them() -> None:
    term = Mean()
    assert cross_fitted(term, parts(0, 1, 5)).flatten().tolist() == [-2, -1, 3]
    assert term.seen == [[0, 1, 5]]


def test_gaussians_on_few_parts_call_these_nearer_than_new_ones_and_cross_fitting_does_not() -> None:
    drawing = torch.Generator().manual_seed(0)
    few, new = (([torch.randn(n, 12, 4, 4, generator=drawing)], [torch.zeros(n, 12, 4, 4)]) for n in (16, 200))
    term = WhitenedError(12, (4, 4), dimensions=12, block=2, pooling=0.1)
    crossed = cross_fitted(term, few)
    inside, outside = term(*few).mean(), term(*new).mean()
    assert inside < 0.9 * outside
    assert crossed.mean() == pytest.approx(float(outside), rel=0.1)


def test_pairs_are_joined_level_by_level() -> None:
    levels, again = joined(
        [([torch.zeros(2, 1), torch.ones(2, 3)], [torch.zeros(2, 1)]), ([torch.zeros(1, 1), torch.ones(1, 3)], [torch.ones(1, 1)])]
    )
    assert [level.shape for level in levels] == [(3, 1), (3, 3)]
    assert again[0].flatten().tolist() == [0, 0, 1]
