"""Which changes of source a fingerprint sees: in a user's files side by side, in a toy package, and in the real one."""

from pathlib import Path

import pytest

from replica.lab.runner import closure
from replica.lab.runner.closure import Code
from replica.lab.runner.fingerprint import fingerprint, sources, spec_path, stale_costs

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


TOY = {
    "replica/__init__.py": "import lazy_loader\n__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)\n",
    "replica/__init__.pyi": "from . import wing as wing\nfrom .lab.report.table import compare as compare\n",
    "replica/errors.py": "class ReplicaError(Exception):\n    code = 1\n",
    "replica/wing/__init__.py": "import lazy_loader\n__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)\n",
    "replica/wing/__init__.pyi": "from .part import part as part, Net as Net\nfrom .other import other as other\n",
    "replica/wing/part.py": "from replica.errors import ReplicaError\nfrom .loop_a import a\ndef part(x):\n    return a(x) + 1\n"
    "class Net:\n    def forward(self, x):\n        if x is None:\n            raise ReplicaError('no')\n        return x + 2\n",
    "replica/wing/other.py": "def other(x):\n    return x + 3\n",
    "replica/wing/loop_a.py": "from . import loop_b\ndef a(x):\n    return loop_b.b(x) + 4\n",
    "replica/wing/loop_b.py": "from .loop_a import a\ndef b(x):\n    return a(x) + 5 if x else c(x)\ndef c(x):\n    return 6\n",
    "replica/wing/stars.py": "from .other import *\nfrom .dark import *\ndef starred(x):\n    return other(x) + len([x])\n",
    "replica/wing/dark.py": "def unlit(x):\n    return 7\n",
    "replica/lab/claims/trial.py": "class Trial:\n    def rng(self):\n        return 8\n",
    "replica/lab/claims/intervals.py": "def interval(x):\n    return 9\n",
    "replica/lab/claims/__init__.pyi": "from .trial import Trial as Trial\nfrom .intervals import interval as interval\n",
    "replica/lab/claims/__init__.py": "",
    "replica/lab/problems/job.py": "from replica.lab.problems.kinds import Metric\nclass Job:\n    question = 'Which one?'\n"
    "    metrics = (Metric('rate', 'share of all', 'higher'),)\n    def draw(self, figure):\n        from replica.wing import part\n"
    "        return part(10)\n    def run(self, x):\n        return x + 11\n",
    "replica/lab/problems/kinds.py": "class Metric:\n    size = 12\n",
    "replica/papers/one.py": "import importlib\nimport replica.wing\nfrom replica import wing\nfrom replica.wing import part, Net\n"
    "from replica.lab.claims import Trial, interval\nfrom replica.lab.problems.job import Job\nfrom replica.wing import stars\n"
    "paper = object()\n@paper.claim('Says.', part)\ndef through_lazy(trial: Trial):\n    return part(1), interval(13)\n"
    "def through_module(trial):\n    return wing.Net(), replica.wing.Net\n"
    "def in_problem(trial):\n    return Job().run(14)\ndef by_star(trial):\n    return stars.starred(15)\n"
    "def by_text(trial):\n    return importlib.import_module('replica.wing.loop_b')\n"
    "def nothing(trial):\n    return 16\n@nothing.figure\ndef draw(axes):\n    return 17\nthrough_lazy.figure(draw)\n",
}  # fmt: skip
CLAIMS = ("through_lazy", "through_module", "in_problem", "by_star", "by_text", "nothing")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Fingerprints of the claims of a toy Replica, after its files are written."""
    monkeypatch.setattr(closure, "package_root", lambda: tmp_path / "replica")

    def found(files: dict[str, str]) -> dict[str, str]:
        write(tmp_path, files)
        closure.library.cache_clear()
        return {name: fingerprint(tmp_path / "replica/papers/one.py", name) for name in CLAIMS}

    yield found
    closure.library.cache_clear()


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("wing/part.py", "a(x) + 1", "a(x) + 2", "through_lazy"),
        ("wing/part.py", "x + 2", "x + 3", "through_module"),
        ("wing/part.py", "'no'", "'no, never'", ""),
        ("errors.py", "code = 1", "code = 2", ""),
        ("wing/other.py", "x + 3", "x + 4", "by_star"),
        ("wing/dark.py", "return 7", "return 8", ""),
        ("wing/loop_a.py", "+ 4", "+ 5", "through_lazy by_text"),
        ("wing/loop_b.py", "return 6", "return 7", "through_lazy by_text"),
        ("wing/loop_b.py", "return 6\n", "return 6\ndef unused():\n    return 0\n", "by_text"),
        ("lab/claims/trial.py", "return 8", "return 9", " ".join(CLAIMS)),
        ("lab/claims/intervals.py", "return 9", "return 10", ""),
        ("lab/problems/job.py", "'Which one?'", "'Which of all?'", ""),
        ("lab/problems/job.py", "part(10)", "part(11)", ""),
        ("lab/problems/job.py", "share of all", "share of them", ""),
        ("lab/problems/job.py", "'higher'", "'lower'", "in_problem"),
        ("lab/problems/job.py", "x + 11", "x + 12", "in_problem"),
        ("lab/problems/kinds.py", "size = 12", "size = 13", "in_problem"),
        ("papers/one.py", "'Says.', part", "'Tells.', Net", ""),
        ("papers/one.py", "return 17", "return 18", ""),
        ("papers/one.py", "through_lazy.figure(draw)", "in_problem.figure(draw)", ""),
        ("papers/one.py", "return 16", "return 17", "nothing"),
    ],
)
def test_a_toy_package_counts_definition_by_definition(toy, file, old, new, changed):
    before = toy(TOY)
    text = TOY[f"replica/{file}"]
    assert text.count(old) == 1
    after = toy({f"replica/{file}": text.replace(old, new)})
    assert {name for name in CLAIMS if before[name] != after[name]} == set(changed.split())


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


@pytest.mark.parametrize(
    ("start", "module", "old", "new", "seen"),
    [
        ("memory.hopfield_layers:HopfieldPooling", "memory.hopfield_layers", "_SCALE = ", "_SCALE = 2 * ", True),
        ("memory.hopfield_layers:HopfieldPooling", "memory.hopfield_layers", '"""', '"""Also: ', False),
        ("memory.hopfield_layers:HopfieldPooling", "memory.hopfield_layers", "class HopfieldLookup(", "class Lookup(", False),
        ("lab.problems.recall.problem:draw_cues", "lab.problems.recall.damage", "def damage_patterns(", "@twice\ndef damage_patterns(", True),
        ("lab.problems.recall.problem:draw_cues", "lab.problems.recall.data", "def load(", "@twice\ndef load(", False),
        ("lab.problems.recall.problem:Recall", "lab.problems.recall.data", "def load(", "@twice\ndef load(", True),
    ],
)  # fmt: skip
def test_in_the_real_package_a_change_is_seen_where_it_is_used(monkeypatch, start, module, old, new, seen):
    path, (home, _, name) = spec_path(f"replica.{module}"), f"replica.{start}".partition(":")
    content = path.read_bytes()
    assert content.count(old.encode()) >= 1
    found = [fingerprint(spec_path(home), name)]
    for edited in (content, content.replace(old.encode(), new.encode(), 1)):
        monkeypatch.setattr(closure, "library", lambda root, edited=edited: Code(root, edited={path: edited}))
        found.append(fingerprint(spec_path(home), name))
    assert found[0] == found[1]
    assert (found[1] != found[2]) == seen


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
