"""Which changes of source a fingerprint sees: in a user's files side by side."""

from pathlib import Path

import pytest

from replica.lab.runner.fingerprint import fingerprint, sources, stale_costs

MINE = {
    "mine.py": '''
from __future__ import annotations
from typing import TYPE_CHECKING, overload
from dataclasses import dataclass
import functools
import math as m
import numpy as np
import part
import tools.deep as deep
from part import renamed as mine_here, Base
from pkg import shapes
if TYPE_CHECKING:
    from part import only_typed

TABLE = {"a": 1}
TABLE["b"] = 2
ROWS = []
ROWS.append(5)
TOTAL = 1
TOTAL += 2
WIDTH: int = 7


@overload
def f(x: int) -> int: ...
@overload
def f(x: str) -> str: ...
def f(x, size=3):
    """Says."""
    if size < 0:
        raise ValueError(f"size is {size}, not {part.in_message(1)}")
    assert size != 9, "never"
    def inner(data: only_typed) -> float:
        local: int = 4
        return data + local
    return inner(part.twice(x)) + TABLE["a"] + m.sqrt(TOTAL)


def g(part):
    return part.neighbour + len(ROWS)


@functools.lru_cache(maxsize=8)
def h(x):
    return mine_here(x) + deep.inside(x) + shapes.area(x)


@dataclass
class Child(Base):
    size: int = 1
    def run(self):
        from tools import late
        return late.lately(self.size) + WIDTH


def even(n):
    return n == 0 or odd(n - 1)
def odd(n):
    return n != 0 and even(n - 1)


def whole(name):
    return getattr(part, name)


def comprehended(values):
    return [part for part in part.rows(values)]
''',
    "part.py": """
FACTOR = 2
def twice(x):
    return _helper(x) * 2
def _helper(x):
    return x * FACTOR
def neighbour(x):
    return x + 100
def renamed(x):
    return x - 11
class Base:
    kind = "base"
    def method(self):
        return 21
def in_message(x):
    return x + 31
def only_typed(x):
    return x + 41
def rows(x):
    return x + 51
""",
    "tools/__init__.py": "",
    "tools/deep.py": "from .near import same\ndef inside(x):\n    return same(x) + 1\ndef beside(x):\n    return 2\n",
    "tools/near.py": "def same(x):\n    return inside_too(x)\ndef inside_too(x):\n    return x + 61\n",
    "tools/late.py": "def lately(x):\n    return x + 71\ndef never(x):\n    return x\n",
    "pkg/__init__.py": "from .inner.shapes import area as surface\n",
    "pkg/shapes.py": "def area(x):\n    return x + 81\ndef volume(x):\n    return x + 91\n",
}
NAMES = ("f", "g", "h", "Child", "even", "whole", "comprehended")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def prints(folder: Path) -> dict[str, str]:
    return {name: fingerprint(folder / "mine.py", name) for name in NAMES}


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        # What computes is seen, through helpers of helpers and across files …
        ("part.py", "FACTOR = 2", "FACTOR = 3", "f whole"),
        ("part.py", "x - 11", "x - 12", "h whole"),
        ("part.py", 'kind = "base"', 'kind = "other"', "Child whole"),
        ("part.py", "return 21", "return 22", "Child whole"),
        ("part.py", "x + 51", "x + 52", "comprehended whole"),
        ("tools/near.py", "x + 61", "x + 62", "h"),
        ("tools/late.py", "x + 71", "x + 72", "Child"),
        ("pkg/shapes.py", "x + 81", "x + 82", "h"),
        ("mine.py", "size=3", "size=4", "f"),
        ("mine.py", "(Base)", "", "Child"),
        ("mine.py", "@dataclass\n", "", "Child"),
        ("mine.py", "    size: int = 1", "    size: int = 2", "Child"),
        ("mine.py", "    size: int = 1", "    size: ClassVar[int] = 1", "Child"),
        ("mine.py", "maxsize=8", "maxsize=9", "h"),
        ("mine.py", "renamed as mine_here", "neighbour as mine_here", "h"),
        ("mine.py", "import math as m", "import cmath as m", "f"),
        ("mine.py", 'TABLE["b"] = 2', 'TABLE["b"] = 3', "f"),
        ("mine.py", "ROWS.append(5)", "ROWS.append(6)", "g"),
        ("mine.py", "TOTAL += 2", "TOTAL += 3", "f"),
        ("mine.py", "WIDTH: int = 7", "WIDTH: int = 8", "Child"),
        ("mine.py", "n != 0 and", "n > 0 and", "even"),
        ("mine.py", "size != 9", "size != 8", "f"),
        ("mine.py", "TOTAL = 1\n", "TOTAL = 1\nnp.random.seed(0)\n", " ".join(NAMES)),
        ("tools/deep.py", "def beside", "np.seterr('raise')\ndef beside", " ".join(NAMES)),
        # … a neighbour is not, nor a name that a parameter hides, nor what only says something.
        ("part.py", "x + 100", "x + 101", "whole"),
        ("tools/deep.py", "return 2", "return 3", ""),
        ("tools/late.py", "return x\n", "return -x\n", ""),
        ("pkg/shapes.py", "x + 91", "x + 92", ""),
        ("part.py", "x + 31", "x + 32", "whole"),
        ("part.py", "x + 41", "x + 42", "whole"),
        ("mine.py", '"""Says."""', '"""Tells."""', ""),
        ("mine.py", "size is {size}", "size was {size!r}", ""),
        ("mine.py", '"never"', '"not ever"', ""),
        ("mine.py", "data: only_typed", "data: int", ""),
        ("mine.py", "local: int = 4", "local = 4", ""),
        ("mine.py", "    size: int = 1", "    size: float = 1", ""),
        ("mine.py", "def f(x: str) -> str: ...", "def f(x: bytes) -> bytes: ...", ""),
        ("mine.py", "WIDTH: int = 7", "WIDTH = 7  # columns", ""),
        ("mine.py", "def even(n):", "print if __name__ else 0\ndef even(n):", " ".join(NAMES)),
        ("mine.py", "def even(n):", "if __name__ == '__main__':\n    print(1)\ndef even(n):", ""),
        ("mine.py", "import part\n", "import part\nimport part as unused\n", ""),
        # A definition may move.
        ("mine.py", "from part import renamed as mine_here, Base", "from part import renamed as mine_here\n" + "class Base:"
         + MINE["part.py"].partition("class Base:")[2].partition("def in_message")[0], ""),
    ],
)  # fmt: skip
def test_a_users_files_count_definition_by_definition(tmp_path, file, old, new, changed):
    before = prints(write(tmp_path, MINE))
    assert MINE[file].count(old) == 1
    after = prints(write(tmp_path, {file: MINE[file].replace(old, new)}))
    assert {name for name in NAMES if before[name] != after[name]} == set(changed.split())


