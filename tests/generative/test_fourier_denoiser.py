"""The perceptron that sees waves: what its net is given, and that it learns what the plain one does not in so few steps."""

import math

import torch

from replica.generative import (
    DenoisingMLP,
    FourierDenoisingMLP,
    MixtureDenoiser,
    PreconditionedDenoiser,
    denoising_loss,
)
from replica.training import fit


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_net_sees_position_sines_and_cosines() -> None:
    model = FourierDenoisingMLP(2, features=3, scale=0.5, width=8, generator=seeded())
    waves = math.pi * torch.randn(2, 3, generator=seeded())
    x, level, seen = torch.randn(4, 2), torch.randn(4), []
    model.net.register_forward_pre_hook(lambda net, args: seen.append(args[0]))
    found = model(x, level)
    expected = torch.cat([x, (x @ waves).sin(), (x @ waves).cos()], 1)
    torch.testing.assert_close(seen[0], expected)
    torch.testing.assert_close(found, model.net(expected, level)[:, :2])


def test_narrow_modes_are_learned_sooner() -> None:
    exact, errors = MixtureDenoiser(torch.arange(-2.0, 3)[:, None], 0.05), []
    for net in (DenoisingMLP(1, width=32, generator=seeded()), FourierDenoisingMLP(1, width=32, generator=seeded())):
        model, generator = PreconditionedDenoiser(net, data_scale=1.4), seeded()
        fit(
            model,
            lambda model, generator=generator: denoising_loss(
                model, exact.sample(128, generator=generator), data_scale=1.4, generator=generator
            ),
            [()],
            optimiser=torch.optim.Adam(model.parameters(), 3e-3),
            steps=200,
        )
        noisy = exact.sample(2000, generator=seeded()) + 0.2 * torch.randn(2000, 1, generator=seeded())
        with torch.no_grad():
            found, best = (each(noisy, torch.tensor(1.0), torch.tensor(0.2)) for each in (model, exact))
        errors.append(float((found - best).square().mean()))
    assert errors[1] < errors[0] / 2
