"""``pytest --growth``: what a run of the tests costs, and how large papers and problems are, so that growth is seen.

Costs are seconds of processor time, of the test's process and of the processes that it started and waited for. They depend
little on what else the machine does; no test fails by them.
"""

from __future__ import annotations

import re
import resource
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("replica", deadline=None)  # no test depends on the machine's speed
hypothesis.settings.load_profile("replica")

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "replica"
DEAREST = 15
"""How many tests are named."""
FIRST = ("tests/site/", "tests/lab/test_ray.py", "tests/lab/test_runner.py", "tests/test_examples.py")
"""Long tests, and those that wait for others, begin first: at the end no process has one left while the others idle."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--growth", action="store_true", help="print sizes of papers and problems, and what tests cost")
    parser.addoption("--about", help="narrow the batteries to these parts, papers, problems and entries: NAME,NAME")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Costs())  # in xdist's workers, who measure, and in the process that prints


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests first; of the batteries (``test_every_*.py``) only what is about the names given, or about none."""
    items.sort(key=lambda item: min((at for at, start in enumerate(FIRST) if item.nodeid.startswith(start)), default=9))
    if config.option.about is None:
        return
    wanted = set(config.option.about.split(","))
    left_out = [item for item in items if item.path.stem.startswith("test_every_") and not _is_about(item, wanted)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _is_about(item: pytest.Item, wanted: set[str]) -> bool:
    about = re.search(r"\[(.*)\]$", item.nodeid)
    words = {*about[1].split("/"), *re.split(r"[-(/]", about[1])} if about else set()
    return not about or any(word in words or word.rpartition(".")[2] in words for word in wanted)


class Costs:
    """Measures every phase of every test, and prints at the end."""

    def __init__(self) -> None:
        self._before = _processor_seconds()
        self.seconds: Counter[str] = Counter()

    def pytest_collection_finish(self) -> None:
        self._before = _processor_seconds()  # what imports cost is nobody's

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[Any]:
        report = yield
        now = _processor_seconds()
        report.processor_seconds, self._before = now - self._before, now  # travels with the report
        return report

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += getattr(report, "processor_seconds", 0.0)  # none where a worker crashed

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        if not config.option.growth:
            return
        terminalreporter.section("growth")
        for line in growth(self.seconds):
            terminalreporter.write_line(line)


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(time for each in used for time in (each.ru_utime, each.ru_stime))


def growth(seconds: Mapping[str, float]) -> Iterator[str]:
    """The lines that are printed."""
    from replica.lab.catalogue import find

    built = {record.slug: f"{record.wing}/{record.slug}" for record in find(status="built")}
    papers = {slug: _lines(PACKAGE / "papers", f"{stem}.*") for slug, stem in built.items()}
    problems = {
        folder.name: _lines(folder, "*.py") for folder in (PACKAGE / "lab" / "problems").iterdir() if folder.is_dir()
    }
    yield _spread("lines of a paper's files", papers)
    yield _spread("lines of a problem", {name: lines for name, lines in problems.items() if lines})
    yield _spread("processor seconds of a paper's tests", of_papers(seconds, built), ".1f")
    total = sum(seconds.values())
    yield f"processor seconds of all tests: {total:.0f}, {total / max(1, len(built)):.1f} a built paper; the dearest:"
    for test, cost in Counter(seconds).most_common(DEAREST):
        yield f"  {cost:6.1f}  {test}"


def of_papers(seconds: Mapping[str, float], papers: Mapping[str, str]) -> dict[str, float]:
    """What each paper's own file of tests and the tests whose parameter begins with its name cost together."""
    found = dict.fromkeys(papers, 0.0)
    for test, cost in seconds.items():
        named = re.search(r"/test_(\w+)\.py(?:::|$)|$", test)[1], re.search(r"\[(\w+)|$", test)[1]
        for slug in {name for name in named if name in found}:
            found[slug] += cost
    return {slug: cost for slug, cost in found.items() if cost}


def _lines(folder: Path, pattern: str) -> int:
    return sum(path.read_text().count("\n") for path in folder.glob(pattern) if path.suffix in {".py", ".toml"})


def _spread(what: str, values: Mapping[str, float], form: str = ".0f") -> str:
    if not values:
        return f"{what}: none was run"
    largest = max(values, key=values.__getitem__)
    return f"{what}: median {median(values.values()):{form}}, largest {values[largest]:{form}} ({largest})"
