"""The runner's own cost: overhead a trial, reading stored trials, and what a second process gains."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from replica.lab.runner import Store
from replica.lab.runner.verify import verify

PAPER = """
import time
from replica.lab.claims import Paper, above
paper = Paper("cost")

@paper.claim("It costs nothing.", expect={"x": above(0)})
def nothing(trial):
    return {"x": 1.0}

@paper.claim("It computes.", expect={"x": above(0)})
def computes(trial):
    end, x = time.process_time() + 0.15, 0
    while time.process_time() < end:
        x += 1
    return {"x": 1.0}
"""


def overhead(folder: Path, trials: int = 200) -> float:
    """Seconds a trial of a function that does nothing, in this process; its own time is below a microsecond."""
    taken = []
    for turn in range(7):
        start = time.perf_counter()
        verify(
            str(folder / "cost.py"),
            claims=["nothing"],
            seeds=trials,
            workers=1,
            store=folder / f"{turn}.sqlite",
            quiet=True,
        )
        taken.append((time.perf_counter() - start) / trials)
    return median(taken)


def reading(folder: Path, trials: int = 1000) -> float:
    """Seconds to read so many stored trials back."""
    path = folder / "many.sqlite"
    verify(str(folder / "cost.py"), claims=["nothing"], seeds=trials, workers=1, store=path, quiet=True)
    taken = []
    with Store(path) as store:
        keys = [row[0] for row in store._connection.execute("SELECT key FROM trials")]
        for _ in range(7):
            start = time.perf_counter()
            assert len(store.read(keys)) == trials
            taken.append(time.perf_counter() - start)
    return median(taken)


def speed_up(folder: Path, trials: int = 120) -> float:
    """How much faster two processes do trials of 0.15 s of computing than one, the start of both included."""
    ratios = []
    for turn in range(3):
        seconds = {}
        for workers in (1, 2):
            command = [
                sys.executable,
                "-m",
                "replica",
                "verify",
                str(folder / "cost.py"),
                "--claim",
                "computes",
                "--seeds",
            ]
            command += [
                str(trials),
                "--jobs",
                str(workers),
                "--store",
                str(folder / f"{turn}-{workers}.sqlite"),
                "--json",
            ]
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[workers] = time.perf_counter() - start
        ratios.append(seconds[1] / seconds[2])
    return median(ratios)


def rows() -> list[dict[str, float | str]]:
    """Each figure with what it must be."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "cost.py").write_text(PAPER)
        found = [
            {"name": "overhead of a trial", "value": overhead(folder) * 1e3, "unit": "ms", "target": "at most 20"},
            {"name": "reading 1,000 stored trials", "value": reading(folder), "unit": "s", "target": "at most 1"},
        ]
        if (os.cpu_count() or 1) > 1:
            found.append(
                {"name": "two processes over one", "value": speed_up(folder), "unit": "times", "target": "at least 1.8"}
            )
        return found
