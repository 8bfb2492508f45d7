"""Options that name one size, or several from small to large."""

from __future__ import annotations

from dataclasses import dataclass

from replica.errors import ReplicaError
from replica.lab.problems.problem import Option, Value


@dataclass(frozen=True)
class SizeOption(Option):
    """A whole number of 1 or more, or several that rise, parted by commas.

    Example:
        >>> SizeOption("width", "64", "units").parse("32, 64")
        '32,64'
    """

    def parse(self, text: Value) -> Value:
        """Read sizes as the user wrote them; from Python also a number; none where it is left open.

        Raises:
            ReplicaError: In one line, what came and what is wanted.
        """
        try:
            numbers = [int(part) for part in str(text).split(",")] if text != "" else []
        except ValueError:
            numbers = [0]
        if text != "" and (numbers[0] < 1 or numbers != sorted(set(numbers))):
            raise ReplicaError(f"Option {self.name} must be {self.wanted}, not {text!r:.60}.")
        return ",".join(map(str, numbers))

    @property
    def wanted(self) -> str:
        """The values it takes, in words."""
        return "a whole number, 1 or more, or several that rise, such as 32,64"


def sizes(text: Value) -> tuple[int, ...]:
    """The numbers of such an option."""
    return tuple(int(part) for part in str(text).split(","))
