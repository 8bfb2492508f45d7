"""Groups and shares of rises by hand and by brute force, and outliers that were planted in a linear problem."""

from itertools import permutations

import pytest
import torch

from replica.landscapes import LossSpikeTracker, OpposingGroups, find_opposing_groups, groups_of_equal_loss


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_groups_of_one_step_are_the_largest_rises_and_falls():
    changes = drawn(50)
    groups = find_opposing_groups(changes, 4)
    assert groups.rising.tolist() == sorted(range(50), key=lambda i: -float(changes[i]))[:4]
    assert groups.falling.tolist() == sorted(range(50), key=lambda i: float(changes[i]))[:4]
    assert groups.members.tolist() == groups.rising.tolist() + groups.falling.tolist()
    assert find_opposing_groups(changes[None], 4).rising.tolist() == groups.rising.tolist()


@pytest.mark.parametrize("first", [1, -1])
def test_groups_that_take_turns_are_found_over_steps_where_one_step_alone_is_noise(first):
    steps, sides = first * (-1.0) ** torch.arange(60), torch.zeros(200, dtype=torch.float64)
    sides[:5], sides[5:10] = 1.0, -1.0
    changes = 0.8 * steps[:, None] * sides + drawn(60, 200)
    rising, falling = find_opposing_groups(changes, 5)
    up, down = (rising, falling) if first > 0 else (falling, rising)
    assert (sorted(up.tolist()), sorted(down.tolist())) == (list(range(5)), list(range(5, 10)))
    alone = find_opposing_groups(changes[0], 5).members
    assert int((alone < 10).sum()) < 9


def test_the_null_has_the_least_distance_in_loss_of_all():
    losses = drawn(8, seed=3)
    groups = OpposingGroups(torch.tensor([2, 5]), torch.tensor([0]))
    null = groups_of_equal_loss(groups, losses)
    others = [i for i in range(8) if i not in (2, 5, 0)]
    distances = {
        three: sum(abs(float(losses[i] - losses[j])) for i, j in zip((2, 5, 0), three, strict=True))
        for three in permutations(others, 3)
    }
    assert distances[tuple(null.members.tolist())] == pytest.approx(min(distances.values()))
    assert (len(null.rising), len(null.falling)) == (2, 1)


def test_tracker_tells_spikes_and_shares():
    tracker = LossSpikeTracker()
    losses = torch.tensor([[1, 1, 1], [2, 1, 1], [2, 3, 0.5], [0, 0, 0], [0, 1, 0.5], [0, 0, 0.9]]).double()
    for each in losses:
        tracker.record(each)
        each.fill_(7.0)  # what is kept is a copy
    assert tracker.spikes() == [range(0, 2), range(3, 4)]
    assert tracker.spikes(0.49) == [range(1, 2), range(3, 4)]
    torch.testing.assert_close(tracker.changes[1], torch.tensor([0, 2, -0.5]).double())
    assert tracker.share_of_rises([0], range(2)) == pytest.approx(1 / 3)
    assert tracker.share_of_rises(torch.tensor([1, 2]), [1, 3]) == pytest.approx(1)
    assert tracker.share_of_rises([2], [4]) == pytest.approx(1)  # by itself, though the mean falls
    assert tracker.share_of_rises([0, 1, 2], [0, 1, 3]) == 1


def test_a_linear_problem_with_two_outliers_spikes_by_them():
    """Descent beyond 2 over the sharpness moves along x alone, where two examples of opposite sign lie."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    inputs[:, 2] = 0.0
    inputs[7, 2], inputs[11, 2] = 30.0, -30.0
    targets = inputs @ torch.tensor([1.0, -1.0, 0.0]).double()
    targets[[7, 11]] += 5.0
    weights, tracker = torch.tensor([0.0, 0.0, 1e-3]).double(), LossSpikeTracker()
    for _ in range(30):
        error = inputs @ weights - targets
        tracker.record(error.square() / 2)
        weights = weights - 2.2 / 45 * inputs.T @ error / 40
    (*_, spike) = tracker.spikes()
    groups = find_opposing_groups(tracker.changes[list(spike)[:3]], 1)
    assert sorted(groups.members.tolist()) == [7, 11]
    assert tracker.share_of_rises(groups.members, spike) > 0.9
    null = groups_of_equal_loss(groups, tracker.losses[list(spike)].mean(0))
    assert tracker.share_of_rises(null.members, spike) < 0.1


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"changes: got shape \(2, 2, 2\)"):
        find_opposing_groups(torch.ones(2, 2, 2), 1)
    with pytest.raises(ValueError, match="changes: got shape"):
        find_opposing_groups(torch.tensor([1.0, torch.nan]), 1)
    with pytest.raises(ValueError, match="size: got 3, want 1 to 2"):
        find_opposing_groups(torch.ones(5), 3)
    with pytest.raises(ValueError, match="losses: got 3 examples for 2 members"):
        groups_of_equal_loss(OpposingGroups(torch.tensor([0]), torch.tensor([1])), torch.ones(3))
    tracker = LossSpikeTracker()
    with pytest.raises(ValueError, match="losses: none were recorded"):
        _ = tracker.losses
    tracker.record(torch.ones(2))
    with pytest.raises(ValueError, match=r"losses: got shape \(3,\), want \(2,\)"):
        tracker.record(torch.ones(3))
    tracker.record(torch.zeros(2))
    with pytest.raises(ValueError, match="steps: got steps at which no loss rises"):
        tracker.share_of_rises([0], [0])
