"""The data preparation of Sparsey's paper file: damage, fields and thinning."""

import pytest
import torch
from scipy.ndimage import label

from replica.lab.data import digits
from replica.papers.memory.sparsey import moved, random_sequences, skeletons, sparse_patterns, tiles


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_moved_keeps_the_number_of_active_inputs() -> None:
    patterns = sparse_patterns(30, 50, 10, generator())
    assert (patterns.sum(1) == 10).all()
    for changes in (0, 3, 10):
        damaged = moved(patterns, changes, generator(1))
        assert (damaged.sum(1) == 10).all()
        assert ((damaged * patterns).sum(1) == 10 - changes).all()


def test_sequences_are_those_of_the_study() -> None:
    active = random_sequences(50, 10, generator()).sum(-1)
    assert active.shape == (50, 10)
    assert sorted(active.unique().tolist()) == [9, 10, 11, 12]


def test_tiles_cover_the_image() -> None:
    fields = tiles(24, 16, 7, 3)
    assert fields.shape == (24, 49)
    assert fields[0, :8].tolist() == [0, 1, 2, 3, 4, 5, 6, 16]
    assert int(fields.max()) < 24 * 16


def test_a_bar_is_thinned_to_a_line() -> None:
    image = torch.zeros(1, 9, 15, dtype=torch.bool)
    image[0, 3:6, 2:13] = True
    line = skeletons(image)[0]
    assert line.sum(0).max() == 1
    assert int(line.sum()) >= 8
    assert set(line.nonzero()[:, 0].tolist()) == {4}


@pytest.mark.parametrize("start", [0, 100])
def test_thinning_stays_inside_keeps_connections_and_is_done_at_once(start: int) -> None:
    images = torch.from_numpy(digits().values[start : start + 40] > 0.4)
    large = images.repeat_interleave(3, 1).repeat_interleave(3, 2)
    thin = skeletons(large)
    assert bool((large | ~thin).all())
    assert torch.equal(skeletons(thin), thin)
    assert float(thin.float().mean()) < 0.5 * float(large.float().mean())
    eight = torch.ones(3, 3).numpy()
    for before, after in zip(large.numpy(), thin.numpy(), strict=True):
        assert label(before, eight)[1] == label(after, eight)[1]


def test_thinning_is_that_of_scikit_image() -> None:
    morphology = pytest.importorskip("skimage.morphology")
    images = torch.from_numpy(digits().values[:20] > 0.4).repeat_interleave(3, 1).repeat_interleave(3, 2)
    for image, thin in zip(images, skeletons(images), strict=True):
        assert (morphology.skeletonize(image.numpy(), method="zhang") == thin.numpy()).mean() > 0.98
