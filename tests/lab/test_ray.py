"""A real Ray cluster on this machine, a head and two workers: the same numbers as local processes, whatever is killed."""

import importlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import replica

if sys.platform != "linux":
    pytest.skip("the cluster's processes are watched in /proc", allow_module_level=True)
pytest.importorskip("ray", reason="Ray is not installed: pip install 'replica-papers[ray]'")

TOY = '''
import os
import time
from beside import scaled
from replica.lab.claims import Paper, Proportion, above

paper = Paper("toy")


def note(trial):
    """One line a run: its seed, its Ray worker, where its code lay."""
    if log := os.environ.get("TRIAL_LOG"):
        with open(log, "ab", buffering=0) as file:
            file.write(f"{trial.seed} {os.getppid()} {__file__}\\n".encode())


@paper.claim("A draw is positive.", expect={"draw": above(0)})
def draw(trial):
    note(trial)
    time.sleep(float(os.environ.get("TRIAL_SECONDS", 0)))
    values = scaled(trial.rng("values").random(50))
    return {"draw": values.mean(), "share": Proportion((values > 0.5).sum(), 50)}, {"value": values}
'''
FAILING = """
import os
import signal
import time
import numpy as np
from replica.lab.claims import Paper, above

paper = Paper("failing")


@paper.claim("It fails in every way.", expect={"v": above(0)})
def fails(trial):
    if trial.seed == 1:
        raise RuntimeError("boom at seed one")
    if trial.seed == 2:
        time.sleep(60)
    if trial.seed == 3:
        return {"v": float(np.ones(400_000_000)[0])}
    if trial.seed == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    if trial.seed == 5:
        return {"v": float("nan")}
    return {"v": 1.0}
"""
MINE = """
import torch
from beside import scaled


class Mine:
    def store(self, patterns):
        self.patterns = patterns

    def recall(self, cues):
        return torch.softmax(scaled(cues @ self.patterns.T), dim=1) @ self.patterns
"""


TRIALS = 16
FILES = {
    "toy.py": TOY,
    "failing.py": FAILING,
    "mine.py": MINE,
    "handed_over.py": MINE,
    "beside/__init__.py": "from .scale import scaled\n",
    "beside/scale.py": "def scaled(values):\n    return values * 0.99\n",
}