def test_what_registers_counts_with_the_whole_module(tmp_path):
    text = "from registry import register\nTABLE = {}\n%s\ndef a():\n    return 1\ndef b():\n    return %d\n"
    write(tmp_path, {"registry.py": "def register(f):\n    return f\n"})
    found = {}
    for decorator in ("@register", "@TABLE.setdefault", "@property", ""):
        for constant in (2, 3):
            shown = text.replace("def b", f"{decorator}\ndef b") % ("", constant)
            write(tmp_path, {"mine.py": shown})
            found[decorator, constant] = fingerprint(tmp_path / "mine.py", "a")
    assert found["@register", 2] != found["@register", 3]
    assert found["@TABLE.setdefault", 2] == found["@TABLE.setdefault", 3], "it counts with TABLE, which is not used"
    assert found["@property", 2] == found["@property", 3] == found["", 2] == found["", 3]


def test_a_name_that_reading_does_not_find_may_come_from_all_of_its_module(tmp_path):
    found = set()
    for constant in (1, 2):
        write(tmp_path, {"made.py": f"def __getattr__(name):\n    return {constant}\n"})
        path = write(tmp_path, {"mine.py": "import made\ndef f(x):\n    return made.anything(x)\n"}) / "mine.py"
        found.add(fingerprint(path, "f"))
    assert len(found) == 2


def test_what_two_names_stand_for_counts_not_only_that_they_are_used(tmp_path):
    write(tmp_path, {"part.py": MINE["part.py"]})
    found = set()
    for first, second in (("twice", "rows"), ("rows", "twice")):
        text = f"from part import {first} as a, {second} as b\ndef f(x):\n    return a(x) - b(x)\n"
        found.add(fingerprint(write(tmp_path, {"mine.py": text}) / "mine.py", "f"))
    assert len(found) == 2


def test_several_names_and_the_whole_file_hold_what_each_holds(tmp_path):
    path = write(tmp_path, MINE) / "mine.py"
    assert set(sources(path, ["f", "h"])) == set(sources(path, "f")) | set(sources(path, "h"))
    assert set(sources(path)) == {part for name in (*NAMES, "odd", "ROWS") for part in sources(path, name)}
    assert fingerprint(path, ["f"]) == fingerprint(path, "f") != fingerprint(path)
    assert fingerprint(path, "even") != fingerprint(path, "odd"), "they use the same, but are not the same"
    assert fingerprint(path, "mine_here") == fingerprint(tmp_path / "part.py", "renamed"), (
        "an imported name is followed"
    )


def test_costs_are_those_of_all_studies_that_use_a_definition():
    studies = [(["a:f", "a:g", "b:k"], 10.0), (["a:g"], 5.0), (["c:"], 7.0)]
    assert stale_costs(studies) == [("a:g", 15.0), ("a:f", 10.0), ("b:k", 10.0), ("c:", 7.0)]
    assert stale_costs(studies, by_file=True) == [("a", 15.0), ("b", 10.0), ("c", 7.0)]
