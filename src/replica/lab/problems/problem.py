"""What every shared problem has: a question, a protocol, options, metrics, data, and one fair way to run a method."""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Trial

from .baseline import Baseline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Value = int | float | str

BASELINES = "replica.papers.baselines"
"""Where the competitors live that belong to no paper, a module a problem; found by name, so that the lab imports none."""

Split = Literal["test", "validation"]
"""What a method is measured on: the test part of a trial, or a part of what it may learn from, which tuning holds out."""

VALIDATION_SHARE = 0.2
"""The share of the training part that tuning holds out, where a problem has such a part."""

Watch = Callable[[int, float], None]
"""Hears of a method in training: the epochs done, and the ranking metric on the validation part; may raise to end it."""


@dataclass(frozen=True)
class Metric:
    """One column of a comparison. The first metric of a problem ranks its methods."""

    name: str
    unit: str
    better: Literal["higher", "lower"]
    label: str
    """For axes and column heads, without the unit."""


@dataclass(frozen=True)
class Option:
    """One setting of a problem, with the values it takes."""

    name: str
    default: Value
    help: str
    minimum: float = -math.inf
    maximum: float = math.inf
    choices: tuple[str, ...] = ()
    """The words it takes; any text where the default is a text and this is empty."""

    def parse(self, text: Value) -> Value:
        """Read a value as the user wrote it.

        Raises:
            ReplicaError: In one line, what came and what is wanted.
        """
        wrong = ReplicaError(f"Option {self.name} must be {self.wanted}, not {text!r:.60}.")
        if isinstance(self.default, str):
            if (self.choices and text not in self.choices) or not isinstance(text, str):
                raise wrong
            return str(text)
        try:
            number = type(self.default)(text)
        except (TypeError, ValueError, OverflowError):
            raise wrong from None
        if not isinstance(text, str) and number != text:  # 3.7 is no whole number
            raise wrong
        if not (self.minimum <= number <= self.maximum):  # also false for NaN
            raise wrong
        return number

    @property
    def wanted(self) -> str:
        """The values it takes, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if isinstance(self.default, str):
            return "a text"
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        if math.isinf(self.minimum) and math.isinf(self.maximum):
            return kind
        if math.isinf(self.maximum):
            return f"{kind}, {self.minimum:g} or more"
        return f"{kind} from {self.minimum:g} to {self.maximum:g}"


@dataclass(frozen=True)
class Dataset:
    """Data in a problem's own form, with what a reader must know of it.

    Args:
        name: What the user called it: ``"digits"`` or a file's name.
        description: One line: how many of what, from where.
        content: The problem's own form (arrays).
        digest: A hash of the content: part of the key of every trial that uses it.
        shape: The shape of one item, for pictures: ``(8, 8)`` for the digits, ``(dim,)`` where it is no image.
    """

    name: str
    description: str
    content: Any = field(repr=False)
    digest: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What one trial of a method gives: its metrics, and (where asked) examples to look at."""

    metrics: Mapping[str, float | Proportion]
    examples: Mapping[str, Any] = field(default_factory=dict)


class Problem(ABC):
    """A shared job that methods of many papers can do, with one protocol, one budget and one set of metrics."""

    name: ClassVar[str]
    question: ClassVar[str]
    protocol: ClassVar[tuple[str, ...]]
    """The methods an entry must have, as signatures."""
    metrics: ClassVar[tuple[Metric, ...]]
    options: ClassVar[tuple[Option, ...]]
    default_data: ClassVar[str]
    data_names: ClassVar[Mapping[str, str]]
    """Named data sets, each with one line that describes it."""
    data_formats: ClassVar[tuple[str, ...]]
    """Endings of files the user may bring; ``"folder of images"`` where that is allowed."""
    default_sweep: ClassVar[tuple[str, tuple[Value, ...]] | None] = None
    """The option swept (and its values) when the user names neither a sweep nor that option."""
    data_options: ClassVar[tuple[str, ...]] = ()
    """The options that `load` depends on, such as which column holds the labels."""

    def baselines(self) -> tuple[Baseline, ...]:
        """The trivial and the conventional methods that every comparison includes: what `papers/baselines` enters."""
        return tuple(importlib.import_module(f"{BASELINES}.{self.name}").baselines)

    @abstractmethod
    def load(self, source: str, options: Mapping[str, Value]) -> Dataset:
        """Read a named data set or the user's file.

        Raises:
            ReplicaError: In one line, what is wrong with it and what is wanted.
        """

    @abstractmethod
    def check(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that these options fit this data, before any trial runs.

        Raises:
            ReplicaError: In one line, such as more patterns asked for than the data holds.
        """

    def check_validation(self, dataset: Dataset, options: Mapping[str, Value]) -> None:  # noqa: B027  most always can
        """See that these options leave data to validate on, before anything is tuned.

        Raises:
            ReplicaError: In one line, what would.
        """

    @abstractmethod
    def run(
        self,
        trial: Trial,
        make: Callable[[Trial], Any],
        dataset: Dataset,
        options: Mapping[str, Value],
        *,
        examples: bool = False,
        split: Split = "test",
        watch: Watch | None = None,
    ) -> Outcome:
        """Build the method with ``make(trial)``, put it through the job once and measure it.

        Under ``split="validation"`` the same trial's training part is split again and the method measured on the part held
        out; the trial's test part is not read at all. ``watch`` is then told how far a method is that reports progress.
        """

    @abstractmethod
    def draw(self, figure: Figure, comparison: Any) -> None:
        """Draw the comparison's picture: curves over the sweep, and examples to look at."""

    def metrics_for(self, options: Mapping[str, Value]) -> tuple[Metric, ...]:
        """The metrics under these options; the first ranks."""
        return self.metrics

    def resolve(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """Fill in defaults and check what the user gave.

        Raises:
            ReplicaError: An unknown option (with the known ones) or a value out of range.
        """
        known = {option.name: option for option in self.options}
        for name in given:
            if name not in known:
                raise ReplicaError(f"Problem {self.name} has no option {name!r}. It has: {', '.join(known)}.")
        return {name: option.parse(given.get(name, option.default)) for name, option in known.items()}
