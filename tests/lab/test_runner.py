"""The runner and its store, shown on the real command in processes of its own: kills, crowds, failures, changed sources."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.toy_papers import write_paper

TOY = '''
import os
import time
from replica.lab.claims import Paper, Proportion

paper = Paper("toy")


def note(trial, name):
    """One line a run, written in one call, so that lines of several processes do not mix."""
    if log := os.environ.get("TRIAL_LOG"):
        with open(log, "ab", buffering=0) as file:
            file.write(f"{name} {trial.seed}\\n".encode())


def draws(trial):
    note(trial, "draw")
    time.sleep(float(os.environ.get("TRIAL_SECONDS", 0)))
    return {"value": trial.rng("values").random(50)}


@paper.claim(draws)
def draw(table):
    return {"draw": table["value"].mean(), "share": Proportion(int((table["value"] > 0.5).sum()), 50)}
'''


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "replica", *map(str, arguments)]


def run(*arguments: object, cwd: Path, **environment: object) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    return subprocess.run(command(*arguments), cwd=cwd, env=variables, capture_output=True, text=True)


def stored(path: Path) -> list[tuple]:
    """All that a trial is and gave, but not when and how fast."""
    with sqlite3.connect(path) as connection:
        return connection.execute(
            "SELECT key, subject, seed, what, status, measures, series, error FROM trials ORDER BY key"
        ).fetchall()


def count(path: Path) -> int:
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT count(*) FROM trials").fetchone()[0]
    except sqlite3.OperationalError:  # there is none yet
        return 0


def wait_for_more(store: Path, process: subprocess.Popen) -> None:
    """Until the run has stored a trial, or has ended."""
    before = count(store)
    while count(store) == before and process.poll() is None:
        time.sleep(0.03)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_paper(tmp_path / "toy.py", TOY, draw='expect.draw = "above 0"')


def test_killed_at_random_moments_nothing_is_lost_or_done_twice(toy: Path, tmp_path: Path):
    arguments = ("verify", toy, "--seeds", 120, "--json")
    assert run(*arguments, "--store", tmp_path / "calm.sqlite", "--jobs", 1, cwd=tmp_path).returncode == 0
    moments, store = random.Random(0), tmp_path / "killed.sqlite"
    for kill in range(8):
        jobs = 1 + kill // 2 % 2
        process = subprocess.Popen(
            command(*arguments, "--store", store, "--jobs", jobs),
            cwd=tmp_path,
            env={**os.environ, "TRIAL_SECONDS": "0.06"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if kill not in (0, 7):  # into the work; the first, before there is a store, and the last fall into the start
            wait_for_more(store, process)
        time.sleep(moments.uniform(0, 0.3))
        if process.poll() is not None:  # this machine was too busy for us to fall into the last trials
            break
        # Now the command alone, whose workers are left behind, now its whole group.
        os.kill(process.pid, signal.SIGKILL) if kill % 2 else os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert count(store), "the kills must fall into the work"
    last = run(*arguments, "--store", store, "--jobs", 2, cwd=tmp_path)
    assert last.returncode == 0, last.stderr
    rows = stored(store)
    assert len(rows) == len({row[0] for row in rows}) == 120
    assert rows == stored(tmp_path / "calm.sqlite")
    with sqlite3.connect(store) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM leases").fetchone() == (0,)


def test_three_runs_at_once_share_the_work(toy: Path, tmp_path: Path):
    log, store = tmp_path / "log", tmp_path / "store.sqlite"
    environment = {**os.environ, "TRIAL_LOG": str(log), "TRIAL_SECONDS": "0.02"}
    runs = [
        subprocess.Popen(
            command("verify", toy, "--seeds", 120, "--store", store, "--jobs", 1, "--json"),
            env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    outputs = [process.communicate() for process in runs]
    assert [process.returncode for process in runs] == [0] * 3, outputs
    assert not any("locked" in error for _, error in outputs)
    begun = log.read_text().splitlines()
    assert sorted(begun) == sorted(f"draw {seed}" for seed in range(120)), "each trial runs once, in one of the three"
    measured = [json.loads(out)[0]["claims"][0]["measured"] for out, _ in outputs]
    assert all(other == measured[0] for other in measured)


OPENING = """
import sys
import time
from replica.lab.runner.store import Store

