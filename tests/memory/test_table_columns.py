"""Columns of a table: encoding, hiding, and losses column by column."""

import pytest
import torch
from torch.nn import functional

from replica.memory import TableColumns

SIZES = (3, 1, 2, 1)


def test_encoding_is_one_hot_by_column():
    columns = TableColumns(SIZES)
    table = torch.tensor([[2.0, 0.5, 0.0, -3.0], [-1.0, 1.5, 1.0, 2.0]])
    expected = torch.tensor([[0, 0, 1, 0.5, 1, 0, -3], [0, 0, 0, 1.5, 0, 1, 2]])
    torch.testing.assert_close(columns.encode(table), expected)
    assert columns.width == 7
    assert len(columns) == 4


def test_losses_are_those_of_each_column():
    columns = TableColumns(SIZES)
    g = torch.Generator().manual_seed(0)
    outputs = torch.randn(6, 7, generator=g, requires_grad=True)
    codes = torch.stack([torch.randint(3, (6,), generator=g), torch.randint(2, (6,), generator=g)], 1)
    numbers = torch.randn(6, 2, generator=g)
    table = torch.stack([codes[:, 0], numbers[:, 0], codes[:, 1], numbers[:, 1]], 1)
    losses = columns.losses(outputs, columns.encode(table))
    expected = [
        functional.cross_entropy(outputs[:, :3], codes[:, 0]),
        functional.mse_loss(outputs[:, 3], numbers[:, 0]),
        functional.cross_entropy(outputs[:, 4:6], codes[:, 1]),
        functional.mse_loss(outputs[:, 6], numbers[:, 1]),
    ]
    torch.testing.assert_close(losses, torch.stack(expected))
    (ours,) = torch.autograd.grad(losses.sum(), outputs, retain_graph=True)
    (theirs,) = torch.autograd.grad(sum(expected), outputs)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("sizes", [(1, 1), (2, 3)])
def test_losses_of_one_kind_only(sizes):
    columns = TableColumns(sizes)
    assert columns.losses(torch.zeros(2, columns.width), columns.encode(torch.zeros(2, 2))).shape == (2,)


def test_shares_of_what_is_hidden_and_replaced():
    columns = TableColumns(SIZES)
    table = torch.tensor([[2.0, 9.0, 0.0, 9.0]]).expand(20_000, -1)
    values = columns.encode(table)
    found, hidden = columns.corrupt(values, hide=0.1, replace=0.3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(hidden.float().mean(0), torch.full((4,), 0.1), atol=0.01, rtol=0)
    numbers = found[:, [3, 6]]
    replaced = numbers != 9.0
    torch.testing.assert_close(replaced.float().mean(0), torch.full((2,), 0.3), atol=0.02, rtol=0)
    torch.testing.assert_close(numbers[replaced].std(), torch.tensor(1.0), atol=0.03, rtol=0)
    assert (found[:, :3].sum(1) == 1).all()
    torch.testing.assert_close(found[:, :3].mean(0), torch.tensor([0.1, 0.1, 0.8]), atol=0.02, rtol=0)
    assert not (replaced & hidden[:, [1, 3]]).any()
    again, _ = columns.corrupt(values, hide=0.1, replace=0.3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found, again)


def test_wrong_use_is_named():
    with pytest.raises(ValueError, match="sizes"):
        TableColumns((1, 0))
    with pytest.raises(ValueError, match="table"):
        TableColumns((1, 2)).encode(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="hide"):
        TableColumns((1, 2)).corrupt(torch.zeros(2, 3), hide=0.7, replace=0.7)
