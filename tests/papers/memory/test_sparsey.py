"""What the claims of sparsey stand on: damage, fields, the count of work."""

import torch

from replica.papers.memory.sparsey import elements_of, moved, sparse_patterns, tiles


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_moved_keeps_the_number_of_active_inputs() -> None:
    patterns = sparse_patterns(30, 50, 10, generator())
    assert (patterns.sum(1) == 10).all()
    for changes in (0, 3, 10):
        damaged = moved(patterns, changes, generator(1))
        assert (damaged.sum(1) == 10).all()
        assert ((damaged * patterns).sum(1) == 10 - changes).all()


def test_tiles_cover_the_image() -> None:
    fields = tiles(24, 16, 7, 3)
    assert fields.shape == (24, 49)
    assert fields[0, :8].tolist() == [0, 1, 2, 3, 4, 5, 6, 16]
    assert int(fields.max()) < 24 * 16


def test_work_is_the_elements_of_results_and_views_are_free() -> None:
    numbers = torch.ones(6, 4)
    assert elements_of(lambda: (numbers[:3].T + 1).sum()) == 12 + 1
    assert elements_of(lambda: numbers.max(1)) == 12  # values and places
