"""The head of self-distillation, and an encoder that learns the outputs of a net that was never trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from replica.representations import PrototypeHead, RandomTeacher
from replica.training import conv_net


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distance(one: nn.Module, other: nn.Module) -> float:
    return max(float((p - q).detach().abs().max()) for p, q in zip(one.parameters(), other.parameters(), strict=True))


def test_outputs_of_the_head_are_cosines_whatever_the_length() -> None:
    head = PrototypeHead(6, 5, widths=(4,), generator=seeded(0)).double()
    features = torch.randn(3, 6, generator=seeded(1)).double()
    points, prototypes = head.layers(features), head.prototypes
    torch.testing.assert_close(
        head(features), nn.functional.cosine_similarity(points[:, None], prototypes[None], dim=2)
    )
    torch.testing.assert_close(head(7 * features), head(features))  # one linear layer without bias at first


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_an_encoder_learns_its_teachers_outputs(alpha: float) -> None:
    images, generator = torch.rand(48, 1, 8, 8, generator=seeded(0)), seeded(1)
    made: list[nn.Module] = []

    def encoder() -> nn.Module:
        made.append(conv_net((1, 3), 6, size=(8, 8), generator=generator))
        return made[-1]

    method = RandomTeacher(alpha=alpha, widths=(16, 8), prototypes=20, batch=16, learning_rate=0.01, weight_decay=0.0)
    assert distance(method.pretrain(images, encoder, generator, 0).encoder, made[-2 if alpha == 0 else -1]) == 0
    method.pretrain(images, encoder, generator, 40)
    assert len(made) == 4
    assert method.teacher[0] is made[2]
    assert distance(method.encoder, made[2]) > 1e-3
    assert method.losses[-1] < 0.3 * method.losses[0]
    assert method.embed(images).shape == (48, 6)
