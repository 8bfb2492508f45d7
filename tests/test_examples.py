"""The examples run as a user runs them, and leave what they promise.

They run in this process, at the smallest scale, with few other methods; one runs as its own process, with workers.
"""

from __future__ import annotations

import functools
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import replica
from replica.lab.cli import main

EXAMPLES = Path(__file__).parents[1] / "examples"
PNG = b"\x89PNG"


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """Run a script in an empty folder; gives the lines that it printed. Settings go to its comparison."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPLICA_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(EXAMPLES)

    def run_script(script: str, *arguments: str, **settings: object) -> list[str]:
        compare = functools.partial(replica.compare, scale="smoke", workers=1, quiet=True, **settings)
        monkeypatch.setattr(replica, "compare", compare)
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run_script


def test_a_part_is_used(run):
    assert run("use_a_part.py")[-1].startswith("worst error")


@pytest.mark.parametrize(
    ("problem", "method", "settings"),
    [
        ("recall", "soft-vote", {"only": ["nearest-neighbour"], "seeds": 2}),
        ("operator", "ring-network", {"seeds": 1}),
    ],
)
def test_own_things_are_compared_from_python(run, tmp_path, problem, method, settings):
    *table, report = run(
        f"compare_{problem}s.py" if problem == "operator" else f"compare_{problem}.py", "p.png", **settings
    )
    assert any(line.startswith(method) for line in table)
    assert report == f"Report: replica-{problem}.html"
    assert (tmp_path / f"replica-{problem}.html").exists()
    assert (tmp_path / "p.png").read_bytes().startswith(PNG)


def test_own_things_are_compared_by_workers_that_import_the_script(tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "compare_classifiers.py", "p.png"],
        cwd=tmp_path,
        env={**os.environ, "REPLICA_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nearest-mean" in done.stdout
    assert (tmp_path / "p.png").read_bytes().startswith(PNG)
    assert [path.name for path in tmp_path.glob("*.html")] == ["replica-classification.html"]


def test_places_are_recognised_and_drawn(run, tmp_path):
    with_them, without = (int(share) for share in re.findall(r"(\d+)%", run("recognise_places.py", "places.png")[-1]))
    assert without > with_them
    assert (tmp_path / "places.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("my_*.py")))
def test_the_command_an_example_names_compares_it(script, tmp_path, monkeypatch, capsys):
    commands = [line for line in (EXAMPLES / script).read_text().splitlines() if line.startswith("replica compare")]
    assert len(commands) == 1
    words = shlex.split(commands[0])
    method = words[words.index("--entry") + 1].rpartition(":")[2]
    small = ["--scale", "smoke", "--only", method, "--jobs", "1", "--json", "--out", str(tmp_path / "report.html")]
    monkeypatch.chdir(EXAMPLES.parent)
    monkeypatch.setenv("REPLICA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "argv", [*words, *small])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert method in capsys.readouterr().out
