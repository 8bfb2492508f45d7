"""The examples run as a user runs them, and leave what they promise."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("use_a_part.py", "worst error"),
        ("compare_recall.py", "soft-vote"),
        ("compare_classifiers.py", "nearest-mean"),
        ("compare_operators.py", "ring-network"),
    ],
)
def test_example_runs(script: str, said: str, tmp_path: Path) -> None:
    pictured = script.startswith("compare")
    arguments = ["picture.png"] if pictured else []
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *arguments],
        cwd=tmp_path,
        env={**os.environ, "REPLICA_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    if pictured:
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
        assert [path.name for path in tmp_path.glob("*.html")] == [f"replica-{said_problem(done.stdout)}.html"]


def test_places_are_recognised_and_drawn(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "recognise_places.py", tmp_path / "places.png"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with_them, without = (int(share) for share in re.findall(r"(\d+)%", done.stdout.splitlines()[-1]))
    assert without > with_them
    assert (tmp_path / "places.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("my_*.py")))
def test_the_command_an_example_names_compares_it(script: str, tmp_path: Path) -> None:
    commands = [line for line in (EXAMPLES / script).read_text().splitlines() if line.startswith("replica compare")]
    assert len(commands) == 1
    said = shlex.split(commands[0])[1:]
    entry = said[said.index("--entry") + 1]
    small = ["--scale", "smoke", "--only", entry.rpartition(":")[2], "--jobs", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "replica", *said, *small, "--out", tmp_path / "report.html"],
        cwd=EXAMPLES.parent,
        env={**os.environ, "REPLICA_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert entry.rpartition(":")[2] in done.stdout


def said_problem(output: str) -> str:
    return output.rsplit("replica-", 1)[1].split(".html")[0]
