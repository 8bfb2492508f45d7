"""The runner's own cost: overhead a trial, reading stored trials, what a second process or a Ray worker gains."""

import importlib.util
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from replica.lab.api import verify
from replica.lab.runner import Store

PAPER = """
import time
from replica.lab.claims import Paper
paper = Paper("cost")


def at_once(trial):
    return {"x": 1.0}


def by_computing(trial):
    end, x = time.process_time() + 0.15, 0
    while time.process_time() < end:
        x += 1
    return {"x": 1.0}


def by_waiting(trial):
    time.sleep(0.15)
    return {"x": 1.0}


def judge(study, name):
    def mean(table):
        return {"x": table["x"].mean()}

    mean.__name__ = name
    paper.claim(study, figure=lambda axes, table: axes.plot(table["x"]))(mean)


for study, name in ((at_once, "nothing"), (by_computing, "computes"), (by_waiting, "waits")):
    judge(study, name)
"""
REGISTERED = "departures = []\n" + "".join(
    f'[{name}]\nsentence = "It costs that."\nregistered = 2026-11-30\nsetting = "own"\nexpect.x = "above 0"\nwhy = "{{x}}"\n'
    for name in ("nothing", "computes", "waits")
)


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


def pace(store: Path) -> float:
    """Trials a second between the first that was finished and the last."""
    with sqlite3.connect(store) as connection:
        first, last, count = connection.execute("SELECT min(finished), max(finished), count(*) FROM trials").fetchone()
    return (count - 1) / (last - first)


def on_ray(folder: Path) -> list[dict[str, float | str]]:
    """The cost of a trial on a Ray cluster, and what a second worker gains, on a cluster that starts and ends here.

    The trials wait rather than compute: all workers are on this machine, and it is Ray's scaling that is asked for.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    os.environ["RAY_ADDRESS"] = cluster.address
    paces: dict[tuple[str, int], float] = {}
    try:
        for workers in (1, 2):
            cluster.add_node(num_cpus=1)
            for claim, trials in (("nothing", 400), ("waits", 100 * workers)):
                store = folder / f"ray-{claim}-{workers}.sqlite"
                verify(str(folder / "cost.py"), claims=[claim], seeds=trials, store=store, quiet=True, backend="ray")
                paces[claim, workers] = pace(store)
    finally:
        cluster.shutdown()
    gain = paces["waits", 2] / paces["waits", 1]
    return [
        {"name": "cost of a trial on Ray", "value": 1e3 / paces["nothing", 1], "unit": "ms", "target": "at most 50"},
        *(
            {
                "name": f"trials of 0.15 s on {workers} Ray worker{'s' if workers > 1 else ''}",
                "value": paces["waits", workers],
                "unit": "a second",
                "target": f"{workers / 0.15:.3g} without any cost",
            }
            for workers in (1, 2)
        ),
        {"name": "two Ray workers over one", "value": gain, "unit": "times", "target": "at least 1.8"},
    ]


def rows() -> list[dict[str, float | str]]:
    """Each figure with what it must be."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "cost.py").write_text(PAPER)
        (folder / "cost.toml").write_text(REGISTERED)
        found = [
            {"name": "overhead of a trial", "value": overhead(folder) * 1e3, "unit": "ms", "target": "at most 20"},
            {"name": "reading 1,000 stored trials", "value": reading(folder), "unit": "s", "target": "at most 1"},
        ]
        if (os.cpu_count() or 1) > 1:
            found.append(
                {"name": "two processes over one", "value": speed_up(folder), "unit": "times", "target": "at least 1.8"}
            )
        if importlib.util.find_spec("ray") is not None:
            found += on_ray(folder)
        return found
