"""How much a sampler changes its mind towards the end: what tells samples that lie between the modes of the data."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


class TrajectoryVariance:
    """A hook of `sample_path`: the variance of each sample's predicted data over a window of times, mean over coordinates.

    h = mean_d Var_{t in window} x̂₁,d(x_t), with the variance of all predictions made there, by Welford's recursion: nothing is
    kept but two tensors of a sample's shape. A first call at a time before the last one's begins anew, so that one hook serves
    many runs.

    Args:
        start: the first time of the window.
        end: the last one.

    Raises:
        ValueError: if the window is empty.

    Source: Aithal, Maini, Lipton, Kolter 2024, Sec. 5 (h over the last steps of the backward process).

    Example:
        >>> import torch
        >>> from replica.generative import MixtureDenoiser, StraightPath, TrajectoryVariance, sample_path
        >>> hook = TrajectoryVariance(start=0.5)
        >>> exact, noise = MixtureDenoiser(torch.tensor([[-1.0], [1.0]]), 0.0), torch.tensor([[0.01], [2.0]])
        >>> samples = sample_path(exact, StraightPath(), noise, hook=hook)
        >>> hook.value.round(decimals=3)  # the first goes to one of the points late
        tensor([0.1970, 0.0000])
    """

    def __init__(self, start: float = 0.9, end: float = math.inf) -> None:
        if not start <= end:
            raise ValueError(f"start, end: got {start} and {end}, want them in order")
        self.start, self.end = start, end
        self._count, self._last = 0, -math.inf

    def __call__(self, noisy: Tensor, clean: Tensor, time: Tensor) -> Tensor:
        """Takes in a prediction, and gives it back as it is."""
        now = float(time)
        if now < self._last:
            self._count = 0
        self._last = now
        if self.start <= now <= self.end:
            if not self._count:
                self._mean, self._squares = torch.zeros_like(clean), torch.zeros_like(clean)
            self._count += 1
            off = clean - self._mean
            self._mean = self._mean + off / self._count
            self._squares = self._squares + off * (clean - self._mean)
        return clean

    @property
    def value(self) -> Float[Tensor, " batch"]:
        """The variance h of each sample of the last run.

        Raises:
            ValueError: if no prediction fell into the window.
        """
        if not self._count:
            raise ValueError(f"window: no prediction was made from time {self.start} to {self.end}, want one or more")
        return (self._squares / self._count).flatten(1).mean(1)


def keep_steadiest(
    samples: Float[Tensor, "batch *shape"], variance: Float[Tensor, " batch"], count: int
) -> Float[Tensor, "count *shape"]:
    """The samples of least variance, in their own order.

    Args:
        samples: what was drawn.
        variance: of each one's trajectory.
        count: how many are kept.

    Raises:
        ValueError: if there are fewer, or shapes do not fit.

    Example:
        >>> import torch
        >>> from replica.generative import keep_steadiest
        >>> keep_steadiest(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0.1, 5.0, 0.0]), 2)
        tensor([[1.],
                [3.]])
    """
    if variance.shape != samples.shape[:1]:
        raise ValueError(f"variance: got shape {tuple(variance.shape)}, want one of each of {len(samples)} samples")
    if not 0 <= count <= len(samples):
        raise ValueError(f"count: got {count}, want 0 to {len(samples)}")
    return samples[variance.argsort(stable=True)[:count].sort().values]
