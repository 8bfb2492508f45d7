"""What a method of the problem steer is given: a generator and a reward that count their calls, and stop where they are spent."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from replica.errors import ReplicaError
from replica.lab.problems.steer.laws import Law


class Budget:
    """Calls that may be made.

    Args:
        what: In an error, such as ``"calls of the network"``.
        most: How many there are.
    """

    def __init__(self, what: str, most: int) -> None:
        self.what, self.most, self.spent = what, most, 0

    @property
    def left(self) -> int:
        """How many are left."""
        return self.most - self.spent

    def spend(self, count: int) -> None:
        """Count calls, a row each.

        Raises:
            ReplicaError: If there are not so many left.
        """
        if count > self.left:
            raise ReplicaError(
                f"The method asked for {count:,} more {self.what} when {self.left:,} of {self.most:,} were left."
            )
        self.spent += count


class Reward:
    """A number for each state; a call for each row.

    Args:
        function: Of states.
        budget: Its calls.
        gradient: Whether it may be differentiated.
        temperature: α of the tilted law p(x) exp(r(x)/α)/Z that is asked for.
    """

    def __init__(
        self, function: Callable[[Tensor], Tensor], budget: Budget, gradient: bool, temperature: float
    ) -> None:
        self.function, self.budget, self.gradient, self.temperature = function, budget, gradient, temperature

    def __call__(self, states: Tensor) -> Tensor:
        """Rewards of states, shape ``(batch,)``."""
        self.budget.spend(len(states))
        with torch.set_grad_enabled(self.gradient and torch.is_grad_enabled()):
            return self.function(states)


class Model:
    """A generator whose law is known. Each row that is denoised, or whose probability is asked, is a call of the network.

    Args:
        law: Its law.
        budget: Its calls.
    """

    def __init__(self, law: Law, budget: Budget) -> None:
        self.law, self.budget = law, budget
        self.steps, self.shape, self.letters = law.steps, law.shape, law.letters

    def start(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Noise, or masks."""
        return self.law.start(count, generator)

    def denoise(self, state: Tensor, step: int) -> Tensor:
        """What is behind the state before a step: the mean of points, or chances of letters, ``(batch, length, letters)``."""
        self.budget.spend(len(state))
        return self.law.denoise(state, step)

    def draw(self, state: Tensor, predicted: Tensor, step: int, generator: torch.Generator | None = None) -> Tensor:
        """The state after a step, from what was said of it."""
        return self.law.draw(state, predicted, step, generator)

    def level(self, step: int) -> tuple[float, float]:
        """How much there is of data and of noise before a step, a and m of ax₁ + mx₀; or the shares of letters and of masks."""
        return self.law.level(step)

    def log_prob(self, states: Tensor) -> Tensor:
        """Log-density of points, log-probability of sequences."""
        self.budget.spend(len(states))
        return self.law.log_prob(states)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Samples that follow no reward, all their steps taken."""
        state = self.start(count, generator)
        for step in range(self.steps):
            state = self.draw(state, self.denoise(state, step), step, generator)
        return state


def affordable(model: Model, reward: Reward, count: int) -> tuple[int, int]:
    """How many states a sample may be looked at in each step, and in how many completions each (0 for points: the mean itself).

    One state, where there is budget for less.
    """
    looks = reward.budget.left // count
    many = max(1, min(model.budget.left // (model.steps * count), looks // (model.steps + 1)))
    return many, min(16, max(1, (looks - many) // (many * model.steps))) if model.letters else 0


def exact_tilt(model: Model, reward: Reward, count: int, generator: torch.Generator) -> Tensor:
    """Draws from p(x) exp(r(x)/α)/Z itself, by its atoms and at no cost: what no method may do."""
    atoms = model.law.atoms()
    with torch.no_grad():
        weights = torch.softmax(
            model.law.log_prob(atoms).double() + reward.function(atoms).double() / reward.temperature, 0
        )
    # Up to 2²⁴ categories by torch.multinomial; by the cumulative sum there is no limit, and doubles keep small ones.
    level = torch.rand(count, generator=generator, dtype=torch.float64, device=generator.device).to(weights.device)
    drawn = torch.searchsorted(weights.cumsum(0), level).clamp_max(len(atoms) - 1)
    return model.law.within(atoms[drawn], generator)
