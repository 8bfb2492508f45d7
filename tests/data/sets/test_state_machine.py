import pytest
import torch

from replica.data import StateMachine
from replica.data.sets.state_machine import START


def test_walks_follow_successors_and_are_written_in_digits():
    machine = StateMachine(10, torch.Generator().manual_seed(0))
    tokens, path = machine.walk(300, 6)
    assert (tokens[:, 0] == START).all()
    assert torch.equal(10 * tokens[:, 1::2] + tokens[:, 2::2], path)
    assert (machine.successors[path[:, :-1]] == path[:, 1:, None]).any(-1).all()
    edges = machine.successors[path[:, 0]] == path[:, 1:2]
    assert (edges.sum(0) > 10).all(), "every successor is drawn"
    assert all(len(set(row)) == 10 for row in machine.successors.tolist())


def test_successors_out_of_range_are_refused():
    with pytest.raises(ValueError, match="successors: got 101, want from 1 to 100"):
        StateMachine(101, torch.Generator())
