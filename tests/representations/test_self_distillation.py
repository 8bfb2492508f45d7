"""Self-distillation against its formula by hand, the moving average's closed form, and what it learns and must not."""

import pytest
import torch
from torch import nn

from replica.representations import MaskedAutoencoder, MaskedTraining, SelfDistillation, StreamDistillation
from replica.training import mlp


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


def model(**options):
    encoder = mlp((6, 5), generator=seeded(1))
    return SelfDistillation(encoder, 5, prototypes=7, hidden=8, bottleneck=4, generator=seeded(2), **options)


def test_teacher_is_the_moving_average_of_students():
    distillation = model(momentum=0.9)
    start, students = [p.clone() for p in distillation.teacher.parameters()], []
    for number in range(4):
        with torch.no_grad():
            for parameter in distillation.student.parameters():
                parameter.add_(drawn(*parameter.shape, seed=number))
        students.append([p.detach().clone() for p in distillation.student.parameters()])
        distillation.update()
    for place, kept in enumerate(distillation.teacher.parameters()):
        wanted = 0.9**4 * start[place] + sum(0.1 * 0.9 ** (3 - k) * students[k][place] for k in range(4))
        torch.testing.assert_close(kept, wanted)
        assert not kept.requires_grad


def test_loss_is_cross_entropy_both_ways_with_centred_sharpened_shares():
    distillation = model(student_temperature=0.2, teacher_temperature=0.05)
    distillation.centre.copy_(drawn(7, seed=3) / 10)
    with torch.no_grad():
        for parameter in distillation.teacher.parameters():
            parameter.add_(drawn(*parameter.shape, seed=5) / 5)
    one, two = drawn(3, 6, seed=6), drawn(3, 6, seed=7)
    wanted = 0.0
    for asked, told in ((one, two), (two, one)):
        for i in range(3):
            shares = torch.exp((distillation.teacher(asked)[i] - distillation.centre) / 0.05)
            logs = torch.log(torch.exp(distillation(told)[i] / 0.2) / torch.exp(distillation(told)[i] / 0.2).sum())
            wanted = wanted - (shares / shares.sum() * logs).sum() / 6
    torch.testing.assert_close(distillation.loss(one, two), wanted)
    scores = torch.cat([distillation.teacher(view) for view in (one, two)]).mean(0)
    moved = 0.9 * distillation.centre + 0.1 * scores
    distillation.update()
    torch.testing.assert_close(distillation.centre, moved)
    assert distillation(one).abs().max() <= 1 + 1e-6  # cosines


def test_related_moments_are_learned_and_unrelated_ones_are_not():
    """What stays with an image through time is told by features; which two kinds there are is no secret to the pixels."""
    images = torch.rand(12, 1, 8, 8, generator=seeded(4))
    images[::2, :, :, :4] += 1

    def end(related):
        encoder = nn.Sequential(nn.Flatten(), mlp((64, 32, 8), generator=seeded(5)))
        method = StreamDistillation(related=related, batch=32)
        method.learn(images, encoder, seeded(6), frames=2000, steps=60)
        stream = StreamDistillation(batch=32)
        stream.model = method.model
        with torch.no_grad():  # how much better twins agree than strangers
            scores = method.model.student(images + 0.05 * drawn(12, 1, 8, 8, seed=8))
            twins = method.model.student(images)
            alike = (
                nn.functional.normalize(scores - scores.mean(0), dim=1)
                @ nn.functional.normalize(twins - twins.mean(0), dim=1).T
            )
        return method, float(scores.std(0).mean()), alike

    (method, spread, alike), (_, idle, _) = end(True), end(False)
    assert spread > 1.5 * idle
    assert alike.diagonal().mean() > 0.8
    assert torch.equal(method.embed(images), method.model.teacher[0](images))


def test_masks_hide_whole_patches_equally_many():
    autoencoder = MaskedAutoencoder(nn.Flatten(), 64, (1, 8, 8), patch=2, share=0.75, generator=seeded())
    hidden = autoencoder.masks(500, seeded(1))
    patches = hidden.view(500, 4, 2, 4, 2).transpose(2, 3).flatten(3).flatten(1, 2).float()
    assert ((patches.mean(2) == 0) | (patches.mean(2) == 1)).all()
    assert (patches.mean(2).sum(1) == 12).all()
    torch.testing.assert_close(patches.mean((0, 2)), torch.full((16,), 0.75), atol=0.07, rtol=0)


def test_loss_looks_at_hidden_pixels_alone_and_they_are_not_seen():
    class Sees(nn.Flatten):
        def forward(self, images):
            self.last = images
            return super().forward(images)

    eyes = Sees()
    autoencoder = MaskedAutoencoder(eyes, 2 * 16, (2, 4, 4), patch=2, share=0.5, blank=-7.0, generator=seeded())
    images = drawn(3, 2, 4, 4)
    loss = autoencoder.loss(images, seeded(2))
    hidden = autoencoder.masks(3, seeded(2)).expand_as(images)
    seen = eyes.last
    assert (seen[hidden] == -7).all()
    assert torch.equal(seen[~hidden], images[~hidden])
    torch.testing.assert_close(loss, (autoencoder(seen)[hidden] - images[hidden]).square().mean())


def test_what_can_be_filled_in_is():
    shade = torch.rand(256, 1, 1, 1, generator=seeded(3)).expand(256, 1, 4, 4).contiguous()
    encoder = mlp((16, 32, 8), generator=seeded(4))
    trained = MaskedTraining(batch=64, share=0.5).pretrain(
        shade, lambda: nn.Sequential(nn.Flatten(), encoder), seeded(5), 40
    )
    assert trained.losses[-1] < 0.1 * float(shade.var())
    assert trained.embed(shade).shape == (256, 8)


def test_bad_arguments():
    with pytest.raises(ValueError, match="learning_rate, batch, gap: got"):
        StreamDistillation(gap=0)
    with pytest.raises(ValueError, match="share: got 0"):
        MaskedTraining(share=0)
