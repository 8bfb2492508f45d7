import copy

import numpy as np
import pytest
import torch

from replica.representations import UnitStatistics


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seen(first, second, *sizes):
    statistics = UnitStatistics(first.shape[1], second.shape[1])
    for ours, theirs in zip(first.split(sizes or len(first)), second.split(sizes or len(second)), strict=True):
        statistics.update(ours, theirs)
    return statistics


def reference(first, second):
    return torch.from_numpy(np.corrcoef(first.double().numpy(), second.double().numpy(), rowvar=False))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("sizes", [(5000,), (1, 2, 997, 4000), (2500, 2500)])
def test_one_pass_gives_numpys_correlations_and_covariances(dtype, tolerance, sizes):
    first = normal(5000, 7, dtype=dtype)
    second = (first[:, :3] @ normal(3, 4, seed=1, dtype=dtype) + normal(5000, 4, seed=2, dtype=dtype)).relu()
    statistics = seen(first, second, *sizes)
    found = reference(first, second)
    both = torch.cat([first, second], 1).double()
    assert statistics.covariance.dtype == torch.float64
    torch.testing.assert_close(statistics.correlation, found, atol=tolerance, rtol=0)
    torch.testing.assert_close(statistics.between, found[:7, 7:], atol=tolerance, rtol=0)
    torch.testing.assert_close(statistics.within_first, found[:7, :7], atol=tolerance, rtol=0)
    torch.testing.assert_close(statistics.within_second, found[7:, 7:], atol=tolerance, rtol=0)
    torch.testing.assert_close(statistics.covariance, both.T.cov(correction=0), atol=10 * tolerance, rtol=0)
    torch.testing.assert_close(statistics.mean, both.mean(0), atol=tolerance, rtol=0)
    torch.testing.assert_close(statistics.deviation, both.std(0, correction=0), atol=tolerance, rtol=tolerance)


def test_a_large_offset_costs_no_digits_in_float32():
    first = (1e6 + normal(20_000, 3)).float()
    second = first[:, :2] + normal(20_000, 2, seed=1).float()
    torch.testing.assert_close(
        seen(first, second, *[100] * 200).correlation, reference(first, second), atol=2e-5, rtol=0
    )
    naive = (first.T @ first / len(first) - first.mean(0).outer(first.mean(0))).diagonal()
    assert (naive - 1).abs().max() > 100, "the sum of squares less the squared mean would have lost them"


def test_half_precision_inputs_are_summed_in_single():
    first = normal(3000, 4).bfloat16()
    torch.testing.assert_close(
        seen(first, first.flip(1)).correlation, reference(first, first.flip(1)), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dead_units_have_no_correlation_and_are_reported(dtype):
    first, second = normal(900, 3, dtype=dtype), normal(900, 2, seed=1, dtype=dtype)
    first[:, 1] = 0.1  # not a binary fraction
    second[:, 0] = 0.0
    statistics = seen(first, second, *[100] * 9)
    assert statistics.dead.tolist() == [False, True, False, True, False]
    assert torch.equal(statistics.correlation[1], torch.zeros(5, dtype=torch.float64))
    assert torch.equal(statistics.correlation.diagonal(), (~statistics.dead).double())
    assert torch.equal(statistics.deviation > 0, ~statistics.dead)


def test_a_unit_that_changes_between_batches_only_is_not_dead():
    first = torch.cat([torch.zeros(10, 1), torch.ones(10, 1)])
    statistics = seen(first, first, 10, 10)
    assert not statistics.dead.any()
    torch.testing.assert_close(statistics.between, torch.ones(1, 1, dtype=torch.float64))


def test_merging_is_seeing_all():
    first, second = normal(500, 3), normal(500, 2, seed=1)
    second[:, 1] = torch.where(torch.arange(500) < 200, 1.0, 2.0)  # constant within each part
    whole, one, other = seen(first, second), seen(first[:200], second[:200]), seen(first[200:], second[200:])
    assert one.dead[4]
    empty = UnitStatistics(3, 2)
    empty.merge(one)
    empty.merge(other)
    empty.merge(UnitStatistics(3, 2))
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(empty.state_dict()[name], value, atol=1e-9, rtol=1e-9)
    with pytest.raises(ValueError, match=r"other: got 2 and 2 units, want 3 and 2"):
        whole.merge(UnitStatistics(2, 2))


def test_swapped_and_mapped_are_exact():
    first, second, matrix = normal(400, 3) + 5, normal(400, 4, seed=1), normal(4, 2, seed=2)
    first[:, 0] = 1.0
    statistics = seen(first, second)
    for ours, theirs in (
        (statistics.swapped(), seen(second, first)),
        (statistics.mapped(matrix), seen(first, second @ matrix)),
    ):
        torch.testing.assert_close(ours.correlation, theirs.correlation)
        torch.testing.assert_close(ours.mean, theirs.mean)
        assert torch.equal(ours.dead, theirs.dead)
    assert torch.equal(statistics.mapped(torch.zeros(4, 1)).dead, torch.tensor([True, False, False, True]))
    with pytest.raises(ValueError, match=r"matrix: got shape \(3, 2\), want \(4, directions\)"):
        statistics.mapped(matrix[:3])


def test_state_round_trip_continues_the_stream():
    first, second = normal(300, 2), normal(300, 3, seed=1)
    statistics = seen(first[:100], second[:100])
    copied = UnitStatistics(2, 3)
    copied.load_state_dict(copy.deepcopy(statistics.state_dict()))
    for one in (statistics, copied):
        one.update(first[100:], second[100:])
    assert torch.equal(statistics.correlation, copied.correlation)
    assert "samples=300" in repr(copied)


def test_memory_does_not_grow_with_samples_and_gradients_are_left_alone():
    statistics = UnitStatistics(2, 2)
    sizes = {name: value.numel() for name, value in statistics.state_dict().items()}
    for seed in range(3):
        statistics.update(normal(50, 2, seed=seed).requires_grad_(), normal(50, 2, seed=seed + 9))
    assert {name: value.numel() for name, value in statistics.state_dict().items()} == sizes
    assert not statistics.correlation.requires_grad


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(4, 2), r"first: got shape \(4, 3\) of torch.float32, want \(samples, 2\)"),
        (torch.zeros(4, 2), torch.zeros(4, 3), r"second: got shape \(4, 3\)"),
        (torch.zeros(4, 2).long(), torch.zeros(4, 2), r"first: .*torch.int64, want .*floating-point"),
        (torch.zeros(4, 2), torch.zeros(5, 2), r"second: got 5 samples, want 4 as in first"),
        (torch.zeros(4, 2), torch.full((4, 2), float("nan")), r"second: got NaN or infinite"),
        (torch.full((4, 2), float("inf")), torch.zeros(4, 2), r"first: got NaN or infinite"),
    ],
)
def test_wrong_samples_are_named(first, second, message):
    with pytest.raises(ValueError, match=message):
        UnitStatistics(2, 2).update(first, second)


def test_nothing_to_read_before_the_first_sample():
    with pytest.raises(ValueError, match="no samples yet"):
        _ = UnitStatistics(2, 2).correlation
    with pytest.raises(ValueError, match=r"second: got 0 units, want 1 or more"):
        UnitStatistics(2, 0)
    empty = UnitStatistics(2, 2)
    empty.update(torch.zeros(0, 2), torch.zeros(0, 2))
    assert not empty.count
