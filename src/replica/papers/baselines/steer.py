"""What people use today to steer a generator by a reward: baselines of the problem steer."""

from __future__ import annotations

import torch
from torch import Tensor

from replica.generative import posterior_mean_value
from replica.lab.claims import LogUniform, Trial
from replica.lab.problems.baseline import Baselines
from replica.lab.problems.steer.budget import Model, Reward, affordable, exact_tilt

baselines = Baselines()


class Steered:
    """A method that draws by a generator of the trial's."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator


@baselines.entry("unguided", "the generator's own samples: the trivial method")
class Unguided(Steered):
    """Calls no reward."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial.generator("unguided"))

    def steer(self, model: Model, reward: Reward, count: int) -> Tensor:
        """Draw as many as are wanted."""
        return model.sample(count, self.generator)


@baselines.entry("best-of-n", "of as many samples as the budget allows, the best")
class BestOfN(Steered):
    """Groups of N samples, of each the one of the highest reward."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial.generator("best-of-n"))

    def steer(self, model: Model, reward: Reward, count: int) -> Tensor:
        """Spend all calls of the network that samples can be made of."""
        many = max(1, min(model.budget.left // (model.steps * count), reward.budget.left // count))
        samples = model.sample(many * count, self.generator)
        best = reward(samples).view(count, many).argmax(1)
        return samples.view(count, many, *model.shape)[torch.arange(count, device=best.device), best]


@baselines.entry("particles", "sequential Monte Carlo: particles resampled by their values at each step")
class Particles(Steered):
    """Steps of the generator, weighed by how much the value grew, and resampled over all particles.

    Source: Wu et al. 2023, "Practical and Asymptotically Exact Conditional Sampling in Diffusion Models", with the generator's
    own steps for proposals: they need no gradient.
    """

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial.generator("particles"))

    def steer(self, model: Model, reward: Reward, count: int) -> Tensor:
        """As many particles as the budget allows; of them, in the end, as many as are wanted."""
        drawn = self.generator
        particles, completions = affordable(model, reward, count)
        if reward.budget.left < (model.steps + 1) * count:
            return model.sample(count, drawn)  # too few calls to look at any state
        value = posterior_mean_value(reward, completions=completions)
        many = particles * count
        state, before = model.start(many, drawn), torch.zeros(many, device=drawn.device)
        for step in range(model.steps):
            predicted = model.denoise(state, step)
            now = value(state, predicted, drawn).to(before)
            kept = resampled((now - before) / reward.temperature, many, drawn)
            state, before = model.draw(state[kept], predicted[kept], step, drawn), now[kept]
        kept = resampled((reward(state).to(before) - before) / reward.temperature, count, drawn)
        return state[kept]


def resampled(log_weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows by their weights: evenly spaced levels of the cumulative sum, all shifted by one draw, in random order."""
    sums = torch.softmax(log_weights.double(), 0).cumsum(0)
    shift = torch.rand((), generator=generator, dtype=torch.float64, device=sums.device)
    rows = torch.searchsorted(sums, (torch.arange(count, device=sums.device) + shift) / count).clamp_max(len(sums) - 1)
    return rows[torch.randperm(count, generator=generator, device=sums.device)]


@baselines.entry(
    "gradient-guidance",
    "the predicted mean moved along the reward's gradient",
    space={"scale": LogUniform(0.1, 10)},
    gradient=("yes",),
)
class GradientGuidance(Steered):
    """x̂₁ becomes x̂₁ + s(m²/a)∇r(x̂₁(x))/α: the score of the tilted law, were the reward of the mean the value."""

    def __init__(self, trial: Trial, scale: float = 1.0) -> None:
        super().__init__(trial.generator("gradient-guidance"))
        self.scale = scale

    def steer(self, model: Model, reward: Reward, count: int) -> Tensor:
        """Take one call of network and reward a step."""
        state = model.start(count, self.generator)
        for step in range(model.steps):
            state.requires_grad_()
            predicted = model.denoise(state, step)
            slope = torch.autograd.grad(reward(predicted).sum(), state)[0]
            signal, noise = model.level(step)
            with torch.no_grad():
                # No data in the first state: its score says nothing of them.
                moved = predicted + self.scale / reward.temperature * noise**2 / signal * slope if signal else predicted
                state = model.draw(state, moved, step, self.generator)
        return state


@baselines.entry("exact-tilt", "draws from the tilted law itself, as no method can: a line, no rival")
class ExactTilt(Steered):
    """What the budget does not hold for."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial.generator("exact-tilt"))

    def steer(self, model: Model, reward: Reward, count: int) -> Tensor:
        """Draw by the law's atoms."""
        return exact_tilt(model, reward, count, self.generator)
