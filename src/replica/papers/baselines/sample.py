"""What people generate with: baselines of the problem sample, and a copier that shows which measures reward copying."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn

from replica.generative import (
    DenoisingMLP,
    PreconditionedDenoiser,
    VarianceExplodingPath,
    denoising_loss,
    sample_path,
)
from replica.generative.sampler import Hook
from replica.lab.claims import Integer, LogUniform, Trial
from replica.lab.problems.baseline import Baselines
from replica.training import Minibatches, fit

baselines = Baselines()
_ROWS = 4000
"""The most rows that what grows fast with them is fitted to: the first ones, which are in random order."""


class Gaussian:
    """Mean and covariance, by draws that are combinations of the rows themselves where those are fewer than coordinates.

    Args:
        generator: Source of draws.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def fit(self, data: Tensor) -> None:
        """Keep a root R of the covariance, RᵀR = C."""
        self.shape, rows = data.shape[1:], data.flatten(1).double()
        self.mean = rows.mean(0)
        root = (rows - self.mean) / math.sqrt(max(1, len(rows) - 1))
        self.root = torch.linalg.qr(root).R if len(root) > root.shape[1] else root

    @property
    def n_parameters(self) -> int:
        """Of the mean and of the covariance, whose halves are alike."""
        dim = len(self.mean)
        return dim + dim * (dim + 1) // 2

    def sample(self, count: int) -> Tensor:
        """See the protocol."""
        normal = torch.randn(
            count, len(self.root), generator=self.generator, device=self.root.device, dtype=self.root.dtype
        )
        return (self.mean + normal @ self.root).float().reshape(count, *self.shape)


@baselines.entry("gaussian", "one Gaussian of the data's mean and covariance: the trivial method")
def gaussian(trial: Trial) -> Gaussian:
    """Nothing to choose."""
    return Gaussian(trial.generator("gaussian"))


class NoisyRows:
    """Training rows drawn again, with normal noise.

    Args:
        noise: Its deviation.
        generator: Source of draws.
    """

    def __init__(self, noise: float, generator: torch.Generator) -> None:
        self.noise, self.generator = noise, generator

    def fit(self, data: Tensor) -> None:
        """Keep the rows."""
        self.rows = data

    def sample(self, count: int) -> Tensor:
        """See the protocol."""
        rows, generator = self.rows, self.generator
        chosen = rows[torch.randint(len(rows), (count,), generator=generator, device=rows.device)]
        normal = torch.randn(chosen.shape, generator=generator, device=rows.device, dtype=rows.dtype)
        return chosen + self.noise * normal


@baselines.entry(
    "noisy-copies",
    "training rows with a little noise: shows which measures reward copying",
    space={"noise": LogUniform(1e-3, 1.0)},
)
def noisy_copies(trial: Trial, noise: float = 0.01) -> NoisyRows:
    """A hundredth of the data's deviation."""
    return NoisyRows(noise, trial.generator("noisy-copies"))


