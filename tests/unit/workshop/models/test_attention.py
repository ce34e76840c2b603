import pytest
import torch
from torch import nn
from torch.nn import functional

from edge_inspect.workshop.models import attention
from edge_inspect.workshop.models.attention import SelfAttention

pytestmark = pytest.mark.torch


@pytest.fixture
def maps() -> torch.Tensor:
    return torch.randn(2, 8, 4, 6, generator=torch.Generator().manual_seed(1))


def cells(maps: torch.Tensor) -> torch.Tensor:
    """(n, c, h, w) to (n, h * w, c), which torch's own attention takes."""
    return maps.flatten(2).transpose(1, 2)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_it_gathers_what_torchs_own_attention_gathers_with_the_same_weights(heads: int, maps: torch.Tensor) -> None:
    torch.manual_seed(0)
    attention = SelfAttention(8, heads=heads)
    theirs = nn.MultiheadAttention(8, heads, batch_first=True)
    layers = (attention.query, attention.key, attention.value)
    for layer in (*layers, attention.out):
        nn.init.normal_(layer.bias)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight.flatten(1) for layer in layers]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
        theirs.out_proj.weight.copy_(attention.out.weight.flatten(1))
        theirs.out_proj.bias.copy_(attention.out.bias)
        rows = cells(maps)
        expected = theirs(rows, rows, rows, need_weights=False)[0]
        torch.testing.assert_close(cells(attention.out(attention.attended(maps))), expected)


@pytest.mark.parametrize("pool", [1, 2])
def test_pooled_keys_and_values_are_the_means_of_neighbourhoods(pool: int, maps: torch.Tensor) -> None:
    torch.manual_seed(0)
    attention = SelfAttention(8, inner=4, pool=pool)
    with torch.no_grad():
        seen = functional.avg_pool2d(maps, pool)
        rows = [cells(layer(source)) for layer, source in ((attention.query, maps), (attention.key, seen), (attention.value, seen))]
        gathered = functional.scaled_dot_product_attention(*rows)
        assert rows[1].shape == (2, 24 // pool**2, 4)
        torch.testing.assert_close(cells(attention.attended(maps)), gathered)


def test_a_large_batch_is_done_part_by_part_with_the_same_result_and_gradient(maps: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = SelfAttention(8, heads=2)
    largest: list[int] = []
    whole = module._attended
    monkeypatch.setattr(module, "_attended", lambda some: largest.append(len(some)) or whole(some))

    def gradients() -> list[torch.Tensor]:
        module.zero_grad()
        gathered = module.attended(maps)
        torch.autograd.backward((gathered * torch.arange(24.0).reshape(4, 6)).sum())
        return [gathered, *(layer.weight.grad.clone() for layer in (module.query, module.key, module.value))]

    at_once = gradients()
    assert largest == [2]
    monkeypatch.setattr(attention, "AT_ONCE_BYTES", 2 * 2 * 24 * 24 * 4 - 1)
    one_by_one = gradients()
    assert set(largest[1:]) == {1}
    for got, wanted in zip(one_by_one, at_once, strict=True):
        torch.testing.assert_close(got, wanted)


def test_without_training_the_gate_is_shut_and_nothing_changes(maps: torch.Tensor) -> None:
    assert torch.equal(SelfAttention(8)(maps), maps)


def test_the_gate_opens_in_the_first_step_and_lets_the_other_weights_learn_in_the_second(maps: torch.Tensor) -> None:
    torch.manual_seed(0)
    attention = SelfAttention(8, heads=2)
    optimizer = torch.optim.SGD(attention.parameters(), lr=0.1)
    projections = [attention.query.weight, attention.key.weight, attention.value.weight, attention.out.weight]
    for step in range(2):
        optimizer.zero_grad()
        torch.autograd.backward((attention(maps) - maps.flip(3)).square().mean())
        assert all(bool(weight.grad.any()) == (step == 1) for weight in projections)
        optimizer.step()
        assert attention.gate.item() != 0


def test_the_heads_do_not_see_each_others_channels(maps: torch.Tensor) -> None:
    torch.manual_seed(0)
    attention = SelfAttention(8, heads=2)
    with torch.no_grad():
        before = attention.attended(maps)
        attention.key.weight[4:] += 1.0
        after = attention.attended(maps)
    assert torch.equal(after[:, :4], before[:, :4])
    assert not torch.allclose(after[:, 4:], before[:, 4:])
