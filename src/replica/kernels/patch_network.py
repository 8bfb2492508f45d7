"""Networks of one hidden layer over patches, with or without locality and weight sharing."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Sharing = Literal["cnn", "lcn", "fcn"]


def soft_threshold(inputs: Float[Tensor, "*shape"], threshold: float | Tensor) -> Float[Tensor, "*shape"]:
    """φ_b(u) = sign(u) (|u| − b)₊, so that what is smaller than b counts for nothing.

    Args:
        inputs: u.
        threshold: b, 0 or more; a tensor is broadcast, and may learn, which `torch.nn.functional.softshrink` cannot.

    Example:
        >>> soft_threshold(torch.tensor([-3.0, 0.5, 2.0]), 1.0)
        tensor([-2.,  0.,  1.])
    """
    return inputs.sign() * (inputs.abs() - threshold).clamp_min(0)


class PatchNetwork(nn.Module):
    """Sum of soft-thresholded units over patches x^(1) … x^(k) of dimension d, each unit's weights on the unit sphere.

        cnn:  a Σ_i φ_b(w·x^(i)),      one filter at all patches;
        lcn:  a Σ_i φ_b(w_i·x^(i)),    a filter of its own at each;
        fcn:  a Σ_j φ_b(w_j·x),        k units that see all kd numbers.

    Weights are divided by their norm, threshold b = softplus(β) and gain a = e^γ learn along with them; a is there for losses
    that have a scale, and leaves the sign of the output alone. Lahoti, Karp, Winston, Singh, Li 2024, arXiv 2403.15707, who
    project weights to the sphere after each step and set b by hand.

    Args:
        patches: k.
        dim: d.
        sharing: see above.
        threshold: b at the start, above 0. At 0 the network would be linear, and a threshold that is held at 0 from below
            never learns: the reason for softplus.
        units: of "fcn"; k by default.
        generator: source of the initial weights, uniform on the sphere.
        device: where the network lives. Default the generator's.
        dtype: its floating-point type.

    Raises:
        ValueError: if a size is below 1, `threshold` not above 0, `sharing` unknown, or `units` given without "fcn".

    Example:
        >>> import torch
        >>> from replica.kernels import PatchNetwork
        >>> network = PatchNetwork(6, 4, "cnn", generator=torch.Generator().manual_seed(0))
        >>> network(torch.zeros(10, 6, 4)).shape, network.weight.shape
        (torch.Size([10]), torch.Size([1, 4]))
    """

    def __init__(
        self,
        patches: int,
        dim: int,
        sharing: Sharing,
        *,
        threshold: float = 0.2,
        units: int | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if sharing not in ("cnn", "lcn", "fcn"):
            raise ValueError(f"sharing: got {sharing!r}, want 'cnn', 'lcn' or 'fcn'")
        if units is not None and sharing != "fcn":
            raise ValueError(f"units: got {units} for {sharing!r}, want it only with 'fcn'")
        for name, value in (("patches", patches), ("dim", dim), ("units", 1 if units is None else units)):
            if value < 1:
                raise ValueError(f"{name}: got {value}, want 1 or more")
        if not 0 < threshold < math.inf:
            raise ValueError(f"threshold: got {threshold}, want a finite number above 0")
        self.patches, self.dim, self.sharing = patches, dim, sharing
        shape = {"cnn": (1, dim), "lcn": (patches, dim), "fcn": (units or patches, patches * dim)}[sharing]
        if device is None and generator is not None:
            device = generator.device
        weight = torch.randn(shape, generator=generator, device=device, dtype=dtype)
        self.weight = nn.Parameter(weight / weight.norm(dim=1, keepdim=True))
        # softplus⁻¹(b) = b + log(1 − e^{−b})
        self.raw_threshold = nn.Parameter(weight.new_tensor(threshold + math.log(-math.expm1(-threshold))))
        self.log_gain = nn.Parameter(weight.new_zeros(()))

    @property
    def threshold(self) -> Float[Tensor, ""]:
        """The threshold b."""
        return nn.functional.softplus(self.raw_threshold)

    def forward(self, inputs: Float[Tensor, "*batch patches dim"]) -> Float[Tensor, "*batch"]:
        """Scores, whose sign is the label.

        Args:
            inputs: patches by dimension, behind any number of batch axes.

        Raises:
            ValueError: if their last two sizes are not `patches` and `dim`.
        """
        if inputs.shape[-2:] != (self.patches, self.dim):
            raise ValueError(
                f"inputs: got shape {tuple(inputs.shape)}, want patches and dim, ({self.patches}, {self.dim}), last"
            )
        weight = self.weight / self.weight.norm(dim=1, keepdim=True)
        seen = inputs.flatten(-2) @ weight.mT if self.sharing == "fcn" else (inputs * weight).sum(-1)
        return self.log_gain.exp() * soft_threshold(seen, self.threshold).sum(-1)
