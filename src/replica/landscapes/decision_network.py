"""A recurrent network that makes perceptual decisions, and the trials it learns from.

Liu et al. 2024, "How connectivity structure shapes rich and lazy learning in neural circuits"; the task is that of neurogym's
``PerceptualDecisionMaking`` (Molano-Mazón et al. 2022) in steps of 100 ms, as the authors use it.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class DecisionNetwork(nn.Module):
    """Rectified units that read inputs over time and score choices at each step: h_t = [W h_{t−1} + U x_t]₊, y_t = V h_t.

    Args:
        recurrent: W at the start, ``(units, units)``, from column to row; it is copied.
        inputs: numbers that are read a step.
        outputs: choices.
        generator: draws U and V, uniform in ±1/√(their columns).

    Raises:
        ValueError: if W is not square, or a number is below 1.

    Source: the authors' code, main.py: the time constant is a step's length, so that nothing leaks.

    Example:
        >>> import torch
        >>> from replica.landscapes import DecisionNetwork
        >>> DecisionNetwork(torch.eye(5), generator=torch.Generator().manual_seed(0))(torch.zeros(2, 8, 3)).shape
        torch.Size([2, 8, 3])
    """

    def __init__(
        self,
        recurrent: Float[Tensor, "units units"],
        *,
        inputs: int = 3,
        outputs: int = 3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if recurrent.dim() != 2 or recurrent.shape[0] != recurrent.shape[1] or not len(recurrent):
            raise ValueError(f"recurrent: got shape {tuple(recurrent.shape)}, want (units, units)")
        if min(inputs, outputs) < 1:
            raise ValueError(f"inputs, outputs: got {inputs} and {outputs}, want 1 or more")
        units = len(recurrent)
        self.recurrent = nn.Parameter(recurrent.detach().clone())
        self.input = nn.Parameter(recurrent.new_empty(units, inputs))
        self.readout = nn.Parameter(recurrent.new_empty(outputs, units))
        for weight in (self.input, self.readout):
            bound = 1 / math.sqrt(weight.shape[1])
            nn.init.uniform_(weight, -bound, bound, generator=generator)

    def states(self, inputs: Float[Tensor, "batch steps inputs"]) -> Float[Tensor, "batch steps units"]:
        """Activities h_1, h_2, … from silence.

        Raises:
            ValueError: if the inputs have another shape.
        """
        if inputs.dim() != 3 or inputs.shape[-1] != self.input.shape[1]:
            raise ValueError(f"inputs: got shape {tuple(inputs.shape)}, want (batch, steps, {self.input.shape[1]})")
        drive, seen = inputs @ self.input.mT, []
        state = torch.zeros_like(drive[:, 0])
        for step in range(inputs.shape[1]):
            state = torch.relu(drive[:, step] + state @ self.recurrent.mT)
            seen.append(state)
        return torch.stack(seen, 1)

    def forward(self, inputs: Float[Tensor, "batch steps inputs"]) -> Float[Tensor, "batch steps outputs"]:
        """Scores y_1, y_2, …"""
        return self.states(inputs) @ self.readout.mT


def perceptual_decisions(
    count: int,
    *,
    steps: int = 8,
    coherences: tuple[float, ...] = (0.064, 0.128, 0.256, 0.512),
    noise: float = 0.1,
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, "count steps 3"], Int[Tensor, "count steps"]]:
    """Trials in which the stronger of two noisy stimuli is chosen when the cue to fixate goes off.

    Until the last step the first input is 1 and the others are (1 ± coherence) / 2 with noise; at the last all are 0.

    Args:
        count: trials.
        steps: of a trial, 100 ms each.
        coherences: drawn from with equal chances, as is the side.
        noise: deviation of a stimulus a step.
        generator: source of the numbers.

    Returns:
        Inputs and labels: 0 until the last step, there 1 or 2.

    Raises:
        ValueError: without coherences, if the noise is negative, or for too few trials or steps.

    Example:
        >>> import torch
        >>> from replica.landscapes import perceptual_decisions
        >>> inputs, labels = perceptual_decisions(4, steps=3, generator=torch.Generator().manual_seed(0))
        >>> inputs.shape, inputs[0, :, 0], labels[:, :2].sum()
        (torch.Size([4, 3, 3]), tensor([1., 1., 0.]), tensor(0))
    """
    if count < 1 or steps < 2:
        raise ValueError(f"count, steps: got {count} and {steps}, want 1 and 2 or more")
    if not coherences or not noise >= 0:
        raise ValueError(f"coherences, noise: got {coherences} and {noise}, want at least one and a number from 0 up")
    drawn = torch.tensor(coherences)[torch.randint(len(coherences), (count,), generator=generator)]
    side = torch.randint(2, (count,), generator=generator)
    sign = 1 - 2 * torch.stack([side, 1 - side], 1)
    inputs = torch.zeros(count, steps, 3)
    inputs[:, :-1, 0] = 1
    inputs[:, :-1, 1:] = ((1 + drawn[:, None] * sign) / 2)[:, None]
    inputs[:, :-1, 1:] += noise * torch.randn(count, steps - 1, 2, generator=generator)
    labels = torch.zeros(count, steps, dtype=torch.long)
    labels[:, -1] = side + 1
    return inputs, labels
