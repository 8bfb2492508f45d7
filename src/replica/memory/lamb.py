"""LAMB: Adam whose step is scaled to each tensor's norm.

You et al. 2020, "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", arXiv 1904.00962, Algorithm 2.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    r"""Layer-wise adaptive moments: every tensor moves by the same share of its norm.

        m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²,   r = m̂ / (√v̂ + ε) + λ w,
        w ← w − η (φ(‖w‖) / ‖r‖) r,

    with m̂ and v̂ corrected for their start at 0, φ(z) = min(z, `largest_norm`), and the ratio 1 where a norm is 0.

    Args:
        params: parameters, or groups of them.
        lr: learning rate η: share of its norm by which a tensor moves in a step.
        betas: β₁ and β₂.
        eps: ε.
        weight_decay: λ.
        largest_norm: norm above which a tensor counts as that large.

    Raises:
        ValueError: if a number is out of range.

    Source: You et al. 2020, Algorithm 2; the bound of 10 on the norm is that of common implementations.

    Example:
        >>> import torch
        >>> from replica.memory import Lamb
        >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        >>> optimiser = Lamb([weight], lr=0.1)
        >>> (weight.square().sum() / 2).backward()
        >>> optimiser.step()
        >>> round(float((weight.detach() - torch.tensor([3.0, 4.0])).norm()), 4)  # a tenth of the norm 5
        0.5
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        largest_norm: float = 10.0,
    ) -> None:
        for name, value in (("lr", lr), ("weight_decay", weight_decay)):
            if not value >= 0:
                raise ValueError(f"{name}: got {value}, want 0 or more")
        for name, value in (("eps", eps), ("largest_norm", largest_norm)):
            if not value > 0:
                raise ValueError(f"{name}: got {value}, want a number above 0")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas: got {betas}, want two numbers in [0, 1)")
        super().__init__(
            params,
            {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "largest_norm": largest_norm},
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; with a closure, returns what it gives."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            by_age: dict[int, list[Tensor]] = {}
            for weight in weights:
                state = self.state[weight]
                if not state:
                    state["step"] = 0
                    state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
                state["step"] += 1
                by_age.setdefault(state["step"], []).append(weight)
            for age, same in by_age.items():
                self._move(same, age, group)
        return loss

    def _move(self, weights: list[Tensor], age: int, group: dict[str, Any]) -> None:
        # One call for all tensors: on small nets the calls are what a step costs.
        first, second = group["betas"]
        gradients = [weight.grad for weight in weights]
        means = [self.state[weight]["mean"] for weight in weights]
        squares = [self.state[weight]["square"] for weight in weights]
        torch._foreach_lerp_(means, gradients, 1 - first)  # type: ignore[arg-type]
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)  # type: ignore[arg-type]
        spread = torch._foreach_sqrt(torch._foreach_div(squares, 1 - second**age))
        torch._foreach_add_(spread, group["eps"])
        update = torch._foreach_div(torch._foreach_div(means, 1 - first**age), spread)
        if group["weight_decay"]:
            torch._foreach_add_(update, weights, alpha=group["weight_decay"])
        norms, lengths = torch.stack(torch._foreach_norm(weights)), torch.stack(torch._foreach_norm(update))
        ratio = norms.clamp(max=group["largest_norm"]) / lengths
        ratio = torch.where((norms > 0) & (lengths > 0), ratio, 1.0) * -group["lr"]
        torch._foreach_mul_(update, list(ratio.unbind()))
        torch._foreach_add_(weights, update)
