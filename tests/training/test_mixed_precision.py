"""What stands between autocast and what it does not reach."""

import pytest
import torch
from torch import nn

from replica.training.mixed_precision import at_least_single, autocast_off, cast_operands, in_own_precision


class Loop(nn.Linear):
    @in_own_precision
    def forward(self, values, *, others=()):
        return self.weight @ self.weight, values, others


def test_a_decorated_method_sees_no_autocast():
    values, others = torch.ones(2, dtype=torch.bfloat16), [torch.ones(2, dtype=torch.float64), torch.ones(2).int()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product, given, (double, whole) = Loop(2, 2)(values, others=others)
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16  # it is on again
    assert (product.dtype, given.dtype) == (torch.float32, torch.float32)
    assert (double.dtype, whole.dtype) == (torch.float64, torch.int32)  # as autocast leaves them


def test_without_autocast_all_stays_as_it_is():
    values = torch.ones(2, dtype=torch.bfloat16)
    assert Loop(2, 2)(values)[1] is values
    assert cast_operands(values)[0] is values
    with autocast_off(torch.device("meta")):  # a device without autocast
        assert at_least_single(torch.ones(2, device="meta", dtype=torch.float16)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_operands_are_cast_as_those_of_a_product(dtype):
    values = torch.ones(2, 2, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (found,) = cast_operands(values)
        assert found.dtype == (values @ values).dtype