for turn in range(40):
    time.sleep(max(0.0, float(sys.argv[1]) + turn * 0.02 - time.time()))
    Store(f"{turn}.sqlite").close()
"""


def test_processes_that_open_a_new_store_at_the_same_moment_all_get_it(tmp_path: Path):
    when = str(time.time() + 2)
    opening = [
        subprocess.Popen([sys.executable, "-c", OPENING, when], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate()[1] for process in opening] == [""] * 3


FAILING = """
import os
import signal
import numpy as np
from replica.lab.claims import Paper

paper = Paper("failing")


def raises(trial):
    if trial.seed == 1:
        raise RuntimeError("boom at seed one")
    return {"v": 1.0}


def gives_nan(trial):
    return {"v": float("nan") if trial.seed == 2 else 1.0}


def spins(trial):
    while trial.seed == 3:
        try:
            sum(range(100))
        except Exception:  # a method that swallows everything must not swallow the alarm
            pass
    return {"v": 1.0}


def eats(trial):
    return {"v": float(np.ones(400_000_000 if trial.seed == 4 else 4)[0])}


def dies(trial):
    if trial.seed == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"v": 1.0}


for study in (raises, gives_nan, spins, eats, dies):
    def judge(table):
        return {"v": table["v"].mean()}

    judge.__name__ = study.__name__
    paper.claim(study)(judge)
