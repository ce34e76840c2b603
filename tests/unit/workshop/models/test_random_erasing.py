from typing import Any

import pytest
import torch

from edge_inspect.workshop.models.random_erasing import boxes, erased

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("fill", ["noise", "level", "paste"])
def test_random_erasing_fills_one_box_and_leaves_the_anchor_untouched(fill: Any) -> None:
    torch.manual_seed(0)
    anchors = 0.25 + 0.5 * torch.rand(200, 1, 32, 32)
    before = anchors.clone()
    changed = erased(anchors, fill=fill) != anchors
    assert torch.equal(anchors, before)
    shares = changed.float().mean(dim=(1, 2, 3))
    assert shares.min() > 0.01
    assert shares.max() <= 0.45
    assert shares.std() > 0.05
    rows, columns = changed.any(dim=3).sum(dim=2), changed.any(dim=2).sum(dim=2)
    assert torch.equal((rows * columns).flatten(), changed.sum(dim=(1, 2, 3)))


def test_boxes_come_everywhere_upright_and_flat() -> None:
    torch.manual_seed(0)
    places = boxes(torch.zeros(2000, 1, 16, 16))[:, 0]
    heights, widths = places.any(dim=2).sum(dim=1), places.any(dim=1).sum(dim=1)
    assert places.any(dim=0).all()
    assert (heights > widths).float().mean() == pytest.approx(0.7, abs=0.15)
    assert ((widths > heights).sum()) > 200
