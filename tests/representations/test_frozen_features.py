"""Frozen features: any shape, white patches, and more than the pixels tell."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from replica.data import digits
from replica.lab.claims import Trial
from replica.lab.problems.stream.info import Setting, StreamInfo
from replica.papers.baselines.stream import NearestClassMean
from replica.representations.frozen_features import FrozenFeatures
from replica.training import as_images

CPU = torch.device("cpu")


def info(
    shape: tuple[int, ...] = (5,), classes: int = 4, setting: Setting = "class", told: bool = True, **other: Any
) -> StreamInfo:
    parts = tuple(tuple(range(k, k + 2)) for k in range(0, classes, 2))
    told_of: Any = (len(parts), parts) if told else (None, None)
    return StreamInfo(shape, classes, setting, *told_of, **({"epochs": 2, "batch": 4, "device": CPU} | other))


def batch(count: int = 8, shape: tuple[int, ...] = (5,), classes: tuple[int, ...] = (0, 1), seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(classes).repeat(count)[:count]
    return torch.randn(count, *shape, generator=generator) + labels.reshape(-1, *[1] * len(shape)), labels


def images(count: int) -> tuple[Tensor, Tensor]:
    found = digits()
    values = torch.from_numpy(found.values[:count])
    return (values - values.mean()) / values.std(), torch.from_numpy(found.labels[:count])


@pytest.mark.parametrize("shape", [(8, 8), (6, 9), (20, 17), (8, 8, 3), (3, 10, 10), (7,), (4, 3, 7)])
@pytest.mark.parametrize("labelled", [False, True])
def test_features_of_any_shape(shape: tuple[int, ...], labelled: bool) -> None:
    inputs, labels = batch(14, shape)
    made = []
    for seed in (1, 1, 2):
        state = torch.random.get_rng_state()
        features = FrozenFeatures(torch.Generator().manual_seed(seed), atoms=8).fit(
            inputs, labels if labelled else None
        )
        assert torch.equal(torch.random.get_rng_state(), state)
        made.append(features(inputs))
        assert made[-1].shape == (14, features.width)
        torch.testing.assert_close(made[-1].mean(dim=0), torch.zeros(features.width), atol=1e-4, rtol=0)
        assert features(inputs[:1]).shape == (1, features.width)
        torch.testing.assert_close(features(inputs[3:5]), made[-1][3:5], atol=1e-4, rtol=1e-4)
        assert not made[-1].requires_grad
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    if not labelled:
        assert features.width == 64


def test_patches_are_white_and_directions_of_length_one() -> None:
    inputs, _ = images(300)
    features = FrozenFeatures(torch.Generator().manual_seed(0), atoms=16).fit(inputs)
    extractor: Any = features._extractor
    torch.testing.assert_close(extractor.directions.norm(dim=1), torch.ones(16))
    patches = extractor._patches(as_images(inputs))
    by_hand = as_images(inputs)[7, 0, 2:5, 3:6].flatten()
    by_hand = (by_hand - by_hand.mean()) / (by_hand.var(correction=0) + 0.01).sqrt()
    torch.testing.assert_close(patches[7, 2 * 6 + 3], by_hand, atol=1e-5, rtol=1e-4)
    white = extractor._white(patches.flatten(0, 1))
    values = torch.linalg.eigvalsh(torch.cov(patches.flatten(0, 1).T, correction=0))
    # ZCA with a ridge of 0.1 turns each variance v into v / (v + 0.1).
    torch.testing.assert_close(
        torch.linalg.eigvalsh(torch.cov(white.T, correction=0)), (values.clamp_min(0) / (values.clamp_min(0) + 0.1)).sort()[0],
        atol=2e-3, rtol=1e-2,
    )  # fmt: skip


def test_features_tell_more_than_pixels_and_labels_more_than_none() -> None:
    inputs, labels = images(900)
    method = NearestClassMean(Trial(0))
    found = {}
    for name in ("pixels", "unlabelled", "labelled"):
        method = NearestClassMean(Trial(0))
        method.start(info((8, 8), 10))
        if name != "pixels":
            method.pretrain(inputs[:300], labels[:300] if name == "labelled" else None)
        method.learn(inputs[300:600], labels[300:600], None)
        right = method.predict(inputs[600:], None).argmax(dim=1) == labels[600:]
        found[name] = float(right.float().mean())
    assert found["pixels"] + 0.01 < found["unlabelled"]
    assert found["pixels"] + 0.01 < found["labelled"]


def test_wrong_use_of_features() -> None:
    with pytest.raises(ValueError, match="atoms is 0; want a whole number, 1 or more"):
        FrozenFeatures(atoms=0)
    with pytest.raises(ValueError, match="inputs is empty"):
        FrozenFeatures().fit(torch.zeros(0, 8, 8))
    with pytest.raises(ValueError, match=r"labels has shape \(3,\); want \(4,\), one for each of inputs"):
        FrozenFeatures().fit(torch.zeros(4, 8, 8), torch.zeros(3, dtype=torch.int64))
    assert torch.isfinite(FrozenFeatures().fit(torch.zeros(4, 8, 8))(torch.ones(2, 8, 8))).all()
    assert torch.isfinite(FrozenFeatures().fit(torch.zeros(4, 5))(torch.ones(2, 5))).all()