"""
WAYS = ("raises", "gives_nan", "spins", "eats", "dies")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_trial_that_fails_is_recorded_and_the_others_finish(tmp_path: Path, jobs: int):
    write_paper(tmp_path / "failing.py", FAILING, **dict.fromkeys(WAYS, 'expect.v = "above 0"'))
    wanted = WAYS if jobs > 1 else WAYS[:-1]
    chosen = [word for name in wanted for word in ("--claim", name)]
    result = run(
        "verify", "failing.py", *chosen, "--jobs", jobs, "--store", "s.sqlite", "--limit-seconds", 3,
        "--limit-memory", "300MB", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    claims = {claim["name"]: claim for claim in json.loads(result.stdout)[0]["claims"]}
    errors = {
        name: [(e["seed"], e["error"], e["traceback"]) for e in claim["errors"]] for name, claim in claims.items()
    }
    assert {claim["verdict"] for claim in claims.values()} == {"error"}
    assert all(len(found) == 1 and claims[name]["seeds"] == 5 for name, found in errors.items())
    said = {name: (found[0][0], found[0][1]) for name, found in errors.items()}
    assert said["raises"] == (1, "RuntimeError: boom at seed one")
    assert said["gives_nan"][0] == 2
    assert "nan" in said["gives_nan"][1]
    assert said["spins"][0] == 3
    assert said["spins"][1].startswith("ran past its limit of 3 s")  # a busy machine adds how much of it was waiting
    assert said["eats"] == (4, "asked for more than its limit of 286 MiB")
    for name, line in (("raises", "raise RuntimeError"), ("spins", "in spins"), ("eats", "np.ones(")):
        assert line in errors[name][0][2], "the traceback shows the line that failed"
    if jobs > 1:
        assert said["dies"][0] == 0
        assert "process died" in said["dies"][1]
    assert sum(row[4] == "ok" for row in stored(tmp_path / "s.sqlite")) == 4 * len(wanted)


def test_compiled_code_that_hears_no_alarm_is_ended_and_recorded(tmp_path: Path):
    write_paper(
        tmp_path / "stuck.py",
        "from replica.lab.claims import Paper\npaper = Paper('stuck')\n\n"
        # One single bytecode: the alarm's handler waits for its end.
        "def hangs(trial):\n    return {'v': 1.0 if trial.seed else float(sum(range(10**12)))}\n\n"
        "@paper.claim(hangs)\ndef stuck(table):\n    return {'v': table['v'].mean()}\n",
        stuck='expect.v = "above 0"',
    )
    # In each process of the command, its server of processes too, the grace is a second and not ten.
    (tmp_path / "sitecustomize.py").write_text("from replica.lab.runner import limits\nlimits.GRACE_SECONDS = 1.0\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    result = run(
        "verify", "stuck.py", "--jobs", 2, "--store", "s.sqlite", "--limit-seconds", 2, "--json",
        cwd=tmp_path, PYTHONPATH=path,
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    (claim,) = json.loads(result.stdout)[0]["claims"]
    assert [(e["seed"], e["error"]) for e in claim["errors"]] == [(0, "ran past its limit of 2 s and did not stop")]
    assert "hangs" in claim["errors"][0]["traceback"]


def test_an_error_is_tried_again_and_a_result_is_not(toy: Path, tmp_path: Path):
    log = tmp_path / "log"
    arguments = ("verify", toy, "--store", "s.sqlite", "--jobs", 1, "--json")
    failed = run(*arguments, cwd=tmp_path, TRIAL_LOG=tmp_path / "no-folder" / "log")
    assert failed.returncode == 1
    assert run(*arguments, cwd=tmp_path, TRIAL_LOG=log).returncode == 0
    assert run(*arguments, cwd=tmp_path, TRIAL_LOG=log).returncode == 0
    assert len(log.read_text().splitlines()) == 5
    assert {row[4] for row in stored(tmp_path / "s.sqlite")} == {"ok"}


def test_stopping_by_hand_leaves_a_whole_store_and_says_how_to_go_on(toy: Path, tmp_path: Path):
    for jobs in (1, 2):
        store = tmp_path / f"{jobs}.sqlite"
        process = subprocess.Popen(
            command("verify", toy, "--seeds", 1000, "--store", store, "--jobs", jobs),
            cwd=tmp_path, env={**os.environ, "TRIAL_SECONDS": "0.1"}, start_new_session=True,
            # Tests may run in the background, where this signal is ignored and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for_more(store, process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, error = process.communicate()
        assert process.returncode == 130, (out, error)
        assert "Run the same command again to go on." in error
        assert "Traceback" not in error
        assert 0 < len(stored(store)) < 1000


def test_a_damaged_store_is_told_in_one_line_and_kept(toy: Path, tmp_path: Path):
    store = tmp_path / "s.sqlite"
    damaged = b"SQLite format 3\0" + random.Random(0).randbytes(5000)
    store.write_bytes(damaged)
    result = run("verify", toy, "--store", store, "--json", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "--store FILE" in result.stderr
    assert store.read_bytes() == damaged


TWO = """
import one
import other
from replica.lab.claims import Paper

paper = Paper("two")


def first(trial):
    return {"v": one.value}


def second(trial):
    return {"v": other.value}


@paper.claim(first)
def one_is_positive(table):
    return {"v": table["v"].mean()}


@paper.claim(second)
def the_other_is_positive(table):
    return {"v": table["v"].mean()}
"""


def test_a_changed_part_reruns_what_depends_on_it_and_nothing_else(tmp_path: Path):
    bound = 'expect.v = "above 0"'
    write_paper(tmp_path / "two.py", TWO, one_is_positive=bound, the_other_is_positive=bound)
    for name in ("one.py", "other.py"):
        (tmp_path / name).write_text("value = 1.0\n")

    def finished() -> dict[str, set[float]]:
        done = run("verify", "two.py", "--jobs", 1, "--store", "s.sqlite", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        times: dict[str, set[float]] = {}
        with sqlite3.connect(tmp_path / "s.sqlite") as connection:
            for subject, when in connection.execute("SELECT subject, finished FROM trials"):
                times.setdefault(subject, set()).add(when)
        return times

    first = finished()
    (tmp_path / "one.py").write_text("value = 1.0  # a comment changes nothing\n")
    assert finished() == first
    (tmp_path / "one.py").write_text("value = 2.0\n")
    again = {subject for subject, times in finished().items() if times != first[subject]}
    assert again == {"two/first"}
