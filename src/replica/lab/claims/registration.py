"""What a paper is held to: claims in words and bounds, dated, from ``papers/<wing>/<slug>.toml``. Read without torch."""

from __future__ import annotations

import datetime
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from replica.errors import ReplicaError

from .expectations import Expectation, parse
from .looks import LOOKS

Setting = Literal["own", "smaller", "other"]
SETTINGS: Mapping[str, str] = {
    "own": "the paper's own theory, simulation or data",
    "smaller": "the paper's data and networks, less of them",
    "other": "other data or networks than the paper's",
}


@dataclass(frozen=True)
class Reported:
    """What the paper itself says of a measure, and where: a number or words, ``"Table 2"`` or ``"abstract"``."""

    value: float | str
    where: str

    def __str__(self) -> str:
        shown = f"{self.value:g}" if isinstance(self.value, int | float) else self.value
        return f"{shown} ({self.where})"


@dataclass(frozen=True)
class Registration:
    """One claim as registered.

    Args:
        name: The judge's name in the paper file.
        sentence: What the paper says, in our words, one sentence.
        registered: When the bounds were written, before any judged measurement.
        setting: How near the study is to the paper's own: ``own``, ``smaller`` or ``other``.
        expect: The bound of each judged measure; the primary expectation first, most often the only one.
        diagnose: Bounds of further measures, shown and not judged.
        gates: Bounds that the means of control measures must meet, else the claim is *not tested at this scale*.
        smallest: The smallest effect of interest of a measure: inside plus and minus it there is *no effect of that size*.
        looks: Numbers of seeds at which it is judged in turn, until decided.
        exact: A deterministic fact: measured once, without an interval.
        reported: The paper's own figures.
        why: Why we think it comes out as it does; ``{measure:.2f}`` is filled in from the evidence.
        formerly: The sentence as first registered, where its wording was mended.
        withdrawn: Why it is judged no more; it stays visible. Empty for a claim that stands.
        pending: Why nothing is recorded for it yet, for a claim that is tried but not measured.
    """

    name: str
    sentence: str
    registered: datetime.date
    setting: Setting
    expect: Mapping[str, Expectation]
    diagnose: Mapping[str, Expectation]
    gates: Mapping[str, Expectation]
    smallest: Mapping[str, float]
    looks: tuple[int, ...]
    exact: bool
    reported: Mapping[str, Reported]
    why: str
    formerly: str
    withdrawn: str
    pending: str

    def bounds(self) -> dict[str, dict[str, str]]:
        """All that a verdict depends on besides the measurements, in words, as evidence keeps it."""
        return {
            kind: {name: str(bound) for name, bound in getattr(self, kind).items()}
            for kind in ("expect", "diagnose", "gates", "smallest")
        }

    def explain(self, measured: Mapping[str, Mapping[str, Any]]) -> str:
        """`why` with its numbers: ``{name}`` is a mean, ``{name.low}`` and ``{name.high}`` the ends of its interval."""
        try:
            return self.why.format_map({name: _Number(value) for name, value in measured.items()})
        except (KeyError, AttributeError, ValueError, IndexError) as error:
            raise ReplicaError(f"Claim {self.name}: why cannot be filled in from the evidence ({error}).") from None

    @property
    def measures_named(self) -> set[str]:
        """The measures that its bounds, figures and explanation speak of."""
        inside = {field.split(".")[0] for _, field, _, _ in string.Formatter().parse(self.why) if field}
        return {*self.expect, *self.diagnose, *self.gates, *self.smallest, *self.reported, *inside}


class _Number(float):
    """A measured mean that knows the ends of its interval."""

    low: float
    high: float

    def __new__(cls, measured: Mapping[str, Any]) -> _Number:
        number = super().__new__(cls, measured["mean"])
        number.low, number.high = measured["low"], measured["high"]
        return number


@dataclass(frozen=True)
class Registered:
    """All that is registered of a paper: its claims by name, in order, and what differs here from the paper."""

    claims: Mapping[str, Registration]
    departures: tuple[str, ...]


def read_registrations(path: Path) -> Registered:
    """Read a paper's registration file; one that is not there holds nothing."""
    try:
        content = tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        return Registered({}, ())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReplicaError(f"{path.name} is no valid TOML: {error}.") from None
    departures = content.pop("departures", [])
    if not isinstance(departures, list) or not all(isinstance(sentence, str) for sentence in departures):
        raise ReplicaError(f"{path.name}: departures must be a list of sentences.")
    claims = {}
    for name, table in content.items():
        try:
            claims[name] = _registration(name, table)
        except (ReplicaError, ValueError, TypeError, AttributeError) as error:
            raise ReplicaError(f"{path.name}, claim {name}: {error}") from None
    return Registered(claims, tuple(departures))


_KEYS = frozenset(Registration.__dataclass_fields__) - {"name"}


def _registration(name: str, table: Any) -> Registration:
    if not isinstance(table, dict):
        raise ValueError("must be a table with sentence, registered, setting and expect.")
    unknown = set(table) - _KEYS
    if unknown:
        raise ValueError(f"unknown {min(unknown)!r}; a claim has {', '.join(sorted(_KEYS))}.")
    lacking = [key for key in ("sentence", "registered", "setting", "expect") if key not in table]
    if lacking:
        raise ValueError(f"lacks {', '.join(lacking)}.")
    if table["setting"] not in get_args(Setting):
        raise ValueError(f"setting must be one of {', '.join(get_args(Setting))}, not {table['setting']!r}.")
    if not isinstance(table["registered"], datetime.date):
        raise ValueError(f"registered must be a date such as 2026-11-29, not {table['registered']!r}.")
    exact = bool(table.get("exact", False))
    looks = tuple(table.get("looks", (1,) if exact else LOOKS))
    if not looks or any(not isinstance(look, int) or look < 1 for look in looks) or list(looks) != sorted(set(looks)):
        raise ValueError(f"looks must be rising numbers of seeds such as [5, 10, 20, 40], not {list(looks)}.")
    smallest = {measure: float(size) for measure, size in table.get("smallest", {}).items()}
    if not table["expect"] or any(not size > 0 for size in smallest.values()):
        raise ValueError("expect needs a bound, and a smallest effect of interest is above 0.")
    return Registration(
        name=name,
        sentence=str(table["sentence"]),
        registered=table["registered"],
        setting=table["setting"],
        **{
            kind: {m: parse(text) for m, text in table.get(kind, {}).items()}
            for kind in ("expect", "diagnose", "gates")
        },
        smallest=smallest,
        looks=looks,
        exact=exact,
        reported={m: Reported(said["value"], said["where"]) for m, said in table.get("reported", {}).items()},
        why=str(table.get("why", "")),
        formerly=str(table.get("formerly", "")),
        withdrawn=str(table.get("withdrawn", "")),
        pending=str(table.get("pending", "")),
    )