class KernelDensity(NoisyRows):
    """A round Gaussian about each row, of the width under which left-out rows are likeliest."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(0.0, generator)

    def fit(self, data: Tensor) -> None:
        """Keep the rows, and choose the width of 40 from a thousandth of the data's deviation to twice it."""
        super().fit(data)
        rows = data[: _ROWS // 2].flatten(1).double()
        squares = torch.cdist(rows, rows).square().fill_diagonal_(torch.inf)
        dim, best = rows.shape[1], -torch.inf
        for width in torch.logspace(-3, math.log10(2), 40).tolist():
            likelihood = torch.logsumexp(-squares / (2 * width**2), 1).mean() - dim * math.log(width)
            if likelihood > best:
                best, self.noise = float(likelihood), width


@baselines.entry("kernel-density", "a Gaussian kernel density, its width by leave-one-out likelihood")
def kernel_density(trial: Trial) -> KernelDensity:
    """The width is chosen from the data."""
    return KernelDensity(trial.generator("kernel-density"))


class Mixture:
    """A Gaussian mixture of as many components as the Bayesian information criterion is for, full or along the axes.

    Components are tried in rising number until two numbers in a row are no better. It is fitted in the basis of principal
    components, the first 50 at most; along the others the data are one Gaussian.

    Args:
        most: The most components.
        trial: Source of randomness.
    """

    def __init__(self, most: int, trial: Trial) -> None:
        self.most, self.trial = most, trial

    def fit(self, data: Tensor) -> None:
        """Choose the mixture."""
        self.shape, rows = data.shape[1:], data[:_ROWS].flatten(1).double().cpu().numpy()
        self.mean = rows.mean(0)
        _, values, self.basis = np.linalg.svd(rows - self.mean, full_matrices=False)
        kept = max(1, int((values > 1e-6 * values[0]).sum()))
        self.basis = self.basis[:kept]
        scores = (rows - self.mean) @ self.basis.T
        self.deviations = scores[:, 50:].std(0)
        seed = int(self.trial.rng("mixture").integers(2**31))
        best = math.inf
        for kind in ("full", "diag"):
            worse = 0
            for count in (number for number in (1, 2, 3, 5, 8, 12, 18, 25, 35, 50) if number <= self.most):
                if 2 * count > len(rows) or worse > 1:
                    break
                model = GaussianMixture(count, covariance_type=kind, reg_covar=1e-5, random_state=seed)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    criterion = model.fit(scores[:, :50]).bic(scores[:, :50])
                worse = 0 if criterion < best else worse + 1
                if criterion < best:
                    best, self.model = criterion, model
        self.n_parameters = int(self.model._n_parameters()) + self.basis.size + self.mean.size + self.deviations.size

    def sample(self, count: int) -> np.ndarray:
        """See the protocol."""
        rng = self.trial.rng("mixture draws")
        self.model.random_state = int(rng.integers(2**31))
        scores = rng.permutation(self.model.sample(count)[0])
        scores = np.concatenate([scores, self.deviations * rng.standard_normal((count, len(self.deviations)))], axis=1)
        return (self.mean + scores @ self.basis).astype(np.float32).reshape(count, *self.shape)


@baselines.entry("gaussian-mixture", "a Gaussian mixture by BIC, by scikit-learn", space={"most": Integer(1, 50)})
def gaussian_mixture(trial: Trial, most: int = 50) -> Mixture:
    """Up to 50 components."""
    return Mixture(most, trial)


class Diffusion:
    """A perceptron that takes noise away at all levels, and the probability flow from noise to data by Heun's method.

    Weights are averaged over the last steps, and the learning rate falls to 0 as a cosine does.

    Args:
        width: Units a layer.
        depth: Residual blocks.
        learning_rate: Adam's.
        trial: Source of randomness.
    """

    def __init__(self, width: int, depth: int, learning_rate: float, trial: Trial) -> None:
        self.width, self.depth, self.learning_rate, self.trial = width, depth, learning_rate, trial

    def fit(self, data: Tensor, steps: int = 3000) -> None:
        """Train it on batches of 128 for so many steps."""
        self.shape, rows = data.shape[1:], data.flatten(1)
        streams = (self.trial.generator(f"diffusion {what}") for what in ("weights", "order", "noise", "levels"))
        weights, order, noise, levels = streams
        net = DenoisingMLP(rows.shape[1], width=self.width, depth=self.depth, generator=weights)
        denoiser = PreconditionedDenoiser(net)
        optimiser = torch.optim.Adam(denoiser.parameters(), self.learning_rate)
        averaged = torch.optim.swa_utils.AveragedModel(
            denoiser, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(1 - 10 / max(20, steps))
        )

        def loss(model: nn.Module, batch: Tensor) -> Tensor:
            unit = self.noise(len(batch), batch.shape[1], noise)
            return denoising_loss(model, batch, noise=unit, generator=levels)

        fit(
            denoiser,
            loss,
            Minibatches(rows, size=128, generator=order),
            optimiser=optimiser,
            steps=steps,
            schedule=torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps),
            clip_norm=10.0,
            after_step=lambda step: averaged.update_parameters(denoiser),
        )
        self.denoiser = averaged.module

    def noise(self, count: int, dim: int, generator: torch.Generator) -> Tensor:
        """Of unit scale: what rows are perturbed by, times a level, and where sampling starts."""
        return torch.randn(count, dim, generator=generator, device=generator.device)

    def sample(self, count: int, hook: Hook | None = None) -> Tensor:
        """See the protocol; the hook is called at every prediction."""
        generator = self.trial.generator("diffusion samples")
        noise = self.noise(count, math.prod(self.shape), generator)
        found = sample_path(self.denoiser, VarianceExplodingPath(), noise, steps=32, hook=hook)
        return found.reshape(count, *self.shape)


@baselines.entry(
    "diffusion",
    "a small diffusion model (Karras et al., 2022): what people use today",
    space={"learning_rate": LogUniform(3e-4, 1e-2), "width": Integer(32, 512), "depth": Integer(1, 4)},
)
def diffusion(trial: Trial, learning_rate: float = 2e-3, width: int = 256, depth: int = 2) -> Diffusion:
    """Two residual blocks of 256 units."""
    return Diffusion(width, depth, learning_rate, trial)
