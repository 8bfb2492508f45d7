"""Optimisation as conditional sampling: a diffusion model of designs given their rewards, asked for a high one."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.training import Minibatches, fit

from .denoiser import denoising_loss
from .gaussian_paths import VarianceExplodingPath
from .sampler import sample_path
from .subspace_score import SubspaceScore, guided_score


class RewardConditionedSampler:
    """Learns p(x | reward) from designs and their rewards, most of them a regression's, and samples at a target reward.

    Training drops the condition from a share of rows, so that one net gives both scores of guidance.

    Args:
        dim: D, coordinates of a design.
        intrinsic: d, dimensions of the subspace that designs are on.
        width: units.
        depth: residual blocks.
        drop: share of rows without condition.
        steps: of training, at a rate that falls to nothing along a cosine.
        batch: rows a step.
        rate: first learning rate of Adam.
        generator: of weights, minibatches and noise.

    Raises:
        ValueError: if a number is out of range.

    Source: Chen, Mei, Fan, Wang 2024, Sec. 5, after Yuan et al. 2023, Algorithm 1.

    Example:
        >>> import torch
        >>> from replica.generative import RewardConditionedSampler
        >>> generator = torch.Generator().manual_seed(0)
        >>> designs = torch.randn(2000, 2, generator=generator) @ torch.eye(2, 5)
        >>> sampler = RewardConditionedSampler(5, 2, width=32, steps=600, generator=generator)
        >>> samples = sampler.fit(designs, designs[:, 0]).sample(200, 1.5)
        >>> 1.2 < float(samples[:, 0].mean()) < 1.8, samples.shape
        (True, torch.Size([200, 5]))
    """

    def __init__(
        self,
        dim: int,
        intrinsic: int,
        *,
        width: int = 128,
        depth: int = 2,
        drop: float = 0.1,
        steps: int = 2000,
        batch: int = 256,
        rate: float = 3e-3,
        generator: torch.Generator | None = None,
    ) -> None:
        if not 0 <= drop < 1:
            raise ValueError(f"drop: got {drop}, want 0 to below 1")
        self.drop, self.steps, self.batch, self.rate, self.generator = drop, steps, batch, rate, generator
        self.net = SubspaceScore(dim, intrinsic, width=width, depth=depth, condition_dim=2, generator=generator)
        self.centre, self.scale = 0.0, 1.0

    def fit(self, designs: Float[Tensor, "count dim"], rewards: Float[Tensor, " count"]) -> "RewardConditionedSampler":
        """Trains the net on designs and their rewards, known or predicted.

        Raises:
            ValueError: if there is not one reward a design, or all are equal.
        """
        if rewards.shape != designs.shape[:1] or not float(rewards.std()) > 0:
            raise ValueError(f"rewards: got shape {tuple(rewards.shape)}, want {len(designs)} that are not all equal")
        self.centre, self.scale = float(rewards.mean()), float(rewards.std())
        intrinsic = self.net.encoder.shape[1]
        scale = float((designs.square().sum(1).mean() / intrinsic).sqrt())
        self.net.inner.data_scale = scale
        optimiser = torch.optim.Adam(self.net.parameters(), self.rate)
        batches = Minibatches(designs, rewards, size=self.batch, generator=self.generator)

        def loss(net: nn.Module, clean: Tensor, reward: Tensor) -> Tensor:
            kept = torch.rand(len(clean), 1, generator=self.generator, device=clean.device) >= self.drop
            condition = self._condition(reward) * kept
            return denoising_loss(net, clean, condition, mean_level=-0.7, data_scale=scale, generator=self.generator)

        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        fit(self.net, loss, batches, optimiser=optimiser, steps=self.steps, schedule=schedule)
        return self

    def sample(self, count: int, target: float, *, weight: float = 0.0, steps: int = 40) -> Float[Tensor, "count dim"]:
        """Designs whose reward should be the target.

        Args:
            count: how many.
            target: the reward asked for, in the units of those it was trained on.
            weight: of guidance, see `guided_score`.
            steps: of the flow from noise, each straight in the noise level, so that the last ends on the subspace.
        """
        like = self.net.encoder
        noise = torch.randn(count, like.shape[0], generator=self.generator, device=like.device, dtype=like.dtype)
        condition = self._condition(torch.full((count,), target).to(like))
        path = VarianceExplodingPath(0.0, 20.0 * self.net.inner.data_scale)
        return sample_path(guided_score(self.net, condition, weight), path, noise, steps=steps, solver="ddim")

    def _condition(self, reward: Tensor) -> Tensor:
        """The reward in standard units, and a one that says that it is there."""
        units = (reward - self.centre) / self.scale
        return torch.stack([units, torch.ones_like(units)], 1)


def ascend_reward(
    reward: Callable[[Tensor], Tensor],
    starts: Float[Tensor, "count dim"],
    target: float,
    *,
    steps: int = 200,
    size: float = 0.2,
) -> Float[Tensor, "count dim"]:
    """What is done without a generative model: designs carried along a regression's gradient until it predicts the target.

    Newton's step for one equation, (target − r(x))∇r/‖∇r‖², cut to a length: each design stops where its own prediction arrives.

    Args:
        reward: r of each row, differentiable, shape (count,).
        starts: designs to begin at, left as they are.
        target: wanted prediction.
        steps: at most.
        size: the longest step.

    Raises:
        ValueError: if a step has no length.

    Example:
        >>> import torch
        >>> from replica.generative import ascend_reward
        >>> ascend_reward(lambda x: x @ torch.tensor([0.0, 2.0]), torch.zeros(1, 2), 3.0)
        tensor([[0.0000, 1.5000]])
    """
    if not size > 0:
        raise ValueError(f"size: got {size}, want above 0")
    x = starts.detach().clone()
    for _ in range(steps):
        x.requires_grad_()
        with torch.enable_grad():
            value = reward(x)
            (slope,) = torch.autograd.grad(value.sum(), x)
        step = (target - value.detach())[:, None] * slope / slope.square().sum(1, keepdim=True).clamp_min(1e-6)
        x = x.detach() + step * (size / step.norm(dim=1, keepdim=True).clamp_min(1e-9)).clamp_max(1)
    return x
