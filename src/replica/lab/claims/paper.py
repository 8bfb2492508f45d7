"""The form of a paper file: a paper, its entries in shared problems, and its claims."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .expectations import Expectation
from .spaces import Space
from .trial import Scale, Trial

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Measures = Mapping[str, Any]
Series = Mapping[str, Any]
ClaimFunction = Callable[[Trial], "Measures | tuple[Measures, Series]"]
DrawFunction = Callable[["Axes", "pd.DataFrame"], None]

SEEDS: Mapping[Scale, int] = {"smoke": 1, "laptop": 5, "full": 5}
LIMIT_SECONDS: Mapping[Scale, float] = {"smoke": 60.0, "laptop": 600.0, "full": 86_400.0}
LIMIT_BYTES: Mapping[Scale, int] = {"smoke": 2 << 30, "laptop": 8 << 30, "full": 64 << 30}


@dataclass(frozen=True)
class Reported:
    """What the paper itself says of a measure, and where.

    Args:
        value: The figure as the paper gives it: a number, or words where it gives no number.
        where: Where it stands: ``"Table 2"``, ``"Fig. 3"``, ``"Theorem 4"``.
    """

    value: float | str
    where: str

    def __str__(self) -> str:
        shown = f"{self.value:g}" if isinstance(self.value, int | float) else self.value
        return f"{shown} ({self.where})"


@dataclass
class Claim:
    """A sentence of a paper as a measurement, with the bounds that would make it true."""

    sentence: str
    expect: Mapping[str, Expectation]
    function: ClaimFunction
    reported: Mapping[str, Reported]
    seeds: int
    limit_seconds: float | None
    limit_bytes: int | None
    why: str
    draw: DrawFunction | None = None

    @property
    def name(self) -> str:
        """The function's name, which names the claim within its paper."""
        return self.function.__name__

    def __call__(self, trial: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        """Run one trial; returns its measures and its series (empty where it gives none)."""
        result = self.function(trial)
        measures, series = result if isinstance(result, tuple) else (result, {})
        return dict(measures), dict(series)

    def figure(self, draw: DrawFunction) -> DrawFunction:
        """Decorator: ``draw(axes, table)`` draws its figure from the series of all seeds (a DataFrame)."""
        self.draw = draw
        return draw

    def number_of_seeds(self, scale: Scale) -> int:
        """Seeds at this scale: the claim's own at laptop scale and above, one at smoke scale."""
        return SEEDS["smoke"] if scale == "smoke" else self.seeds


@dataclass(frozen=True)
class Entry:
    """A method that a paper enters into a shared problem: ``make(trial, **hyperparameters)`` gives a fresh one."""

    problem: str
    name: str
    make: Callable[..., Any]
    space: Mapping[str, Space] = field(default_factory=dict)
    needs: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Options of the problem under which it can run, such as ``{"values": ("binary",)}``; any where empty."""


class Paper:
    """A paper's entries and claims. Title, authors and links come from the catalogue by its slug.

    Args:
        slug: The paper's name in the catalogue.
        departures: What differs here from the paper (scale, data, substitutes), one sentence each.

    Example:
        >>> from replica.lab.claims import Trial, within
        >>> paper = Paper("hopfield")
        >>> @paper.claim("Half is half.", expect={"share": within(0.1, of=0.5)})
        ... def half(trial):
        ...     return {"share": 0.5}
        >>> half(Trial(seed=0))
        ({'share': 0.5}, {})
    """

    def __init__(self, slug: str, *, departures: tuple[str, ...] = ()) -> None:
        if not re.fullmatch(r"[a-z0-9_]+", slug):
            raise ValueError(f"Paper: slug must be lower-case letters, digits and underscores, not {slug!r}.")
        self.slug = slug
        self.departures = tuple(departures)
        self.claims: dict[str, Claim] = {}
        self.entries: dict[str, Entry] = {}

    def claim(
        self,
        sentence: str,
        *,
        expect: Mapping[str, Expectation],
        reported: Mapping[str, Reported] | None = None,
        seeds: int = SEEDS["laptop"],
        limit_seconds: float | None = None,
        limit_bytes: int | None = None,
        why: str = "",
    ) -> Callable[[ClaimFunction], Claim]:
        """Decorator that turns ``function(trial)`` into a claim of this paper.

        Args:
            sentence: What the paper says, in our words, one sentence.
            expect: The bound of each measure that would make the sentence true; written before measuring.
            reported: The paper's own figure for a measure, and where it stands.
            seeds: Trials at laptop and full scale, at least 5.
            limit_seconds: Time after which a trial counts as hung; None takes the scale's default.
            limit_bytes: Memory a trial may allocate; None takes the scale's default.
            why: Why we think it comes out as it does, shown with a verdict other than *holds*.

        Raises:
            ValueError: Without an expectation, with fewer than 5 seeds, or with a figure reported for no measure of the claim.
        """
        if not expect or not all(isinstance(bound, Expectation) for bound in expect.values()):
            raise ValueError(
                f"Claim {sentence!r}: expect must map at least one measure to above(), below(), between() or within()."
            )
        if seeds < SEEDS["laptop"]:
            raise ValueError(f"Claim {sentence!r}: seeds must be at least {SEEDS['laptop']}, not {seeds}.")

        def register(function: ClaimFunction) -> Claim:
            claim = Claim(
                sentence, dict(expect), function, dict(reported or {}), seeds, limit_seconds, limit_bytes, why
            )
            if claim.name in self.claims:
                raise ValueError(f"Paper {self.slug}: two claims are named {claim.name!r}.")
            self.claims[claim.name] = claim
            return claim

        return register

    def entry(
        self, problem: str, *, name: str, space: Mapping[str, Space] | None = None, **needs: tuple[Any, ...]
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator that enters ``make(trial, **hyperparameters)`` into a shared problem.

        Args:
            problem: The problem's name.
            name: The method's name in tables.
            space: What tuning may vary, by hyperparameter.
            **needs: Options of the problem under which the method can run, such as ``values=("binary",)``.
        """

        def register(make: Callable[..., Any]) -> Callable[..., Any]:
            if name in self.entries:
                raise ValueError(f"Paper {self.slug}: two entries are named {name!r}.")
            self.entries[name] = Entry(
                problem, name, make, dict(space or {}), {key: tuple(v) for key, v in needs.items()}
            )
            return make

        return register
