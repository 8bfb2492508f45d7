"""What a teacher is: it draws examples, and knows the best prediction and the error that nobody gets below."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_STANDARDISING = 4096


@dataclass(frozen=True)
class Examples:
    """Examples of a teacher, and the answers that nobody can better.

    Args:
        inputs: Shape ``(count, *shape)``.
        targets: What a learner sees, shape ``(count,)``.
        means: E[y | x], the best prediction, shape ``(count,)``.
    """

    inputs: NDArray[np.float64]
    targets: NDArray[np.float64]
    means: NDArray[np.float64]


class Teacher(ABC):
    """A known structure. Of one random state, fewer examples are the first of more."""

    shape: tuple[int, ...]
    """Of one input: patches and dimension, or dimension alone."""
    binary: bool = False
    """Whether targets are ±1, and the sign of a prediction is what counts."""

    @property
    @abstractmethod
    def floor(self) -> float:
        """The error of the best prediction: of squares, or the share of wrong signs."""

    @abstractmethod
    def examples(self, count: int, rng: np.random.Generator) -> Examples:
        """Draw examples."""


class NoisyFunction(Teacher):
    """y = f(x) + σ ε, ε ~ N(0, 1), f of mean 0 and variance 1 over the inputs; a subclass says which inputs and which f.

    Args:
        shape: Of one input.
        noise: σ; the floor is σ².
        rng: For the draws by which f is centred and scaled.
    """

    def __init__(self, shape: tuple[int, ...], noise: float, rng: np.random.Generator) -> None:
        if not (0 <= noise < math.inf):
            raise ValueError(f"noise: got {noise}, want a finite number, 0 or more")
        self.shape, self.noise = shape, noise
        values = self._raw(self._inputs(_STANDARDISING, rng))
        self._mean, self._scale = float(values.mean()), float(values.std())

    @property
    def floor(self) -> float:
        """σ²."""
        return self.noise**2

    def function(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give f at inputs of shape ``(count, *shape)``."""
        values: NDArray[np.float64] = (self._raw(inputs) - self._mean) / self._scale
        return values

    def examples(self, count: int, rng: np.random.Generator) -> Examples:
        """Draw examples; inputs and noise come from streams of their own."""
        of_inputs, of_noise = rng.spawn(2)
        inputs = self._inputs(count, of_inputs)
        means = self.function(inputs)
        return Examples(inputs, means + self.noise * of_noise.standard_normal(count), means)

    @abstractmethod
    def _inputs(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Inputs, shape ``(count, *shape)``; the first of more are those of fewer."""

    @abstractmethod
    def _raw(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give f before it is centred and scaled."""


def wanted(name: str, value: float, least: int) -> None:
    """See that a count is large enough.

    Raises:
        ValueError: If not.
    """
    if value < least:
        raise ValueError(f"{name}: got {value}, want {least} or more")


def unit_vectors(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Vectors uniform on the unit sphere along the last axis."""
    drawn = rng.standard_normal(shape)
    vectors: NDArray[np.float64] = drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)
    return vectors
