"""The form of a paper file: a paper, its entries in shared problems, and the studies and judges of its claims."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replica.errors import ReplicaError

from .registration import Registered, Registration, read_registrations
from .rows import Columns, columns
from .spaces import Space
from .trial import Scale, Trial

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Judge = Callable[["pd.DataFrame"], Mapping[str, Any]]
DrawFunction = Callable[["Axes", "pd.DataFrame"], None]
StudyFunction = Callable[[Trial], Any]

LIMIT_SECONDS: Mapping[Scale, float] = {"smoke": 60.0, "laptop": 600.0, "full": 86_400.0}
LIMIT_BYTES: Mapping[Scale, int] = {"smoke": 2 << 30, "laptop": 8 << 30, "full": 64 << 30}


@dataclass
class Claim:
    """A registered sentence, the study that is run for it, and the judge that makes measures of a seed's rows."""

    name: str
    study: Any
    """A function of a trial that returns rows, or a comparison of an arena (see `replica.lab.studies`)."""
    study_name: str
    judge: Judge
    registration: Registration
    limit_seconds: float | None = None
    limit_bytes: int | None = None
    draw: DrawFunction | None = None

    def measures(self, rows: Columns) -> dict[str, Any]:
        """What the judge makes of one seed's rows: measures by name, numbers or `Proportion`."""
        import pandas as pd

        return dict(self.judge(pd.DataFrame(rows)))

    def figure(self, draw: DrawFunction) -> DrawFunction:
        """Decorator: ``draw(axes, table)`` draws its figure from the rows of all seeds (a DataFrame with ``seed``)."""
        self.draw = draw
        return draw


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
    """A paper's entries, studies and claims. Title and authors come from the catalogue, registrations from ``<file>.toml``.

    Args:
        slug: The paper's name in the catalogue.
        file: The paper file; by default the one that this is written in. Its registrations stand beside it.

    Example:
        A paper file holds a study and a pure judge; its ``.toml`` registers ``half`` with sentence and bound::

            paper = Paper("my_paper")

            def coin(trial):
                return {"heads": trial.rng("coin").integers(2, size=100)}

            @paper.claim(coin)
            def half(table):
                return {"share": table["heads"].mean()}
    """

    def __init__(self, slug: str, *, file: str | Path | None = None) -> None:
        if not re.fullmatch(r"[a-z0-9_]+", slug):
            raise ValueError(f"Paper: slug must be lower-case letters, digits and underscores, not {slug!r}.")
        self.slug = slug
        self.file = Path(file or sys._getframe(1).f_globals.get("__file__", f"{slug}.py"))
        self.claims: dict[str, Claim] = {}
        self.entries: dict[str, Entry] = {}
        self.studies: dict[str, Any] = {}

    @cached_property
    def registered(self) -> Registered:
        """What is registered in the ``.toml`` beside the paper file."""
        return read_registrations(self.file.with_suffix(".toml"))

    @property
    def departures(self) -> tuple[str, ...]:
        """What differs here from the paper."""
        return self.registered.departures

    def claim(
        self,
        study: Any,
        *,
        figure: DrawFunction | None = None,
        limit_seconds: float | None = None,
        limit_bytes: int | None = None,
    ) -> Callable[[Judge], Claim]:
        """Decorator that makes a claim of a pure judge: ``judge(table)`` gives measures from the rows of one seed.

        Args:
            study: A function of a trial that returns rows, or a comparison of an arena. Claims of one study share its trials.
            figure: ``draw(axes, table)`` for the rows of all seeds, such as `replica.lab.studies.lines`.
            limit_seconds: Time after which a trial counts as hung; None takes the scale's default.
            limit_bytes: Memory a trial may allocate; None takes the scale's default.

        Raises:
            ReplicaError: If the judge's name is not registered, is withdrawn, or is taken.
        """

        def register(judge: Judge) -> Claim:
            name = judge.__name__
            if name not in self.registered.claims:
                raise ReplicaError(
                    f"Claim {name} is not registered: write [{name}] with sentence, registered, setting and expect"
                    f" into {self.file.with_suffix('.toml').name}."
                )
            if self.registered.claims[name].withdrawn:
                raise ReplicaError(f"Claim {name} is withdrawn; a new form of it needs a new name.")
            if name in self.claims:
                raise ReplicaError(f"Paper {self.slug}: two claims are named {name!r}.")
            claim = Claim(
                name, study, self._study_name(study, name), judge, self.registered.claims[name],
                limit_seconds, limit_bytes, figure,
            )  # fmt: skip
            self.claims[name] = claim
            return claim

        return register

    def _study_name(self, study: Any, claim: str) -> str:
        for name, known in self.studies.items():
            if known is study:
                return name
        name = getattr(study, "__name__", claim)
        if not callable(study) and not hasattr(study, "arena"):
            raise ReplicaError(
                f"Claim {claim}: its study must be a function of a trial or a comparison of an arena, not {study!r:.60}."
            )
        if name in self.studies:
            raise ReplicaError(f"Paper {self.slug}: two studies are named {name!r}.")
        self.studies[name] = study
        return name

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


def run_study(study: StudyFunction, trial: Trial) -> Columns:
    """Run a study's function once; returns its rows in columns."""
    return columns(study(trial))
