"""Relative representations: beside scikit-learn, exact invariance, recovery from anchors, stitching, agreement by hand."""

import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity
from torch import nn

from replica.representations import RelativeEncoder, RelativeProjection, latent_agreement, stitch


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_they_are_scikit_learns_cosines() -> None:
    latents, anchors = normal(9, 4), normal(6, 4, seed=1)
    expected = torch.tensor(cosine_similarity(latents.numpy(), anchors.numpy()))
    torch.testing.assert_close(RelativeProjection(anchors)(latents), expected)
    assert RelativeProjection(anchors)(torch.zeros(1, 4, dtype=torch.float64)).tolist() == [[0.0] * 6]


def test_isometries_and_scales_are_cancelled_and_shifts_are_not() -> None:
    latents = normal(20, 5)
    turn = torch.linalg.qr(normal(5, 5, seed=1)).Q
    plain = RelativeProjection(latents[:8])(latents)
    turned = 7 * latents @ turn
    torch.testing.assert_close(RelativeProjection(turned[:8])(turned), plain)
    shifted = latents + 1
    assert not torch.allclose(RelativeProjection(shifted[:8])(shifted), plain, atol=0.05)


def test_enough_anchors_tell_the_direction_up_to_an_isometry() -> None:
    latents = normal(20, 5)
    relative = RelativeProjection(latents[:7])(latents)
    units = nn.functional.normalize(latents)
    recovered = torch.linalg.lstsq(units[:7], relative.T).solution.T
    torch.testing.assert_close(recovered, units)
    torch.testing.assert_close(torch.linalg.matrix_rank(relative), torch.tensor(5))


def test_a_decoder_reads_another_encoder_that_is_turned() -> None:
    inputs, anchors = normal(15, 6), normal(10, 6, seed=1)
    encoder, other, decoder = (nn.Linear(*size, bias=False).double() for size in ((6, 4), (6, 4), (10, 3)))
    with torch.no_grad():
        other.weight.copy_(torch.linalg.qr(normal(4, 4, seed=2)).Q @ encoder.weight * 5)
    own, stitched = stitch(encoder, anchors, decoder), stitch(other, anchors, decoder)
    torch.testing.assert_close(own(inputs), stitched(inputs))
    assert not torch.allclose(own(inputs), stitch(other, anchors.flip(0), decoder)(inputs), atol=0.05)
    assert stitched[1] is decoder
    assert stitched[0].encoder is other


def test_gradients_reach_the_encoder_through_samples_and_anchors() -> None:
    encoder = nn.Linear(6, 4).double()
    relative = RelativeEncoder(encoder, normal(3, 6))
    fixed = RelativeProjection(encoder(relative.anchors))
    samples = normal(5, 6, seed=1)
    torch.testing.assert_close(relative(samples), fixed(encoder(samples)))
    (through_both,) = torch.autograd.grad(relative(samples).sum(), [encoder.weight])
    (through_samples,) = torch.autograd.grad(fixed(encoder(samples)).sum(), [encoder.weight])
    assert not torch.allclose(through_both, through_samples)


def test_agreement_by_hand_and_of_strangers() -> None:
    first = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]])
    second = first[[1, 0, 2, 3]]
    found = latent_agreement(first, second, neighbours=1)
    assert found.cosine.item() == pytest.approx((0.8 + 0.8 + 1 + 1) / 4)
    assert found.reciprocal_rank.item() == pytest.approx((1 / 2 + 1 / 2 + 1 + 1) / 4)
    # Nearest of the four: 1, 0, 3, 2 in the first space; 1, 0, 3, 2 in the second, of other samples the same.
    assert found.jaccard.item() == pytest.approx(1)
    strangers = latent_agreement(normal(200, 20), normal(200, 20, seed=1))
    assert abs(strangers.cosine.item()) < 0.05
    assert strangers.jaccard.item() == pytest.approx(10 / 199 / 2, abs=0.02)
    assert strangers.reciprocal_rank.item() < 0.06
    assert latent_agreement(normal(3, 1, 9, 4), normal(2, 9, 4), neighbours=2).jaccard.shape == (3, 2)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: RelativeProjection(torch.rand(4)), r"anchors: got shape \(4,\)"),
        (lambda: RelativeProjection(torch.rand(4, 3))(torch.rand(5, 2)), "latents: got dimension 2, want 3"),
        (lambda: RelativeEncoder(nn.Identity(), torch.rand(0, 3)), r"anchors: got shape \(0, 3\)"),
        (lambda: latent_agreement(torch.rand(20, 3), torch.rand(20, 4)), r"got shapes \(20, 3\) and \(20, 4\)"),
        (
            lambda: latent_agreement(torch.rand(10, 3), torch.rand(10, 3)),
            "neighbours: got 10, want a number from 1 to 9",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()
