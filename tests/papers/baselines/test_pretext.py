"""The baselines of pretext: the contrastive loss by its definition, components beside scikit-learn, what each is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from replica.lab.claims import Trial
from replica.lab.problems import get
from replica.papers.baselines.pretext import (
    PrincipalComponents,
    Supervised,
    autoencoder,
    contrastive_loss,
    simclr,
    supervised,
    usual_views,
)
from replica.training import mlp

IMAGES = torch.rand(60, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def encoder() -> nn.Module:
    return nn.Sequential(nn.Flatten(), mlp((36, 8), generator=torch.Generator().manual_seed(0)))


def test_the_contrastive_loss_by_its_definition() -> None:
    a, b = (torch.randn(5, 3, generator=torch.Generator().manual_seed(seed)).double() for seed in (1, 2))
    views = torch.cat([a, b]).numpy()
    losses = []
    for i in range(10):
        alike = [np.exp(views[i] @ other / np.linalg.norm(views[i]) / np.linalg.norm(other) / 0.3) for other in views]
        losses.append(-np.log(alike[(i + 5) % 10] / (sum(alike) - alike[i])))
    assert float(contrastive_loss(a, b, 0.3)) == pytest.approx(np.mean(losses))


def test_components_beside_scikit_learn() -> None:
    ours = PrincipalComponents()
    ours.pretrain(IMAGES, encoder, torch.Generator(), 3)
    flat = IMAGES.flatten(1).numpy()
    theirs = PCA(8).fit(flat).transform(flat)
    np.testing.assert_allclose(ours.embed(IMAGES).abs().numpy(), np.abs(theirs), atol=1e-4)


def test_the_roof_alone_is_told_labels_and_learns_them() -> None:
    labels = torch.arange(60) % 2
    images = IMAGES + labels[:, None, None, None]
    roof = supervised(Trial(0), strength=0.5)
    roof.pretrain(images, encoder, torch.Generator().manual_seed(0), 150, labels)
    assert isinstance(roof, Supervised)
    assert roof.losses[-1] < 0.5 * roof.losses[0]
    told = {name for name in (b.name for b in get("pretext").baselines()) if name == "supervised"}
    assert told == {b.name for b in get("pretext").baselines() if b.needs}


def test_an_autoencoder_learns_to_paint_and_simclr_to_tell_apart() -> None:
    for make in (autoencoder, simclr):
        method = make(Trial(0))
        method.pretrain(IMAGES, encoder, torch.Generator().manual_seed(0), 40)
        assert np.mean(method.losses[-5:]) < 0.9 * np.mean(method.losses[:5])
        assert method.embed(IMAGES).shape == (60, 8)


def test_the_strength_scales_all_of_a_view() -> None:
    none, twice = usual_views(0.0), usual_views(2.0)
    assert torch.equal(none(IMAGES), IMAGES)
    assert (twice.rotation, twice.shift, twice.flip) == (30, 0.2, 0)
    assert twice.scale == pytest.approx((1 / 1.5625, 1.5625))
