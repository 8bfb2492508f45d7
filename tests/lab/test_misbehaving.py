"""A user's method may do anything to its process: it is a row, and the others' numbers, the store and the report stay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import replica
from replica.errors import ReplicaError
from replica.lab.runner.processes import AVAILABLE, Died, Failed, Process, ask, wait

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="trials run in one process here")

FILE = """
import ctypes, gc, os, random, signal, sys, threading, time, warnings
import numpy as np
import torch


class Odd(BaseException):
    def __str__(self):
        raise RuntimeError("no words")


class Method:
    def store(self, patterns):
        self.patterns = patterns

    def recall(self, cues):
        self.act()
        return cues


def spoils_numpy(self):
    np.mean = np.argmax = lambda *a, **k: 1 / 0

def spoils_torch(self):
    torch.set_default_dtype(torch.float64); torch.set_default_device("meta"); torch.Tensor.__matmul__ = None

def spoils_python(self):
    import builtins; import json; json.dumps = builtins.open = os.write = None

def draws(self):
    random.seed(7); np.random.seed(7); torch.manual_seed(7)

def leaves(self):
    os.chdir("/"); os.environ.clear()

def closes(self):
    sys.stdout.close(); os.close(1); os.close(2)

def closes_all(self):
    os.closerange(0, 256)

def floods(self):
    for _ in range(2000):
        print("x" * 10_000)

def recursion(self):
    sys.setrecursionlimit(60)

def exits(self):
    os._exit(0)

def leaves_python(self):
    sys.exit("bye")

def interrupts(self):
    raise KeyboardInterrupt

def raises_base(self):
    raise Odd

def raises_groups(self):
    raise BaseExceptionGroup("several", [KeyboardInterrupt(), ExceptionGroup("more", [ValueError("\\ud800")])])

def crashes(self):
    ctypes.string_at(0)

def kills_itself(self):
    os.kill(os.getpid(), signal.SIGKILL)

def kills_its_group(self):
    os.killpg(0, signal.SIGTERM)

def forks(self):
    os.fork()

def threads(self):
    threading.Thread(target=time.sleep, args=(600,)).start()

def ignores(self):
    signal.signal(signal.SIGTERM, signal.SIG_IGN); warnings.simplefilter("error"); gc.disable()
"""
DEEDS = [line[4:].split("(")[0] for line in FILE.splitlines() if line.startswith("def ")]
SOUND = ["spoils_torch", "draws", "leaves", "floods", "forks", "threads", "ignores"]
"""Those that still answer: what they did was to their process alone."""
FILE += "\n" + "\n".join(f"{deed}_ = type('{deed}_', (Method,), {{'act': {deed}}})" for deed in DEEDS)


def answers(comparison: Any, method: str) -> list[Any]:
    result = next(result for result in comparison.results.methods if result.method.name == method)
    timed = {metric.name for metric in comparison.results.metrics if metric.unit.startswith("s")}
    return [{name: value for name, value in row.measures.items() if name not in timed} for row in result.rows.values()]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, Path]]:
    """One comparison with every such method, and one without."""
    folder = tmp_path_factory.mktemp("deeds")
    (folder / "deeds.py").write_text(FILE)
    how: dict[str, Any] = {
        "only": ["nearest-neighbour", "hopfield-hebb"],
        "stored": 10,
        "cues": 5,
        "seeds": 2,
        "quiet": True,
    }
    alone = replica.compare("recall", store=folder / "alone", workers=1, **how)
    entries = {deed: replica_entry(folder, deed) for deed in DEEDS}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield replica.compare("recall", store=folder / "all", workers=2, entries=entries, **how), alone, folder


def replica_entry(folder: Path, deed: str) -> Any:
    """The class, made here, of which the function is pickled by value, as of a notebook."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec((folder / "deeds.py").read_text(), names)
    return names[f"{deed}_"]


@pytest.mark.parametrize("deed", DEEDS)
def test_whatever_a_method_does_is_its_row(compared: tuple[Any, Any, Path], deed: str) -> None:
    found = compared[0]
    result = next(result for result in found.results.methods if result.method.name == deed)
    assert len(result.rows) == 2
    for row in result.rows.values():
        assert len(row.error.splitlines()) <= 1
        assert row.error.isprintable()
        assert len(row.error) < 400
        if deed in SOUND:
            assert row.status == "ok", row
        if deed == "floods":
            assert 1000 < len(row.output) <= 4000


