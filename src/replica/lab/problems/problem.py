"""What every shared problem has: a question, a protocol, options, metrics, data, and one fair way to run a method."""

from __future__ import annotations

import importlib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from replica.data import split_seed
from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Scale, Trial

from .baseline import Baseline
from .data_sources import digest, user_path
from .protocol import check_protocol

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

Value = int | float | str
Options = Mapping[str, Value]
Start = Callable[[], Any]
"""Makes a fresh method, whose parts have been checked."""
Measured = tuple[Mapping[str, float | Proportion], Callable[[], Mapping[str, Any]]]
"""The metrics of one trial, and what gives its examples where they are asked for."""

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
    better: Literal["higher", "lower", "near 0.9", "near 0.5", "near 1"]
    """Only the first two can rank."""
    label: str
    """For axes and column heads, without the unit."""
    when: Callable[[Options], bool] = field(default=lambda options: True, compare=False, repr=False)
    """Under which options it is measured."""

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
    reads: Literal["", "own", "named", "any"] = ""
    """Of which data it says how they are read or made: the user's own, named sets, or both."""

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
    optional: ClassVar[tuple[str, ...]] = ()
    """What it may have besides, as signatures: it is asked for more, and measured by more."""
    protocol_note: ClassVar[str] = ""
    """What else an error says of them, after their names."""
    metrics: ClassVar[tuple[Metric, ...]]
    options: ClassVar[tuple[Option, ...]]
    default_data: ClassVar[str]
    data_names: ClassVar[Mapping[str, str]]
    """Named data sets, each with one line that describes it."""
    drawn: ClassVar[tuple[str, ...]] = ()
    """Those that take a seed behind their name, as in ``mnist-1d:7``."""
    data_formats: ClassVar[tuple[str, ...]]
    """Endings of files the user may bring; ``"folder of images"`` where that is allowed."""
    files: ClassVar[str] = "a file"
    """What the user may bring, in words."""
    default_sweep: ClassVar[tuple[str, tuple[Value, ...]] | None] = None
    """The option swept (and its values) when the user names neither a sweep nor that option."""

    @property
    def data_options(self) -> tuple[str, ...]:
        """The options that `load` depends on, such as which column holds the labels."""
        return tuple(option.name for option in self.options if option.reads)

    def baselines(self) -> tuple[Baseline, ...]:
        """The trivial and the conventional methods that every comparison includes: what `papers/baselines` enters."""
        return tuple(importlib.import_module(f"{BASELINES}.{self.name}").baselines)

    def load(self, source: str, options: Options) -> Dataset:
        """Read a named data set (`named`) or the user's file (`read`); options that are left out have their defaults.

        Raises:
            ReplicaError: In one line, what is wrong with it and what is wanted.
        """
        options = self.resolve({name: value for name, value in options.items() if name in self.data_options})
        name, seed = split_seed(source, self.drawn)
        if name in self.data_names:
            for option in self.options:
                if option.reads == "own" and options[option.name] != option.default:
                    raise ReplicaError(
                        f"Data {source} is read in one way; leave --{option.name.replace('_', '-')} out."
                    )
            content = self.named(name, seed, options)
            told = self.data_names[name] + ("" if seed is None else f", drawn with seed {seed}")
        else:
            path = user_path(source, self.data_names, self.files)
            content = self.read(path, options)
            told = f"{self.size(content, options)}, from {path.name}"
        hashed = digest(*self.identity(content))
        return Dataset(source, "; ".join((told, *content.notes)), content, hashed, getattr(content, "shape", ()))

    def named(self, name: str, seed: int | None, options: Options) -> Any:
        """The content of a named set; it has ``notes``, and may have the ``shape`` of one item."""
        raise NotImplementedError

    def read(self, path: Path, options: Options) -> Any:
        """The content of the user's file or folder, in the same form.

        Raises:
            ReplicaError: In one line, what is wrong with it and what is wanted.
        """
        raise NotImplementedError

    def size(self, content: Any, options: Options) -> str:
        """How many of what the user's own data hold, in words."""
        raise NotImplementedError

    def identity(self, content: Any) -> tuple[Any, ...]:
        """What makes the content what it is: its form, and its arrays."""
        raise NotImplementedError

    @abstractmethod
    def check(self, dataset: Dataset, options: Options) -> None:
        """See that these options fit this data, before any trial runs.

        Raises:
            ReplicaError: In one line, such as more patterns asked for than the data holds.
        """

    def check_validation(self, dataset: Dataset, options: Options) -> None:  # noqa: B027  most always can
        """See that these options leave data to validate on, before anything is tuned.

        Raises:
            ReplicaError: In one line, what would.
        """

    def run(
        self,
        trial: Trial,
        make: Callable[[Trial], Any],
        dataset: Dataset,
        options: Options,
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
    def measure(self, trial: Trial, start: Start, dataset: Dataset, options: Options, split: Split) -> Measured:
        """What `run` gives, as a base does it."""

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

    def sweep_label(self, option: str, options: Options) -> str:
        """What the axis of a swept option is called."""
        return next(known.label for known in self.options if known.name == option) or option.capitalize()

    def metrics_for(self, options: Options) -> tuple[Metric, ...]:
        """The metrics that are measured under these options; the first ranks.

        Raises:
            ReplicaError: If the one that is to rank is not among them.
        """
        return ranked(tuple(metric for metric in self.metrics if metric.when(options)), options)

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """In words, options of which a trial takes another value than is asked for: what the data hold, or the scale allows."""
        return {}

    def resolve(self, given: Options) -> dict[str, Value]:
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
    """The option that says which metric ranks."""
    names = tuple(metric.name for metric in metrics)
    return Option("rank_by", names[0], "the measure that ranks the methods", choices=names)


def ranked(metrics: tuple[Metric, ...], options: Options) -> tuple[Metric, ...]:
    """The metrics, the one first that the option ``rank_by`` names, where there is such an option.

    Raises:
        ReplicaError: If that one is not measured under these options.
    """
    chosen = options.get("rank_by", metrics[0].name)
    first = tuple(metric for metric in metrics if metric.name == chosen)
    if not first:
        there = ", ".join(metric.name for metric in metrics)
        raise ReplicaError(f"Option rank_by is {chosen}, which is not measured with these options; there are {there}.")
    return (*first, *(metric for metric in metrics if metric.name != chosen))
