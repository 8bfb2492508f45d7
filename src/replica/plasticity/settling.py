"""Where layers of units came to rest."""

import warnings
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from replica.training.tracing import is_exported

States = list[Tensor]


@dataclass(frozen=True)
class Settling:
    """Where layers came to rest, and whether they did.

    Args:
        states: Each layer's activations, ``(*nudges, batch, units)``.
        residual: Largest last change of a row's units, ``(*nudges, batch)``.
        converged: Whether that is within the tolerance.
        sweeps: Sweeps over the layers that were made.
    """

    states: States
    residual: Float[Tensor, "*nudges batch"]
    converged: Bool[Tensor, "*nudges batch"]
    sweeps: int

    def warn_of_unrest(self, where: str) -> None:
        """Warns where rows still move; not in a graph that is exported, which knows no values.

        Warns:
            RuntimeWarning: how many, and after how many sweeps.
        """
        if is_exported():
            return
        moving = int((~self.converged).sum())
        if moving:
            warnings.warn(
                f"{where}, {moving} of {self.converged.numel()} rows are not at rest after {self.sweeps} sweeps",
                RuntimeWarning,
                stacklevel=3,
            )
