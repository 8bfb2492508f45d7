"""What every part must stand in other people's training code: mixed and half precision, empty batches, other states, graphs.

The parts are declared in ``test_every_part.py``.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.parts.test_every_part import BATCHED, PARTS, Part, every_part, given, made, over_time

HALVES = (torch.bfloat16, torch.float16)
halves = pytest.mark.parametrize("dtype", HALVES, ids=lambda dtype: str(dtype).removeprefix("torch."))


class Called(nn.Module):
    """A part, called as it is used: what compilers and exporters take is a module's own call."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.module, self.use = made(part), part.use

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.use(self.module, *inputs)


def weighted(output: Tensor) -> Tensor:
    return (output.float() * torch.linspace(0.5, 1.5, output.numel()).reshape(output.shape)).sum()


def leaves(part: Part, batch: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    return tuple(value.requires_grad_(part.smooth) for value in given(part, batch, dtype))


def check_near(part: Part, output: Tensor) -> None:
    assert torch.isfinite(output).all()
    if part.near is not None:
        expected = part.use(made(part), *given(part, 3))
        torch.testing.assert_close(output.float(), expected.float(), rtol=part.near, atol=part.near)


def check_gradients(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    for value in (*inputs, *module.parameters()):
        if value.requires_grad:
            assert value.grad is not None
            assert value.grad.dtype == value.dtype
            assert torch.isfinite(value.grad).all()


@halves
@every_part
def test_autocast(name: str, dtype: torch.dtype) -> None:
    """Forward in mixed precision; backward outside of it, as PyTorch advises, and inside, as many do."""
    part = PARTS[name]
    module, inputs = made(part), leaves(part, 3)
    with torch.autocast("cpu", dtype=dtype):
        output = part.use(module, *inputs)
        if part.smooth:
            weighted(output).backward(retain_graph=True)
    if part.smooth:
        weighted(output).backward()
        check_gradients(module, inputs)
    check_near(part, output)


@halves
@every_part
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    part = PARTS[name]
    module, inputs = made(part, dtype=dtype), leaves(part, 3, dtype)
    output = part.use(module, *inputs)
    assert output.dtype == dtype
    if part.smooth:
        weighted(output).backward()
        check_gradients(module, inputs)
    check_near(part, output)


@pytest.mark.parametrize("name", BATCHED)
def test_an_empty_batch_gives_an_empty_output(name: str) -> None:
    part = PARTS[name]
    module, inputs = made(part), leaves(part, 0)
    output = part.use(module, *inputs)
    assert output.shape == (0, *part.use(made(part), *given(part, 3)).shape[1:])
    if part.smooth:
        weighted(output).backward()
        check_gradients(module, inputs)
    assert part.use(module.eval(), *inputs).shape == output.shape


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if part.use is over_time])
def test_a_sequence_without_steps_has_its_form_or_is_refused(name: str) -> None:
    part, (inputs,) = PARTS[name], given(PARTS[name], 3)
    try:
        output = part.use(made(part), inputs[:, :0])
    except ValueError:  # an average over no steps is none
        return
    whole = part.use(made(part), inputs)
    assert (output.shape[0], *output.shape[2:]) == (whole.shape[0], *whole.shape[2:])
    assert output.shape[1] == whole.shape[1] - inputs.shape[1]


@pytest.mark.parametrize(("theirs", "ours"), [(torch.float64, torch.float32), (torch.float32, torch.float64)])
@every_part
def test_a_state_of_another_precision_is_converted(name: str, theirs: torch.dtype, ours: torch.dtype) -> None:
    part = PARTS[name]
    module, expected = made(part, seed=7, dtype=ours), made(part, dtype=theirs).to(ours)
    module.load_state_dict(made(part, dtype=theirs).state_dict())
    for key, value in tensors(module).items():
        assert value.dtype == tensors(expected)[key].dtype, key
    assert torch.equal(part.use(module, *given(part, 3, ours)), part.use(expected, *given(part, 3, ours)))


def tensors(module: nn.Module) -> dict[str, Any]:
    return {key: value for key, value in module.state_dict().items() if torch.is_tensor(value)}


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if not part.breaks])
def test_it_compiles_to_one_graph(name: str) -> None:
    torch._dynamo.reset()
    module, inputs = Called(PARTS[name]), given(PARTS[name], 3)
    compiled = torch.compile(copy.deepcopy(module), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*inputs), module(*inputs))


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if not part.stays])
def test_it_is_exported(name: str) -> None:
    module, inputs = Called(PARTS[name]).eval(), given(PARTS[name], 3)
    exported = torch.export.export(module, inputs).module()
    torch.testing.assert_close(exported(*inputs), module(*inputs))
