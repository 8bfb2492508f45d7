"""RWKV's decaying average: the formula written out, its steps, limits, gradients, and keys of any size."""

import math

import pytest
import torch
from torch import Tensor

from replica.spiking import WeightedState, weighted_key_value, weighted_key_value_step


def drawn(
    steps: int, *shape: int, dtype: torch.dtype = torch.float64, spread: float = 3.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(steps)
    keys, values = torch.randn(2, steps, *shape, generator=generator, dtype=torch.float64)
    decay = torch.logspace(-3, 1.3, shape[-1], dtype=torch.float64)
    bonus = torch.randn(shape[-1], generator=generator, dtype=torch.float64)
    found = (spread * keys, values, decay, bonus)
    return tuple(each.to(dtype).requires_grad_() for each in found)  # type: ignore[return-value]


def written_out(keys: Tensor, values: Tensor, decay: Tensor, bonus: Tensor) -> Tensor:
    """All weights of all steps, by a softmax over what came before."""
    found = []
    for t in range(len(keys)):
        ages = torch.arange(t - 1, -1, -1, dtype=keys.dtype).reshape(-1, *(1,) * (keys.ndim - 1))
        scores = torch.cat([keys[:t] - ages * decay, (bonus + keys[t]).unsqueeze(0)])
        found.append((scores.softmax(0) * values[: t + 1]).sum(0))
    return torch.stack(found)


def stepped(keys: Tensor, values: Tensor, decay: Tensor, bonus: Tensor) -> Tensor:
    state: WeightedState | None = None
    found = []
    for key, value in zip(keys, values, strict=True):
        output, state = weighted_key_value_step(key, value, decay, bonus, state)
        found.append(output)
    return torch.stack(found)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 8, 9, 16, 17, 50])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 4)])
def test_it_is_the_formula_written_out_and_its_steps(steps: int, shape: tuple[int, ...]) -> None:
    given = drawn(steps, *shape)
    wanted = written_out(*given)
    torch.testing.assert_close(weighted_key_value(*given), wanted, rtol=0, atol=1e-13)
    torch.testing.assert_close(stepped(*given), wanted, rtol=0, atol=1e-13)
    weights = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    by_graph = torch.autograd.grad((wanted * weights).sum(), given, materialize_grads=True, allow_unused=True)
    by_hand = torch.autograd.grad((weighted_key_value(*given) * weights).sum(), given)
    for one, other in zip(by_hand, by_graph, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


def test_gradients_are_those_of_finite_differences() -> None:
    given = drawn(7, 2, 3, spread=1.0)
    assert torch.autograd.gradcheck(weighted_key_value, given)


def test_without_decay_and_bonus_equal_keys_give_the_running_mean() -> None:
    values = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    none = torch.zeros(3)
    wanted = values.cumsum(0) / torch.arange(1, 41).unsqueeze(-1)
    torch.testing.assert_close(weighted_key_value(torch.full((40, 3), 7.0), values, none, none), wanted)


def test_a_great_bonus_sees_the_present_alone_and_a_great_decay_the_last_before() -> None:
    keys, values, decay, _ = drawn(30, 4)
    torch.testing.assert_close(weighted_key_value(keys, values, decay, torch.full((4,), 1e4)), values)
    only_last = weighted_key_value(keys, values, torch.full((4,), 1e4), torch.full((4,), -1e4))
    torch.testing.assert_close(only_last[1:], values[:-1])


@pytest.mark.parametrize("size", [1e3, -1e3, 1e4])
def test_keys_of_any_size_neither_overflow_nor_vanish(size: float) -> None:
    """A constant added to all keys changes nothing, in single precision too."""
    keys, values, decay, bonus = drawn(60, 2, 3, dtype=torch.float32, spread=50.0)
    shifted = weighted_key_value(keys + size, values, decay, bonus)
    torch.testing.assert_close(shifted, weighted_key_value(keys, values, decay, bonus), rtol=0, atol=1e-2)
    assert all(torch.isfinite(each).all() for each in torch.autograd.grad(shifted.sum(), (keys, values, decay, bonus)))


def test_over_long_sequences_both_ways_agree() -> None:
    """In single precision too, where rounding of the scale would add up over the thousand steps that the first unit keeps."""
    exact = [each.detach() for each in drawn(2000, 1, 5)]
    found = weighted_key_value(*exact)
    torch.testing.assert_close(stepped(*exact), found, rtol=0, atol=1e-13)
    single = [each.float() for each in exact]
    for way in (weighted_key_value, stepped):
        torch.testing.assert_close(way(*single).double(), found, rtol=0, atol=2e-5)


def test_half_precision_stays_finite_and_near() -> None:
    exact = drawn(200, 2, 4, spread=1.0)
    found = weighted_key_value(*(each.detach().to(torch.bfloat16) for each in exact))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), weighted_key_value(*exact).detach(), rtol=0, atol=0.15)


@pytest.mark.parametrize(
    ("changed", "named"),
    [({1: torch.zeros(4, 2)}, "values"), ({2: torch.zeros(4)}, "decay"), ({3: torch.zeros(())}, "bonus")],
)
def test_shapes_that_do_not_fit_are_named(changed: dict[int, Tensor], named: str) -> None:
    given = [torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(3), torch.zeros(3)]
    for place, value in changed.items():
        given[place] = value
    with pytest.raises(ValueError, match=named):
        weighted_key_value(*given)
    with pytest.raises(ValueError, match=named):
        weighted_key_value_step(*given)


def test_a_sequence_needs_a_step() -> None:
    with pytest.raises(ValueError, match="keys"):
        weighted_key_value(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(3), torch.zeros(3))


def test_the_state_does_not_grow() -> None:
    keys, values, decay, bonus = (each.detach() for each in drawn(50, 2, 3))
    state: WeightedState | None = None
    for key, value in zip(keys, values, strict=True):
        _, state = weighted_key_value_step(key, value, decay, bonus, state)
        assert sum(part.numel() for part in state) == 3 * key.numel()
    ages = torch.arange(49, -1, -1, dtype=torch.float64).reshape(-1, 1, 1)
    total = (keys - ages * decay).logsumexp(0)
    torch.testing.assert_close(state.scale + state.denominator.log(), total)
    assert math.isfinite(float(state.numerator.sum()))
