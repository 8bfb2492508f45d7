"""What fingerprints follow in packages: lazy ones, cycles, stars, what only judges; in a toy Replica and in the real one."""

import pytest

from replica.lab.runner import closure
from replica.lab.runner.closure import Code
from replica.lab.runner.fingerprint import fingerprint, spec_path

LAZY = """
import lazy_loader
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
"""
TOY = {
    "replica/__init__.py": LAZY,
    "replica/__init__.pyi": """
from . import wing as wing
from .lab.report.table import compare as compare
""",
    "replica/errors.py": """
class ReplicaError(Exception):
    code = 1
""",
    "replica/wing/__init__.py": LAZY,
    "replica/wing/__init__.pyi": """
from .part import part as part, Net as Net
from .other import other as other
""",
    "replica/wing/part.py": """
from replica.errors import ReplicaError
from .loop_a import a
def part(x):
    return a(x) + 1
class Net:
    def forward(self, x):
        if x is None:
            raise ReplicaError('no')
        return x + 2
""",
    "replica/wing/other.py": """
def other(x):
    return x + 3
""",
    "replica/wing/loop_a.py": """
from . import loop_b
def a(x):
    return loop_b.b(x) + 4
""",
    "replica/wing/loop_b.py": """
from .loop_a import a
def b(x):
    return a(x) + 5 if x else c(x)
def c(x):
    return 6
""",
    "replica/wing/stars.py": """
from .other import *
from .dark import *
def starred(x):
    return other(x) + len([x])
""",
    "replica/wing/dark.py": """
def unlit(x):
    return 7
""",
    "replica/lab/claims/trial.py": """
class Trial:
    def rng(self):
        return 8
""",
    "replica/lab/claims/intervals.py": """
def interval(x):
    return 9
""",
    "replica/lab/claims/__init__.pyi": """
from .trial import Trial as Trial
from .intervals import interval as interval
""",
    "replica/lab/claims/__init__.py": "",
    "replica/lab/problems/job.py": """
from replica.lab.problems.kinds import Metric
class Job:
    question = 'Which one?'
    metrics = (Metric('rate', 'share of all', 'higher'),)
    def draw(self, figure):
        from replica.wing import part
        return part(10)
    def run(self, x):
        return x + 11
""",
    "replica/lab/problems/kinds.py": """
class Metric:
    size = 12
""",
    "replica/papers/one.py": """
import importlib
import replica.wing
from replica import wing
from replica.wing import part, Net
from replica.lab.claims import Trial, interval
from replica.lab.problems.job import Job
from replica.wing import stars
paper = object()
@paper.claim('Says.', part)
def through_lazy(trial: Trial):
    return part(1), interval(13)
def through_module(trial):
    return wing.Net(), replica.wing.Net
def in_problem(trial):
    return Job().run(14)
def by_star(trial):
    return stars.starred(15)
def by_text(trial):
    return importlib.import_module('replica.wing.loop_b')
def nothing(trial):
    return 16
@nothing.figure
def draw(axes):
    return 17
through_lazy.figure(draw)
""",
}
CLAIMS = ("through_lazy", "through_module", "in_problem", "by_star", "by_text", "nothing")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Fingerprints of the claims of a toy Replica, after its files are written."""
    monkeypatch.setattr(closure, "package_root", lambda: tmp_path / "replica")

    def found(files: dict[str, str]) -> dict[str, str]:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
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


NEW = "@cache\nOLD"


@pytest.mark.parametrize(
    ("start", "module", "old", "new", "seen"),
    [
        ("memory.hopfield_layers:HopfieldPooling", "memory.hopfield_association", "_SCALE = ", "_SCALE = 2 * ", True),
        ("memory.hopfield_layers:HopfieldPooling", "memory.hopfield_layers", '"""', '"""Also: ', False),
        (
            "memory.hopfield_layers:HopfieldPooling",
            "memory.hopfield_layers",
            "class HopfieldLookup(",
            "class Lookup(",
            False,
        ),
        ("lab.problems.recall.problem:Recall", "lab.problems.recall.damage", "def damage_patterns(", NEW, True),
        ("lab.problems.recall.problem:psnr", "lab.problems.recall.data", "def pattern_sets(", NEW, False),
        ("lab.problems.recall.problem:Recall", "lab.problems.recall.data", "def pattern_sets(", NEW, True),
    ],
)
def test_in_the_real_package_a_change_is_seen_where_it_is_used(monkeypatch, start, module, old, new, seen):
    path, (home, _, name) = spec_path(f"replica.{module}"), f"replica.{start}".partition(":")
    content = path.read_bytes()
    assert content.count(old.encode()) >= 1
    found = [fingerprint(spec_path(home), name)]
    for edited in (content, content.replace(old.encode(), new.replace("OLD", old).encode(), 1)):
        monkeypatch.setattr(closure, "library", lambda root, edited=edited: Code(root, edited={path: edited}))
        found.append(fingerprint(spec_path(home), name))
    assert found[0] == found[1]
    assert (found[1] != found[2]) == seen
