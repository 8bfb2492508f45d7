"""A feature extractor that is learned before a stream begins and then stays: any method may stand on it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from replica.training import as_images, image_shape, small_net

_PATCHES = 20_000
_KMEANS_ROUNDS = 10
_THRESHOLD = 1.0
_RIDGE = 1.0
_ROWS_AT_ONCE = 256
_EPOCHS, _BATCH, _RATE = 20, 64, 2e-3


class FrozenFeatures:
    """Features learned from pretraining data alone, the same for every method that wants some.

    - Images without labels: patches are normalised, ZCA-whitened and clustered by spherical k-means into directions d; a patch x
      is coded by soft thresholds of both signs, max(0, d·x − 1) and max(0, −d·x − 1), and codes are averaged over the four
      quadrants (Coates & Ng, 2011 and 2012).
    - Tables and signals without labels: whitened principal components x̃, then random features max(0, Wx̃ + b).
    - With labels: the last hidden layer of a small network trained to tell the classes apart.

    In the end each feature is centred on its mean over the pretraining data, and divided by the root of its variance plus the
    mean variance of all. Before `fit` the features are the inputs themselves, flat.

    Args:
        generator: Where patches, centroids and weights are drawn from, on the CPU; PyTorch's own where None.
        atoms: How many directions, or an eighth of the random features.

    Attributes:
        width: How many features there are, once fitted.

    Example:
        >>> features = FrozenFeatures(torch.Generator().manual_seed(0), atoms=16)
        >>> _ = features.fit(torch.rand(50, 8, 8))
        >>> features(torch.rand(3, 8, 8)).shape
        torch.Size([3, 128])
    """

    def __init__(self, generator: torch.Generator | None = None, *, atoms: int = 64) -> None:
        if atoms < 1:
            raise ValueError(f"FrozenFeatures: atoms is {atoms!r}; want a whole number, 1 or more.")
        self.generator = generator
        self.atoms = atoms
        self.width = 0
        self._extractor: nn.Module | None = None

    @property
    def fitted(self) -> bool:
        """Whether `fit` was called."""
        return self._extractor is not None

    def fit(self, inputs: Tensor, labels: Tensor | None = None) -> FrozenFeatures:
        """Learn the features from ``(count, *shape)`` inputs, and labels ``(count,)`` from 0 if there are any.

        Raises:
            ValueError: If there are no inputs, or not one label for each.
        """
        if not len(inputs):
            raise ValueError("FrozenFeatures: inputs is empty; want one item or more.")
        if labels is not None and labels.shape != inputs.shape[:1]:
            raise ValueError(
                f"FrozenFeatures: labels has shape {tuple(labels.shape)}; want ({len(inputs)},), one for each of inputs."
            )
        generator = self.generator or torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        shape = tuple(inputs.shape[1:])
        extractor: nn.Module
        if labels is not None:
            extractor = _Supervised(inputs, labels, generator)
        elif image_shape(shape) is not None:
            extractor = _PatchCodes(inputs, self.atoms, generator)
        else:
            extractor = _RandomFeatures(inputs, 8 * self.atoms, generator)
        with torch.no_grad():
            features = _in_parts(extractor, inputs)
            deviation, mean = torch.std_mean(features, dim=0, correction=0)
        self._mean = mean
        # Not by its own deviation alone: a feature that is rarely on would drown the others where it is.
        variance = deviation.square()
        self._scale = (variance + variance.mean()).clamp_min(1e-12).rsqrt()
        self._extractor, self.width = extractor, features.shape[1]
        return self

    @torch.no_grad()
    def __call__(self, inputs: Tensor) -> Tensor:
        """Give the features of ``(batch, *shape)`` inputs, shape ``(batch, width)``."""
        if self._extractor is None:
            return inputs.flatten(1)
        return (_in_parts(self._extractor, inputs) - self._mean) * self._scale


def _in_parts(extractor: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    return torch.cat([extractor(part) for part in torch.split(inputs, _ROWS_AT_ONCE)])


class _PatchCodes(nn.Module):
    """Overlaps of whitened patches with directions, thresholded and pooled."""

    whitening: Tensor
    centre: Tensor
    directions: Tensor

    def __init__(self, inputs: Tensor, atoms: int, generator: torch.Generator) -> None:
        super().__init__()
        images = as_images(inputs)
        side = min(images.shape[2:])
        self.patch = max(3, side // 5)
        self.stride = 1 if side < 16 else 2
        count = -(-_PATCHES // len(images))
        patches = torch.cat([self._draw(part, count, generator) for part in torch.split(images, _ROWS_AT_ONCE)])
        self.register_buffer("centre", patches.mean(dim=0))
        values, vectors = torch.linalg.eigh(torch.cov(patches.T, correction=0))
        self.register_buffer("whitening", vectors * (values.clamp_min(0) + 0.1).rsqrt() @ vectors.T)
        self.register_buffer("directions", _spherical_kmeans(self._white(patches), atoms, generator))

    def _patches(self, images: Tensor) -> Tensor:
        """Normalised patches, shape ``(batch, places, values)``."""
        patches = nn.functional.unfold(images, self.patch, stride=self.stride).transpose(1, 2)
        variance, mean = torch.var_mean(patches, dim=2, keepdim=True, correction=0)
        return (patches - mean) * (variance + 0.01).rsqrt()

    def _draw(self, images: Tensor, count: int, generator: torch.Generator) -> Tensor:
        patches = self._patches(images)
        order = torch.rand(patches.shape[:2], generator=generator).argsort(dim=1)[:, :count].to(images.device)
        return patches.gather(1, order[:, :, None].expand(-1, -1, patches.shape[2])).flatten(0, 1)

    def _white(self, patches: Tensor) -> Tensor:
        return (patches - self.centre) @ self.whitening

    def forward(self, inputs: Tensor) -> Tensor:
        images = as_images(inputs)
        overlap = self._white(self._patches(images)) @ self.directions.T
        codes = torch.cat([overlap - _THRESHOLD, -overlap - _THRESHOLD], dim=2).clamp_min(0)
        down, across = ((size - self.patch) // self.stride + 1 for size in images.shape[2:])
        pooled: Tensor = nn.functional.adaptive_avg_pool2d(
            codes.transpose(1, 2).reshape(len(codes), -1, down, across), 2
        )
        return pooled.flatten(1)


def _spherical_kmeans(patches: Tensor, atoms: int, generator: torch.Generator) -> Tensor:
    """Directions in which patches gather: centroids of norm 1, damped by their last place (Coates & Ng, 2012, section 2)."""
    directions = torch.randn(atoms, patches.shape[1], generator=generator).to(patches)
    directions = nn.functional.normalize(directions, dim=1)
    for _ in range(_KMEANS_ROUNDS):
        overlap = patches @ directions.T
        nearest = overlap.abs().argmax(dim=1)
        sums = directions.index_add(0, nearest, overlap.gather(1, nearest[:, None]) * patches)
        directions = nn.functional.normalize(sums, dim=1)
    return directions


class _RandomFeatures(nn.Module):
    """Whitened principal components through a random layer."""

    centre: Tensor
    weights: Tensor
    bias: Tensor

    def __init__(self, inputs: Tensor, width: int, generator: torch.Generator) -> None:
        super().__init__()
        flat = inputs.flatten(1)
        self.register_buffer("centre", flat.mean(dim=0))
        _, values, right = torch.linalg.svd(flat - self.centre, full_matrices=False)
        kept = values > 1e-3 * values[:1].clamp_min(1e-12)
        variances = values[kept].square() / len(flat)
        # The ridge keeps directions in which few rows happen to lie close from drowning all others.
        deviations = (variances + _RIDGE * variances.mean()).sqrt() if kept.any() else variances
        inside = int(kept.sum())
        weights = torch.randn(inside, width, generator=generator).to(flat) / max(1, inside) ** 0.5
        self.register_buffer("weights", right[kept].T / deviations @ weights)
        self.register_buffer("bias", torch.randn(width, generator=generator).to(flat))

    def forward(self, inputs: Tensor) -> Tensor:
        return ((inputs.flatten(1) - self.centre) @ self.weights + self.bias).relu()


class _Supervised(nn.Module):
    """The last hidden layer of a network trained on the labels."""

    def __init__(self, inputs: Tensor, labels: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        self.net = small_net(tuple(inputs.shape[1:]), int(labels.max()) + 1, generator, inputs.device)
        optimiser = torch.optim.Adam(self.net.parameters(), lr=_RATE)
        for _ in range(_EPOCHS):
            order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
            for rows in torch.split(order, _BATCH):
                loss = nn.functional.cross_entropy(self.net(inputs[rows]), labels[rows])
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
        self.net.requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net.represent(inputs)
