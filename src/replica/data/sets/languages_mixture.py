"""Texts of different languages: plays in English, a poem in Italian, and languages that are made: sums, brackets, chains."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

import torch

from replica.data.sets.public_files import PublicFile
from replica.data.sets.shakespeare import shakespeare
from replica.errors import ReplicaError

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DEEPEST = 8
_PLAIN = str.maketrans({"’": "'", "“": '"', "”": '"', "«": '"', "»": '"', "—": "-"})
_INFERNO = PublicFile(
    "Inferno",
    "dante",
    "inferno.txt",
    "0871d5d96d2af5608e36775c6e338631135ee50959f5961852386ade6fdd8f9c",
    ("https://raw.githubusercontent.com/asperti/Dante/91964e565983bbf638294cacb3f16e4c22bcd234/inferno.txt",),
)


def inferno() -> str:
    """Read Dante's Inferno (public domain; file by Asperti): 34 cantos, a verse a line, without headings and indents.

    Quotation marks, apostrophes and dashes are those of ASCII; accents stay. The file is taken from ``$REPLICA_DATA/dante/``
    if it is there, else from the cache, else it is downloaded and checked.

    Raises:
        ReplicaError: If neither the folder nor the network has the file, or it is another one.
    """
    path = _INFERNO.find()
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _INFERNO.sha256:
        raise ReplicaError(f"{path}: is not Dante's Inferno; delete it to download it again.")
    verses = (line.strip() for line in content.decode().translate(_PLAIN).split("\n"))
    text = "\n".join(verse for verse in verses if "•" not in verse)
    return re.sub(r"\n{2,}", "\n\n", text).strip() + "\n"


def languages_mixture(
    languages: Sequence[str], characters: int, *, generator: torch.Generator | None = None
) -> dict[str, str]:
    """As many characters of each language: functions that one language model may learn.

    ``"english"``: a stretch of Tiny Shakespeare, from a random line on. ``"italian"``: of Dante's Inferno. ``"sums"``: lines
    such as 47+8=55, of numbers below 100. ``"brackets"``: lines of balanced brackets of three kinds. ``"chains"``: lines in
    which each letter is followed by its successor in a random order of the alphabet, nine times of ten. The last three need
    no file.

    Args:
        languages: names, different ones.
        characters: of each, 1 or more; of Inferno there are 177,289.
        generator: source of all that is drawn.

    Raises:
        ValueError: if a name is unknown or comes twice, or the number is out of range.
        ReplicaError: See `shakespeare` and `inferno`.

    Example:
        >>> import torch
        >>> from replica.data import languages_mixture
        >>> texts = languages_mixture(["sums", "brackets"], 1000, generator=torch.Generator().manual_seed(0))
        >>> {name: len(text) for name, text in texts.items()}
        {'sums': 1000, 'brackets': 1000}
    """
    if len(set(languages)) < len(languages) or not set(languages) <= set(_SOURCES):
        raise ValueError(f"languages: got {list(languages)}, want different ones of {list(_SOURCES)}")
    if characters < 1:
        raise ValueError(f"characters: got {characters}, want 1 or more")
    return {name: _SOURCES[name](characters, generator) for name in languages}


def _stretch(read: Callable[[], str]) -> Callable[[int, torch.Generator | None], str]:
    def draw(characters: int, generator: torch.Generator | None) -> str:
        text = read()
        room = len(text) - characters
        if room < 0:
            raise ValueError(f"characters: got {characters}, want at most {len(text)}")
        lines = [0, *(match.end() for match in re.finditer("\n", text[:room]))]
        start = lines[_below(len(lines), 1, generator)[0]]
        return text[start : start + characters]

    return draw


def _below(end: int, count: int, generator: torch.Generator | None) -> list[int]:
    device = None if generator is None else generator.device
    drawn: list[int] = torch.randint(end, (count,), generator=generator, device=device).tolist()
    return drawn


def _sums(characters: int, generator: torch.Generator | None) -> str:
    numbers = _below(100, 2 * (characters // 6 + 1), generator)  # a line has six characters or more
    lines = (f"{a}+{b}={a + b}\n" for a, b in zip(numbers[::2], numbers[1::2], strict=True))
    return "".join(lines)[:characters]


def _brackets(characters: int, generator: torch.Generator | None) -> str:
    """At each step opens one of three kinds or closes the last with equal odds; a line ends where all are closed."""
    closing: list[str] = []
    written: list[str] = []
    for number in _below(6, characters, generator):
        if not closing and written and written[-1] != "\n":
            written.append("\n")
        elif not closing or (number < 3 and len(closing) < _DEEPEST):
            written.append("([{"[number % 3])
            closing.append(")]}"[number % 3])
        else:
            written.append(closing.pop())
    return "".join(written)


def _chains(characters: int, generator: torch.Generator | None) -> str:
    device = None if generator is None else generator.device
    order = torch.randperm(26, generator=generator, device=device).tolist()
    successor = dict(zip(order, [*order[1:], order[0]], strict=True))
    odds, letters = _below(10, characters, generator), _below(26, characters, generator)
    written, now = [], letters[0]
    for place, (odd, letter) in enumerate(zip(odds, letters, strict=True)):
        starts = place % 16 == 0
        now = letter if odd == 0 or starts else successor[now]
        written.append("\n" if place % 16 == 15 else _LETTERS[now])
    return "".join(written)


_SOURCES: dict[str, Callable[[int, torch.Generator | None], str]] = {
    "english": _stretch(shakespeare),
    "italian": _stretch(inferno),
    "sums": _sums,
    "brackets": _brackets,
    "chains": _chains,
}
