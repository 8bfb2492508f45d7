"""Swapped labels: permutations, transpositions, streams that do not disturb each other."""

import pytest
import torch

from replica.plasticity import LabelSwaps


def test_a_swap_exchanges_two_names_where_it_is_asked() -> None:
    swaps = LabelSwaps(7, 3, generator=torch.Generator().manual_seed(0))
    for _ in range(50):
        before = swaps.names
        swaps.swap(torch.tensor([True, False, True]))
        assert (swaps.names != before).sum(1).tolist() == [2, 0, 2]
        assert torch.equal(swaps.names.sort(1).values, torch.arange(7).expand(3, -1))
    swaps.swap()
    assert int((swaps.names[1] != torch.arange(7)).sum()) == 2


def test_all_pairs_are_drawn_alike() -> None:
    swaps = LabelSwaps(3, 3000, generator=torch.Generator().manual_seed(0))
    swaps.swap()
    kept = (swaps.names == torch.arange(3)).double().mean(0)
    assert kept == pytest.approx([1 / 3] * 3, abs=0.04)


def test_rows_are_renamed_stream_by_stream() -> None:
    swaps = LabelSwaps(2, 2)
    swaps.swap(torch.tensor([False, True]))
    assert swaps.rename(torch.tensor([0, 1, 1])).tolist() == [[0, 1, 1], [1, 0, 0]]


def test_one_streams_swaps_do_not_depend_on_others() -> None:
    both, first = (LabelSwaps(10, 2, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    for _ in range(5):
        both.swap()
        first.swap(torch.tensor([True, False]))
    assert torch.equal(both.names[0], first.names[0])


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"^classes: got 1"):
        LabelSwaps(1)
    with pytest.raises(ValueError, match=r"^streams: got 0"):
        LabelSwaps(3, 0)
    with pytest.raises(ValueError, match=r"^which: got"):
        LabelSwaps(3, 2).swap(torch.tensor([True]))


def test_a_swap_tells_what_names_become() -> None:
    swaps = LabelSwaps(6, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(6)
    for which in (None, torch.tensor([True, False, False, True])):
        before = swaps.rename(labels)
        becomes = swaps.swap(which)
        assert torch.equal(becomes.gather(1, before), swaps.rename(labels))
