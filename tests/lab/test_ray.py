"""A real Ray cluster on this machine, a head and two workers: the same numbers as local processes, whatever is killed."""

import contextlib
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import replica
from tests.lab.toy_papers import write_paper

if sys.platform != "linux":
    pytest.skip("the cluster's processes are watched in /proc", allow_module_level=True)
pytest.importorskip("ray", reason="Ray is not installed: pip install 'replica-papers[ray]'")

TOY = '''
import contextlib
import os
import time
from beside import scaled
from replica.lab.claims import Paper, Proportion

paper = Paper("toy")


def note(trial):
    """One line a run: its seed, its Ray worker, where its code lay. From the seed in the file TRIAL_HOLD on, it then waits."""
    if log := os.environ.get("TRIAL_LOG"):
        with open(log, "ab", buffering=0) as file:
            server = open(f"/proc/{os.getppid()}/stat").read().rsplit(")", 1)[1].split()
            file.write(f"{trial.seed} {server[1]} {__file__}\\n".encode())
    with contextlib.suppress(FileNotFoundError):
        while trial.seed >= int(open(os.environ.get("TRIAL_HOLD", "")).read()):
            time.sleep(0.02)


def draws(trial):
    note(trial)
    return {"value": scaled(trial.rng("values").random(50))}


@paper.claim(draws)
def draw(table):
    return {"draw": table["value"].mean(), "share": Proportion(int((table["value"] > 0.5).sum()), 50)}
'''
FAILING = """
import os
import signal
import time
import numpy as np
from replica.lab.claims import Paper

paper = Paper("failing")


def every_way(trial):
    if trial.seed == 1:
        raise RuntimeError("boom at seed one")
    while trial.seed == 2:
        pass
    if trial.seed == 3:
        return {"v": float(np.ones(400_000_000)[0])}
    if trial.seed == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    if trial.seed == 5:
        return {"v": float("nan")}
    return {"v": 1.0}


@paper.claim(every_way)
def fails(table):
    return {"v": table["v"].mean()}
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
PATIENCE = 600
"""Seconds that a busy machine may take for what an idle one does in a few; what waits longer fails."""
FILES = {
    "mine.py": MINE,
    "handed_over.py": MINE,
    "beside/__init__.py": "from .scale import scaled\n",
    "beside/scale.py": "def scaled(values):\n    return values * 0.99\n",
}


class Cluster:
    """A head without processors, and workers of one processor each."""

    def __init__(self, folder: Path):
        from ray.cluster_utils import Cluster

        self.log, self.held = folder / "log", folder / "hold"
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0, "include_dashboard": False, "temp_dir": str(folder),
                # A machine that is silent for 8 s is dead; for 15 s by default.
                "_system_config": {"health_check_period_ms": 1000, "health_check_failure_threshold": 8},
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

    def hold(self, seed: int) -> None:
        """Let trials from this seed on wait until they are released."""
        self.held.with_suffix(".new").write_text(str(seed))
        self.held.with_suffix(".new").replace(self.held)

    def release(self) -> None:
        self.held.unlink(missing_ok=True)

    def left_behind(self) -> list[str]:
        """Folders of workers, with the users' files in them."""
        return [path.name for path in self.log.parent.glob("replica-*")]

    def runs(self) -> list[tuple[int, int, str]]:
        """Every begun run of a trial: seed, its Ray worker's process, where its code lay."""
        lines = [line.split(maxsplit=2) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        return [(int(seed), int(worker), file) for seed, worker, file in lines]


class Patient:
    """A clock by which Ray's 30 s for the start of a machine are two minutes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def monotonic(self) -> float:
        return time.monotonic() / 4


@contextlib.contextmanager
def limited(what: str) -> Iterator[None]:
    """Raise where it is not done after `PATIENCE`, whatever it waits for."""

    def late(*_: object) -> None:
        raise TimeoutError(f"{what}: not done after {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


BEGUN: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_waits_for_ever(request: pytest.FixtureRequest) -> Iterator[None]:
    with limited(request.node.name):
        yield
    while BEGUN:  # ended, unless the test failed
        BEGUN.pop().kill()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # pytest's own are too long for Ray's sockets
    (folder / "ray").mkdir()  # where Ray, with this for TMPDIR, notes the address
    with pytest.MonkeyPatch.context() as patch:
        variables = {
            "RAY_USAGE_STATS_ENABLED": 0,
            "TRIAL_LOG": folder / "log",
            "TRIAL_HOLD": folder / "hold",
            "TMPDIR": folder,
        }
        for name, value in variables.items():
            patch.setenv(name, str(value))
        patch.setattr("ray._private.node.time", Patient())
        with limited("The start of Ray"):
            made = Cluster(folder)
        yield made
        with limited("The end of Ray"):
            made.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def write_files(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    write_paper(folder / "toy.py", TOY, draw='expect.draw = "above 0"')
    write_paper(folder / "failing.py", FAILING, fails='expect.v = "above 0"')
    return folder


@pytest.fixture
def here(tmp_path: Path, cluster: Cluster) -> Path:
    """A folder with the user's files, of which no worker may know."""
    cluster.log.unlink(missing_ok=True)
    cluster.release()
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
    return subprocess.run(command(*arguments), cwd=cwd, env=env, capture_output=True, text=True)


def stored(path: Path) -> list[tuple]:
    """All that a trial is and gave, but not when and how fast."""
    with sqlite3.connect(path) as connection:
        return connection.execute(
            "SELECT key, subject, seed, what, status, measures, series, error FROM trials ORDER BY key"
        ).fetchall()


def count(path: Path) -> int:
    try:
        return len(stored(path))
    except sqlite3.OperationalError:  # there is none yet
        return 0


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    while not condition():
        assert process is None or process.poll() is None, process and process.communicate()
        time.sleep(0.05)


def begin(cluster: Cluster, here: Path, hold: int) -> subprocess.Popen[str]:
    """Start a verification on the cluster, whose trials wait from a seed on."""
    cluster.hold(hold)
    process = subprocess.Popen(
        command(*ON_RAY), cwd=here, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    BEGUN.append(process)
    return process


def test_results_equal_local_ones_bit_for_bit_and_no_worker_reads_the_drivers_disk(
    cluster: Cluster, here: Path, local_rows: list[tuple]
):
    process = begin(cluster, here, hold=0)
    wait_for(lambda: len(cluster.runs()) == 2, process)
    cluster.release()
    _, error = process.communicate()
    assert process.returncode == 0, error
    assert stored(here / "ray.sqlite") == local_rows
    assert sorted(seed for seed, _, _ in cluster.runs()) == list(range(TRIALS))
    assert len({worker for _, worker, _ in cluster.runs()}) == 2, "both workers take part"
    assert all(Path(file).is_relative_to(cluster.log.parent) for _, _, file in cluster.runs())
    while cluster.left_behind():  # the users' files do not stay behind
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
            "verify", "failing.py", "--seeds", 6, "--store", f"{name}.sqlite", "--limit-seconds", 4, "--limit-memory",
            "300MB", *more, cwd=here, env=cluster.environment,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        (claim,) = json.loads(done.stdout)[0]["claims"]
        # How much of the time it waited, a busy machine adds.
        said[name] = {error["seed"]: error["error"].partition(": 20 s went by")[0] for error in claim["errors"]}
    assert sorted(said["ray"]) == [1, 2, 3, 4, 5]
    assert said["ray"] == said["local"]


def test_what_dies_costs_its_trials_a_rerun_and_nothing_more(cluster: Cluster, here: Path, local_rows: list[tuple]):
    process = begin(cluster, here, hold=4)
    wait_for(lambda: len(cluster.runs()) == 6, process)  # two wait, one on each machine
    os.kill(cluster.runs()[-1][1], signal.SIGKILL)  # now a worker's process
    wait_for(lambda: len(cluster.runs()) == 7, process)
    cluster.kill(cluster.workers[0])  # now a machine
    cluster.release()
    out, error = process.communicate()
    cluster.workers.append(cluster.add())
    assert process.returncode == 0, (out, error)
    again = len(cluster.runs()) - TRIALS
    assert 1 <= again <= 2, "one processor, one trial: what each of the two was at, and no other"
    assert stored(here / "ray.sqlite") == local_rows


def test_a_driver_that_is_stopped_or_killed_goes_on_when_started_again(
    cluster: Cluster, here: Path, local_rows: list[tuple]
):
    store = here / "ray.sqlite"
    process = begin(cluster, here, hold=4)
    wait_for(lambda: count(store) == 4, process)
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate()
    assert process.returncode == 130, (out, error)
    assert "Run the same command again to go on." in error
    assert "Traceback" not in error
    with sqlite3.connect(store) as connection:
        assert connection.execute("SELECT count(*) FROM leases").fetchone() == (0,)
    process = begin(cluster, here, hold=10)
    wait_for(lambda: count(store) == 10, process)
    process.kill()
    process.communicate()
    assert {row[2] for row in stored(store)} == set(range(10))
    # What waited for a processor may still begin before the cluster hears of the death: it counts as the dead driver's.
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for _, worker, _ in cluster.runs()))
    begun = len(cluster.runs())
    cluster.release()
    done = run(*ON_RAY, cwd=here, env=cluster.environment)
    assert done.returncode == 0, done.stderr
    again = Counter(seed for seed, _, _ in cluster.runs()[begun:])
    assert set(again) == set(range(10, TRIALS))
    assert set(again.values()) == {1}, "the cluster has ended what the killed driver left"
    assert stored(store) == local_rows


@pytest.mark.parametrize(
    ("address", "wanted"),
    [("127.0.0.1:9", "No Ray cluster answers at RAY_ADDRESS=127.0.0.1:9."), ("nonsense", "RAY_ADDRESS=nonsense.")],
)
def test_no_cluster_is_told_in_one_line_with_the_command_that_starts_one(tmp_path: Path, address: str, wanted: str):
    toy = TOY.replace("from beside import scaled", "scaled = float")
    write_paper(tmp_path / "toy.py", toy, draw='expect.draw = "above 0"')
    done = run(
        "verify", "toy.py", "--backend", "ray", "--store", "s.sqlite", cwd=tmp_path,
        env={**os.environ, "RAY_ADDRESS": address},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert wanted in done.stderr
    assert "ray start --head" in done.stderr
