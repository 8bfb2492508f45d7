"""Fingerprints: what a trial depends on, found by reading its source."""

from pathlib import Path

import pytest

from replica.lab.problems.registry import get
from replica.lab.runner.fingerprint import fingerprint, sources, spec_path
from replica.lab.runner.job import Method
from replica.lab.runner.methods import method_sources

HOPFIELD = spec_path("replica.papers.memory.hopfield")

SOURCE = '''
"""A paper of one's own."""
import part
from replica.memory import ModernHopfield
from replica.lab.claims import Paper, above

paper = Paper("mine", departures=("One.",))
SIZE = 3
OTHER = 4


def helper(x):
    """Twice."""
    return part.twice(x) + SIZE


@paper.claim("A sentence.", expect={"v": above(0)})
def uses_the_part(trial):
    return {"v": helper(1.0)}


@paper.claim("Another.", expect={"v": above(0)})
def stands_alone(trial):
    return {"v": float(OTHER)}


@uses_the_part.figure
def draw(axes, table):
    axes.plot(table.v)
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "part.py").write_text("def twice(x):\n    return 2 * x\n")
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def both(path: Path) -> tuple[str, str]:
    return fingerprint(path, "uses_the_part"), fingerprint(path, "stands_alone")


def test_a_claim_depends_on_what_it_uses_and_not_on_its_neighbours():
    found = sources(HOPFIELD, "retrieval_errors")
    modules = {name.partition(":")[0] for name in found}
    assert "replica.memory.modern_hopfield:ModernHopfield" in found
    assert "replica.lab.claims.trial:Trial" in found, "every claim is given a trial"
    assert not any("dense_hebbian" in name or "multitasking" in name for name in modules)
    assert not any(name.startswith(("replica.lab.runner", "replica.lab.report", "replica.lab.cli")) for name in modules)
    assert "replica.lab.claims.intervals" not in modules, "how results are judged does not change what was measured"
    assert "replica.training.loop:fit" in sources(HOPFIELD, "bags_of_digits")
    assert "replica.training.loop" not in modules
    assert "replica.papers.memory.hopfield:make_bags" not in found, "another claim of the same file uses it"


def test_a_method_depends_on_its_problem_and_data_but_not_on_the_picture():
    found = method_sources(get("recall"), Method("hopfield-hebb"))
    assert "replica.papers.baselines.recall:HebbHopfield" in found
    assert "replica.papers.baselines.recall:NearestNeighbour" not in found
    assert "replica.lab.problems.recall.damage:damage_patterns" in found
    assert not any(name.startswith("replica.lab.problems.recall.figure") for name in found)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("A sentence.", "Another sentence.", (False, False)),
        ("above(0)", "above(1)", (False, False)),
        ('("One.",)', '("One.", "Two.")', (False, False)),
        ("axes.plot(table.v)", "axes.scatter(table.v, table.v)", (False, False)),
        ('"""Twice."""', '"""Two times."""', (False, False)),
        ("SIZE = 3", "SIZE = 3  # a comment", (False, False)),
        ("SIZE = 3", "SIZE = 5", (True, False)),
        ("OTHER = 4", "OTHER = 5", (False, True)),
        ("part.twice(x)", "part.twice(x) + 1", (True, False)),
        ("import part", "import part  # here", (False, False)),
    ],
)
def test_a_change_reruns_what_depends_on_it_and_nothing_else(mine, old, new, changed):
    before = both(mine)
    assert old in SOURCE
    mine.write_text(SOURCE.replace(old, new))
    assert tuple(a != b for a, b in zip(before, both(mine), strict=True)) == changed


def test_a_changed_module_beside_the_users_file_counts(mine):
    before = both(mine)
    (mine.parent / "part.py").write_text("def twice(x):\n    # the same, said differently\n    return 2 * x\n")
    assert both(mine) == before
    (mine.parent / "part.py").write_text("def twice(x):\n    return 3 * x\n")
    assert both(mine)[0] != before[0]
    assert both(mine)[1] == before[1]


def test_where_the_files_lie_does_not_count(mine, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere")
    for name in ("mine.py", "part.py"):
        (other / name).write_text((mine.parent / name).read_text())
    assert both(other / "mine.py") == both(mine)
