import math

import pytest
import torch

from replica.architectures import constant_norm_encoding


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1,), (3,), (5, 1), (2, 4, 3)])
def test_norm_does_not_depend_on_the_condition(shape, dtype):
    conditions = 10 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    code = constant_norm_encoding(conditions)
    assert code.shape == (*shape[:-1], 2 * shape[-1])
    assert code.dtype == dtype
    torch.testing.assert_close(code.norm(dim=-1), torch.full(shape[:-1], math.sqrt(shape[-1]), dtype=dtype))


def test_it_is_the_quarter_circle():
    conditions = torch.tensor([0.0, 1 / 3, 1 / 2, 2 / 3, 1.0], dtype=torch.float64)
    code = constant_norm_encoding(conditions[:, None])
    root = math.sqrt(3) / 2
    expected = [[1, 0], [root, 0.5], [math.sqrt(0.5)] * 2, [0.5, root], [0, 1]]
    torch.testing.assert_close(code, torch.tensor(expected, dtype=torch.float64))


def test_conditions_can_be_read_back_from_minus_two_to_two():
    conditions = torch.linspace(-1.99, 2, 500, dtype=torch.float64)[:, None]
    cosine, sine = constant_norm_encoding(conditions).unbind(-1)
    torch.testing.assert_close(torch.atan2(sine, cosine) * 2 / math.pi, conditions[:, 0])


def test_equal_steps_are_equally_far_apart():
    code = constant_norm_encoding(torch.linspace(0, 1, 9, dtype=torch.float64)[:, None])
    chords = code.diff(dim=0).norm(dim=-1)
    torch.testing.assert_close(chords, torch.full((8,), 2 * math.sin(math.pi / 32), dtype=torch.float64))


def test_gradients():
    conditions = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(constant_norm_encoding, (conditions,))


@pytest.mark.parametrize("conditions", [torch.tensor(0.5), torch.tensor([1, 2])])
def test_bad_conditions_are_named(conditions):
    with pytest.raises(ValueError, match=r"^conditions: got shape .* want \(\.\.\., count\), floating point$"):
        constant_norm_encoding(conditions)