class Cluster:
    """A head without processors, and workers of one processor each."""

    def __init__(self, folder: Path):
        from ray.cluster_utils import Cluster

        self.log = folder / "log"
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0, "include_dashboard": False, "temp_dir": str(folder),
                # A machine that is silent for 4 s is dead; for 15 s by default.
                "_system_config": {"health_check_period_ms": 1000, "health_check_failure_threshold": 4},
            },
        )  # fmt: skip
        self.workers = [self.add(), self.add()]

    def add(self) -> Any:
        return self._cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)

    def kill(self, worker: Any) -> None:
        """End a machine as a power cut does."""
        self.workers.remove(worker)
        self._cluster.remove_node(worker, allow_graceful=False)

    def shutdown(self) -> None:
        self._cluster.shutdown()

    @property
    def address(self) -> str:
        return self._cluster.address

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "RAY_ADDRESS": self.address}

    def left_behind(self) -> list[str]:
        """Folders of workers, with the users' files in them."""
        return [path.name for path in self.log.parent.glob("replica-*")]

    def runs(self) -> list[tuple[int, int, str]]:
        """Every begun run of a trial: seed, its Ray worker's process, where its code lay."""
        lines = [line.split(maxsplit=2) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        return [(int(seed), int(worker), file) for seed, worker, file in lines]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # pytest's own are too long for Ray's sockets
    (folder / "ray").mkdir()  # where Ray, with this for TMPDIR, notes the address
    with pytest.MonkeyPatch.context() as patch:
        variables = {"RAY_USAGE_STATS_ENABLED": 0, "TRIAL_LOG": folder / "log", "TRIAL_SECONDS": 0.2, "TMPDIR": folder}
        for name, value in variables.items():
            patch.setenv(name, str(value))
        made = Cluster(folder)
        yield made
        made.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def write_files(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def here(tmp_path: Path, cluster: Cluster) -> Path:
    """A folder with the user's files, of which no worker may know."""
    cluster.log.unlink(missing_ok=True)
    return write_files(tmp_path)


@pytest.fixture(scope="module")
def local_rows(tmp_path_factory: pytest.TempPathFactory) -> list[tuple]:
    """The toy's trials, run in this process's stead on this machine."""
    folder = write_files(tmp_path_factory.mktemp("local"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIAL_")}
    assert run(*TOYS, "--store", "local.sqlite", "--jobs", 1, cwd=folder, env=environment).returncode == 0
    return stored(folder / "local.sqlite")


TOYS = ("verify", "toy.py", "--seeds", TRIALS)
ON_RAY = (*TOYS, "--store", "ray.sqlite", "--backend", "ray")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "replica", *map(str, arguments), "--json"]


def run(*arguments: object, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def stored(path: Path) -> list[tuple]:
    """All that a trial is and gave, but not when and how fast."""
    with sqlite3.connect(path) as connection:
        return connection.execute(
            "SELECT key, subject, seed, what, status, measures, series, error FROM trials ORDER BY key"
        ).fetchall()


def wait_for_runs(cluster: Cluster, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while len(cluster.runs()) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def begin(cluster: Cluster, here: Path) -> subprocess.Popen[str]:
    """Start a verification on the cluster that takes a while, and wait until it is well under way."""
    before = len(cluster.runs())
    process = subprocess.Popen(
        command(*ON_RAY), cwd=here, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    wait_for_runs(cluster, before + 5, process)
    return process


def test_results_equal_local_ones_bit_for_bit_and_no_worker_reads_the_drivers_disk(
    cluster: Cluster, here: Path, local_rows: list[tuple]
):
    done = run(*ON_RAY, cwd=here, env=cluster.environment)
    assert done.returncode == 0, done.stderr
    assert stored(here / "ray.sqlite") == local_rows
    assert sorted(seed for seed, _, _ in cluster.runs()) == list(range(TRIALS))
    assert len({worker for _, worker, _ in cluster.runs()}) == 2, "both workers take part"
    assert all(Path(file).is_relative_to(cluster.log.parent) for _, _, file in cluster.runs())
    deadline = time.monotonic() + 20
    while cluster.left_behind():
        assert time.monotonic() < deadline, "the users' files do not stay behind"
        time.sleep(0.2)


def test_a_comparison_takes_the_users_data_and_methods_along(
    cluster: Cluster, here: Path, monkeypatch: pytest.MonkeyPatch
):
    np.save(here / "data.npy", np.random.default_rng(0).normal(size=(80, 24)))
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    handed_over = importlib.import_module("handed_over").Mine
    for entries in ([f"{here / 'mine.py'}:Mine"], {"given": handed_over}):
        found = []
        for backend in ("local", "ray"):
            comparison = replica.compare(
                "recall", data=here / "data.npy", entries=entries, only=["nearest-neighbour"], stored=10, scale="smoke",
                store=here / f"{backend}.sqlite", workers=1, quiet=True, backend=backend,
            )  # fmt: skip
            assert not comparison.results.errors
            found.append(comparison.table.sort_index()[["exact", "overlap", "memory_bytes"]])
        assert set(found[0].index) == {"nearest-neighbour", "Mine" if isinstance(entries, list) else "given"}
        assert found[0].equals(found[1])


def test_a_trial_that_fails_is_recorded_as_it_is_locally_and_is_not_run_again(cluster: Cluster, here: Path):
    said = {}
    for name, more in (("local", ("--jobs", 2)), ("ray", ("--backend", "ray"))):
        done = run(
            "verify", "failing.py", "--seeds", 6, "--store", f"{name}.sqlite", "--limit-seconds", 1, "--limit-memory",
            "300MB", *more, cwd=here, env=cluster.environment,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        (claim,) = json.loads(done.stdout)[0]["claims"]
        said[name] = {error["seed"]: error["error"] for error in claim["errors"]}
    assert sorted(said["ray"]) == [1, 2, 3, 4, 5]
    assert said["ray"] == said["local"]


def test_what_dies_costs_its_trials_a_rerun_and_nothing_more(cluster: Cluster, here: Path, local_rows: list[tuple]):
    process = begin(cluster, here)
    os.kill(cluster.runs()[-1][1], signal.SIGKILL)  # now a worker's process
    wait_for_runs(cluster, 8, process)
    cluster.kill(cluster.workers[0])  # now a machine
    out, error = process.communicate(timeout=120)
    cluster.workers.append(cluster.add())
    assert process.returncode == 0, (out, error)
    runs = Counter(run[0] for run in cluster.runs())
    assert 1 <= sum(runs.values()) - TRIALS <= 2, "one processor, one trial: what each of the two was at, and no other"
    assert stored(here / "ray.sqlite") == local_rows


def test_a_driver_that_is_stopped_or_killed_goes_on_when_started_again(
    cluster: Cluster, here: Path, local_rows: list[tuple]
):
    process = begin(cluster, here)
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130, (out, error)
    assert "Run the same command again to go on." in error
    assert "Traceback" not in error
    stopped = {row[2] for row in stored(here / "ray.sqlite")}
    with sqlite3.connect(here / "ray.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM leases").fetchone() == (0,)
    process = begin(cluster, here)
    process.kill()
    process.communicate()
    killed = {row[2] for row in stored(here / "ray.sqlite")}
    assert 0 < len(stopped) < len(killed) < TRIALS
    time.sleep(1)
    begun = cluster.runs()
    time.sleep(0.5)
    assert cluster.runs() == begun, "the cluster has ended what the driver left"
    done = run(*ON_RAY, cwd=here, env=cluster.environment)
    assert done.returncode == 0, done.stderr
    assert {seed for seed, _, _ in cluster.runs()[len(begun) :]} == set(range(TRIALS)) - killed
    assert stored(here / "ray.sqlite") == local_rows


@pytest.mark.parametrize(
    ("address", "wanted"),
    [("127.0.0.1:9", "No Ray cluster answers at RAY_ADDRESS=127.0.0.1:9."), ("nonsense", "RAY_ADDRESS=nonsense.")],
)
def test_no_cluster_is_told_in_one_line_with_the_command_that_starts_one(tmp_path: Path, address: str, wanted: str):
    (tmp_path / "toy.py").write_text(TOY.replace("from beside import scaled", "scaled = float"))
    done = run(
        "verify", "toy.py", "--backend", "ray", "--store", "s.sqlite", cwd=tmp_path,
        env={**os.environ, "RAY_ADDRESS": address},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert wanted in done.stderr
    assert "ray start --head" in done.stderr
