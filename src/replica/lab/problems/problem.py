"""What every shared problem has: a question, a protocol, options, metrics, data, and one fair way to run a method."""

from __future__ import annotations

import importlib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Scale, Trial

from .baseline import Baseline
from .protocol import check_protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Value = int | float | str

BASELINES = "replica.papers.baselines"
"""Where the competitors live that belong to no paper, a module a problem; found by name, so that the lab imports none."""

Split = Literal["test", "validation"]
"""What a method is measured on: the test part of a trial, or a part of what it may learn from, which tuning holds out."""

VALIDATION_SHARE = 0.2
"""The share of the training part that tuning holds out, where a problem has such a part."""


@dataclass(frozen=True)
class Metric:
    """One column of a comparison. The first metric of a problem ranks its methods."""

    name: str
    unit: str
    better: Literal["higher", "lower", "near 0.9"]
    """Only the first two can rank."""
    label: str
    """For axes and column heads, without the unit."""

    @property
    def words(self) -> str:
        """The label inside a sentence: in small letters, but for an abbreviation."""
        return self.label if self.label[:2].isupper() else self.label[0].lower() + self.label[1:]


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
    label: str = ""
    """What its axis is called where it is swept; its name where this is empty."""
    alone: str = ""
    """The word that is meant where it is given without a value."""

    def parse(self, text: Value) -> Value:
        """Read a value as the user wrote it.

        Raises:
            ReplicaError: In one line, what came and what is wanted.
        """
        if text is True and self.alone:
            return self.alone
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
    protocol_note: ClassVar[str] = ""
    """What else an error says of them, after their names."""
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

    def run(
        self,
        trial: Trial,
        make: Callable[[Trial], Any],
        dataset: Dataset,
        options: Mapping[str, Value],
        *,
        examples: bool = False,
        split: Split = "test",
    ) -> Outcome:
        """Build the method with ``make(trial)``, put it through the job once and measure it.

        Under ``split="validation"`` the same trial's training part is split again and the method measured on the part held out;
        the trial's test part is not read at all.

        Raises:
            ReplicaError: If the method breaks the protocol: a part missing, or an output of the wrong form. What the method
                itself raises passes through.
        """
        self.check(dataset, options)
        if split == "validation":
            self.check_validation(dataset, options)
        metrics, shown = self.measure(trial, lambda: self.entered(make(trial)), dataset, options, split)
        return Outcome(metrics, shown() if examples else {})

    @abstractmethod
    def measure(
        self,
        trial: Trial,
        start: Callable[[], Any],
        dataset: Dataset,
        options: Mapping[str, Value],
        split: Split,
    ) -> tuple[Mapping[str, float | Proportion], Callable[[], Mapping[str, Any]]]:
        """What `run` gives, as a base does it: metrics, and a function that gives examples; ``start()`` makes a fresh method."""

    def entered(self, method: Any) -> Any:
        """The method, if it has all that the protocol asks of it.

        Raises:
            ReplicaError: If not.
        """
        signatures = [signature.split(" -> ")[0].split("(") for signature in self.protocol]
        calls = [f"{name}({', '.join(_argument_names(rest))})" for name, rest in signatures]
        wanted = f"an entry for {self.name} has {' and '.join(calls)}{self.protocol_note}"
        check_protocol(method, [name for name, _ in signatures], wanted)
        return method

    def draw(self, figure: Figure, comparison: Any) -> None:
        """Draw the comparison's picture: the ranking, over the sweep if there was one, and beside it the problem's own."""
        from .ranking_figure import draw_comparison

        draw_comparison(figure, comparison, self)

    def sweep_label(self, option: str, options: Mapping[str, Value]) -> str:
        """What the axis of a swept option is called."""
        return next(known.label for known in self.options if known.name == option) or option.capitalize()

    def metrics_for(self, options: Mapping[str, Value]) -> tuple[Metric, ...]:
        """The metrics under these options; the first ranks."""
        return self.metrics

    def used(self, dataset: Dataset, options: Mapping[str, Value], scale: Scale) -> Mapping[str, str]:
        """In words, options of which a trial takes another value than is asked for: what the data hold, or the scale allows."""
        return {}

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


def _argument_names(signature: str) -> list[str]:
    """The names before the annotations of a signature's arguments."""
    return re.findall(r"(\w+): ", signature)


def rank_by(metrics: tuple[Metric, ...]) -> Option:
    """The option that says which metric ranks; see `ranked`."""
    names = tuple(metric.name for metric in metrics)
    return Option("rank_by", names[0], "the measure that ranks the methods", choices=names)


def ranked(metrics: tuple[Metric, ...], options: Mapping[str, Value]) -> tuple[Metric, ...]:
    """The metrics, the one that ranks first.

    Raises:
        ReplicaError: If that one is not measured under these options.
    """
    chosen = options.get("rank_by", metrics[0].name)
    first = tuple(metric for metric in metrics if metric.name == chosen)
    if not first:
        there = ", ".join(metric.name for metric in metrics)
        raise ReplicaError(f"Option rank_by is {chosen}, which is not measured with these options; there are {there}.")
    return (*first, *(metric for metric in metrics if metric.name != chosen))