def test_the_others_get_the_same_numbers(compared: tuple[Any, Any, Path]) -> None:
    found, alone, _ = compared
    for method in ("nearest-neighbour", "hopfield-hebb"):
        assert answers(found, method) == answers(alone, method)


def test_the_report_holds_them_all(compared: tuple[Any, Any, Path], tmp_path: Path) -> None:
    text = compared[0].report(tmp_path / "r.html").read_text()
    assert all(deed in text for deed in DEEDS)
    assert json.dumps(compared[0].plain(), allow_nan=False)


def test_errors_say_what_happened(compared: tuple[Any, Any, Path]) -> None:
    said = {error["method"]: error["error"] for error in compared[0].plain()["errors"]}
    for deed, words in {
        "exits": "exit code 0", "leaves_python": "SystemExit: bye", "interrupts": "KeyboardInterrupt",
        "raises_base": "Odd: its message cannot be read", "raises_groups": "BaseExceptionGroup: several",
        "crashes": "SIGSEGV", "kills_itself": "SIGKILL", "kills_its_group": "SIGTERM", "closes_all": "process died",

    }.items():  # fmt: skip
        assert words in said[deed], said[deed]
    assert not set(SOUND) & said.keys()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import os; os._exit(7)", "exit code 7"),
        ("import numpy; numpy.mean = None; raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class Odd(Exception):\n    def __str__(self): raise self\nraise Odd", "Odd"),
        ("import sys; sys.stdout.close(); sys.exit()", "SystemExit"),
    ],
)
def test_what_a_file_does_when_it_is_imported_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "odd.py").write_text(text)
    with pytest.raises(ReplicaError, match=rf"odd\.py cannot be (imported|used).*{says}") as refused:
        replica.compare("recall", entries=[f"{tmp_path}/odd.py:Mine"], store=tmp_path / "s", quiet=True)
    assert len(str(refused.value).splitlines()) == 1
    import numpy as np

    assert np.mean([1, 2]) == 1.5


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31m", "\ud800", "x" * 61, 3])
def test_names_that_no_table_holds_are_refused(tmp_path: Path, name: Any) -> None:
    with pytest.raises(ReplicaError, match="An entry's name must be"):
        replica.compare("recall", entries={name: dict}, store=tmp_path / "s")


# --- processes by themselves ---------------------------------------------------------------------------------------------


def big(size: int) -> list[int]:
    return list(range(size))


def test_answers_of_any_size_come_whole() -> None:
    assert ask(partial(big, 1_000_000), 600)[0][-1] == 999_999


def test_what_a_call_prints_and_raises_is_told() -> None:
    assert ask(lambda: print("a word") or 1, 600) == (1, "a word\n")
    with pytest.raises(Failed, match="ZeroDivisionError: division by zero"):
        ask(lambda: 1 / 0, 600)
    with pytest.raises(Died):
        ask(lambda: os._exit(3), 600)
    with pytest.raises(TimeoutError):
        ask(partial(time.sleep, 600), 0.2)


def test_a_process_keeps_nothing_of_the_one_before_and_has_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_WORD", "here")
    ask(lambda: setattr(sys, "mark", 1) or 1, 600)
    told, _ = ask(lambda: [hasattr(sys, "mark"), os.getcwd(), os.environ["A_WORD"]], 600)
    assert told == [False, str(tmp_path), "here"]


def test_what_a_process_started_ends_with_it() -> None:
    process = Process()
    process.send(lambda: subprocess.Popen(["sleep", "600"]).pid)
    while (child := process.read()) is None:
        wait([process], 1)
    process.end()
    assert gone(child)


PARENT = """
import subprocess, sys, time
from replica.lab.runner.processes import Process

def busy():
    print(flush=True)
    sum(range(10**12))  # one bytecode: nothing in Python is heard

process = Process()
process.send(busy)
while not process.output:
    process.read()
server = subprocess.run(["ps", "-o", "ppid=", "-p", str(process.pid)], capture_output=True, text=True).stdout
print(process.pid, int(server), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_processes_end_with_the_command_also_in_compiled_code(number: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert parent.stdout is not None
    worker, server = map(int, parent.stdout.readline().split())
    parent.send_signal(number)
    parent.wait()
    assert gone(server)
    assert gone(worker)


def gone(pid: int) -> bool:
    """Whether it ends; a busy machine may take its time."""
    for _ in range(1000):
        try:
            if Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[0] == b"Z":
                return True
            os.kill(pid, 0)
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False
