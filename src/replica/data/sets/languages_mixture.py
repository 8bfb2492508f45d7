"""Texts of different languages: plays in English, a poem in Italian, and two that are made, sums and brackets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from replica.data.sets.public_files import PublicFile
from replica.data.sets.shakespeare import shakespeare
from replica.errors import ReplicaError

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


@dataclass(frozen=True)
class LanguagesMixture:
    """Texts of several languages as tokens of one alphabet, made by `languages_mixture`.

    Attributes:
        alphabet: characters of all texts in order; a token is a place in it.
        train: tokens of each language to learn from, the first nine tenths of its text.
        held_out: the others.
    """

    alphabet: Sequence[str]
    train: Mapping[str, Int[Tensor, " text"]]
    held_out: Mapping[str, Int[Tensor, " text"]]

    def batches(
        self, each: int, length: int, generator: torch.Generator
    ) -> Iterator[tuple[Int[Tensor, "count length"]]]:
        """Stretches of training text from random places, as many of each language, one language after the other, without end.

        Args:
            each: stretches of each language.
            length: tokens of a stretch.
            generator: source of the places, on the texts' device.
        """
        while True:
            yield (torch.cat([_windows(self.train[name], each, length, generator) for name in self.train]),)

    def unseen(self, language: str, count: int, length: int, generator: torch.Generator) -> Int[Tensor, "count length"]:
        """Stretches of held-out text of one language from random places."""
        return _windows(self.held_out[language], count, length, generator)


def languages_mixture(
    languages: Sequence[str],
    characters: int,
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> LanguagesMixture:
    """As many characters of each language: functions that one language model may learn.

    ``"english"``: a stretch of Tiny Shakespeare, from a random line on. ``"italian"``: of Dante's Inferno. ``"sums"``: lines
    such as 47+8=55, of numbers below 100. ``"brackets"``: lines of balanced brackets of three kinds. The last
    two need no file.

    Args:
        languages: names, different ones.
        characters: of each, 10 or more; of Inferno there are 177,289.
        generator: source of all that is drawn.
        device: where the tokens lie.

    Raises:
        ValueError: if a name is unknown or comes twice, or the number is out of range.
        ReplicaError: See `shakespeare` and `inferno`.

    Example:
        >>> import torch
        >>> from replica.data import languages_mixture
        >>> mixture = languages_mixture(["sums", "brackets"], 1000, generator=torch.Generator().manual_seed(0))
        >>> "".join(mixture.alphabet[1:])
        '()+0123456789=[]{}'
        >>> {name: len(text) for name, text in mixture.train.items()}
        {'sums': 900, 'brackets': 900}
    """
    if not languages or len(set(languages)) < len(languages) or not set(languages) <= set(_SOURCES):
        raise ValueError(f"languages: got {list(languages)}, want different ones of {list(_SOURCES)}")
    if characters < 10:
        raise ValueError(f"characters: got {characters}, want 10 or more")
    texts = {name: _SOURCES[name](characters, generator) for name in languages}
    alphabet = sorted(set("".join(texts.values())))
    number = {character: place for place, character in enumerate(alphabet)}
    tokens = {name: torch.tensor([number[each] for each in text], device=device) for name, text in texts.items()}
    end = 9 * characters // 10
    return LanguagesMixture(
        alphabet,
        {name: text[:end] for name, text in tokens.items()},
        {name: text[end:] for name, text in tokens.items()},
    )


def _windows(tokens: Tensor, count: int, length: int, generator: torch.Generator) -> Tensor:
    if length > len(tokens):
        raise ValueError(f"length: got {length}, want at most {len(tokens)}")
    starts = torch.randint(len(tokens) - length + 1, (count, 1), generator=generator, device=tokens.device)
    return tokens[starts + torch.arange(length, device=tokens.device)]


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


_SOURCES: dict[str, Callable[[int, torch.Generator | None], str]] = {
    "english": _stretch(shakespeare),
    "italian": _stretch(inferno),
    "sums": _sums,
    "brackets": _brackets,
}
