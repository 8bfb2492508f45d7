"""Competitors that belong to no paper: `replica/papers/baselines/<problem>.py` enters them, and the lab finds them by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

Make = TypeVar("Make", bound=Callable[..., Any])


@dataclass(frozen=True)
class Baseline:
    """A method that belongs to no paper: ``make(trial, **hyperparameters)`` gives a fresh one."""

    name: str
    make: Callable[..., Any]
    description: str
    """What it is, in a few words."""
    needs: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Options under which it can run, such as ``{"values": ("binary",)}``; any where empty."""
    space: Mapping[str, Any] = field(default_factory=dict)
    """What tuning may vary, by hyperparameter."""
    extra: tuple[str, str] | None = None
    """A library it stands on that Replica does not bring, and the extra that does: ``("neuralop", "physics")``."""


class Baselines:
    """The baselines of one problem, in the order in which they were entered.

    Example:
        >>> baselines = Baselines()
        >>> @baselines.entry("nothing", "does nothing: the trivial method")
        ... def nothing(trial): ...
        >>> [baseline.name for baseline in baselines]
        ['nothing']
    """

    def __init__(self) -> None:
        self._entered: dict[str, Baseline] = {}

    def __iter__(self) -> Iterator[Baseline]:
        return iter(self._entered.values())

    def entry(
        self,
        name: str,
        description: str,
        *,
        space: Mapping[str, Any] | None = None,
        extra: tuple[str, str] | None = None,
        **needs: tuple[Any, ...],
    ) -> Callable[[Make], Make]:
        """Decorator that enters a top-level class or function ``make(trial, **hyperparameters)``; see `Baseline` for the rest.

        Raises:
            ValueError: If the name is taken.
        """

        def enter(make: Make) -> Make:
            if name in self._entered:
                raise ValueError(f"Two baselines are called {name!r}.")
            self._entered[name] = Baseline(name, make, description, needs, dict(space or {}), extra)
            return make

        return enter
