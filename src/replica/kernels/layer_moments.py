"""What an infinitely wide layer does to the covariances of two inputs, of any norm.

For u, v Gaussian with E[u²] = k(x,x), E[uv] = k(x,z), E[v²] = k(z,z), a layer needs E[φ(u) φ(v)], the next covariance, and
E[φ'(u) φ'(v)], which is its derivative by k(x,z) (Price's theorem). Everything is elementwise and broadcasts.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor


class WideLayer(ABC):
    """E[φ(u) φ(v)] and E[φ'(u) φ'(v)] as functions of the three covariances: the step of every kernel of a wide network.

    Fully connected, it takes whole Gram matrices; a convolutional kernel applies it to arrays of covariances between
    patches. Where many blocks share their inputs, `features` is what can be found once for each input.
    """

    def moments(
        self, kxx: Float[Tensor, "..."], kxz: Float[Tensor, "..."], kzz: Float[Tensor, "..."]
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """E[φ(u) φ(v)] and E[φ'(u) φ'(v)], elementwise.

        Args:
            kxx: E[u²], 0 or more; broadcasts with `kxz`, as (n, 1).
            kxz: E[uv], of the full shape, with kxz² ≤ kxx kzz but for rounding.
            kzz: E[v²], 0 or more; broadcasts with `kxz`, as (1, m).
        """
        value, slope = self.combine(self.features(kxx), kxz, self.features(kzz))
        assert slope is not None
        return value, slope

    @abstractmethod
    def features(self, variance: Float[Tensor, "..."]) -> Float[Tensor, "features ..."]:
        """What `combine` needs of each input, from its E[u²], along a new first axis."""

    @abstractmethod
    def combine(
        self,
        left: Float[Tensor, "features ..."],
        kxz: Float[Tensor, "..."],
        right: Float[Tensor, "features ..."],
        *,
        slope: bool = True,
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."] | None]:
        """The moments from the features of x and of z; None in place of the second where `slope` is not wanted."""

    @abstractmethod
    def own_moments(self, variance: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """E[φ(u)²] and E[φ'(u)²], elementwise: the moments at u = v, exact there."""


def standard_deviation(variance: Tensor) -> Tensor:
    """√E[u²], elementwise, and above 0."""
    # An input of zero without bias has no direction: its correlation is 0, and gradients stop there.
    return variance.clamp_min(torch.finfo(variance.dtype).tiny).sqrt()
