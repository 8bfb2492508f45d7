"""Zoos of trained models: grids of settings, a few seeds each, trained side by side where shapes allow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

from jaxtyping import Float
from torch import Tensor

from replica.training import Replicas

Settings = dict[str, Any]


@dataclass(frozen=True)
class ZooBlock:
    """Models of one architecture.

    Attributes:
        points: settings of the grid that the block covers.
        nets: their networks, in the order of the points, all seeds of a point together.
    """

    points: tuple[Settings, ...]
    nets: Replicas

    @property
    def seeds(self) -> int:
        """Networks a point."""
        return self.nets.count // len(self.points)

    def pairs(self) -> tuple[Replicas, Replicas]:
        """Each network, and beside it that of the next seed of the same point; the last's next is the first."""
        models = [self.nets.model(index) for index in range(self.nets.count)]
        following = [index + 1 if (index + 1) % self.seeds else index + 1 - self.seeds for index in range(len(models))]
        return Replicas(models), Replicas([models[index] for index in following])

    def means(self, values: Float[Tensor, " nets"]) -> list[float]:
        """The mean over seeds of each point."""
        found: list[float] = values.double().view(len(self.points), self.seeds).mean(1).tolist()
        return found


@dataclass(frozen=True)
class ModelZoo:
    """A population of trained models over a grid of settings.

    Attributes:
        blocks: what was trained together.
    """

    blocks: tuple[ZooBlock, ...]

    @classmethod
    def build(
        cls, grid: Mapping[str, Sequence[Any]], train: Callable[..., Replicas], *, together: Sequence[str] = ()
    ) -> Self:
        """Trains a zoo.

        Args:
            grid: the values of each setting: the zoo has all combinations.
            train: called with settings by name, one value each, but of those of `together`, of which it gets a list, one for
                each point; gives networks in the order of these points, equally many seeds a point.
            together: settings whose values share a call, as they leave shapes alone.

        Raises:
            ValueError: if the grid is empty, a name unknown, or the networks are no multiple of the points.

        Source: Schürholt, Meynent, Zhou, Lu, Yang, Borth 2025: grids of load, temperature and seeds.

        Example:
            >>> import torch
            >>> from replica.landscapes import ModelZoo
            >>> from replica.training import Replicas, mlp
            >>> def train(width: int, rate: list[float]) -> Replicas:
            ...     return Replicas.of(mlp((2, width, 1), generator=torch.Generator().manual_seed(0)), 3 * len(rate))
            >>> zoo = ModelZoo.build({"width": (4, 8), "rate": (0.1, 0.01)}, train, together=["rate"])
            >>> [(point["width"], point["rate"]) for block in zoo.blocks for point in block.points]
            [(4, 0.1), (4, 0.01), (8, 0.1), (8, 0.01)]
            >>> zoo.blocks[0].seeds
            3
        """
        if not grid or not all(len(values) for values in grid.values()):
            raise ValueError(f"grid: got {dict(grid)}, want values of one setting or more")
        if unknown := set(together) - set(grid):
            raise ValueError(f"together: got {sorted(unknown)}, want names of {list(grid)}")
        apart = [name for name in grid if name not in together]
        inner = [dict(zip(together, values, strict=True)) for values in product(*(grid[name] for name in together))]
        blocks = []
        for values in product(*(grid[name] for name in apart)):
            shared = dict(zip(apart, values, strict=True))
            nets = train(**shared, **{name: [point[name] for point in inner] for name in together})
            if nets.count % len(inner):
                raise ValueError(
                    f"train: got {nets.count} networks for {len(inner)} points, want as many seeds for each"
                )
            blocks.append(ZooBlock(tuple(shared | point for point in inner), nets))
        return cls(tuple(blocks))

    def table(self, measure: Callable[[ZooBlock], Mapping[str, Sequence[float]]]) -> list[Settings]:
        """A row for each point: its settings, and what is measured of the block's points, a number each."""
        rows = []
        for block in self.blocks:
            columns = measure(block)
            values = zip(*columns.values(), strict=True)
            rows += [
                point | dict(zip(columns, row, strict=True)) for point, row in zip(block.points, values, strict=True)
            ]
        return rows
