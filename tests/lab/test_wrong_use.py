"""Wrong use through the real command line: one line that names what is wrong and what is wanted, and nothing harmed."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from replica.lab.cli import main
from replica.lab.runner.store import Store

STORE = "store.sqlite"
COMPARE = ("compare", "recall", "--json", "--jobs", "1", "--scale", "smoke", "--stored", "5", "--cues", "10")
ONE = (*COMPARE, "--only", "nearest-neighbour", "--out", "report.html")
KEPT = (*ONE, "--store", STORE)
VERIFY = ("verify", "--json", "--jobs", "1", "--scale", "smoke", "--store", STORE)

MEMORY = """
class {name}:
    def store(self, patterns):
        self.patterns = patterns
    def recall(self, cues):
        {recall}
"""
ENTRIES = {
    "syntax.py": "class Broken(:\n    pass\n",
    "imports.py": "import no_such_package\nclass Mine: ...\n",
    "raises.py": "raise RuntimeError('two\\nlines')\n",
    "exits.py": "import sys\nsys.exit(0)\n",
    "null.py": "class Mine: ...\n\0",
    "empty.py": "",
    "number.py": "Mine = 3\n",
    "arguments.py": "class Mine:\n    def __init__(self, size): ...\n" + "    def store(self, patterns): ...\n"
    "    def recall(self, cues): ...\n",
    "lacks.py": "class Mine:\n    def store(self, patterns): ...\n",
    "same.py": MEMORY.format(name="NearestNeighbour", recall="return cues").replace("NearestNeighbour", "Mine"),
    "shape.py": MEMORY.format(name="Short", recall="return cues[:, :-1]"),
    "nan.py": MEMORY.format(name="NotANumber", recall="return cues * float('nan')"),
    "none.py": MEMORY.format(name="Nothing", recall="return None"),
    "list.py": MEMORY.format(name="Words", recall="return 'words'"),
    "fails.py": MEMORY.format(name="Fails", recall="raise KeyError('what I lack')"),
    "leaves.py": MEMORY.format(name="Leaves", recall="raise SystemExit(0)"),
    "slow.py": "import time\n" + MEMORY.format(name="Slow", recall="time.sleep(30)"),
    "large.py": "import torch\n" + MEMORY.format(name="Large", recall="self.held = torch.ones(2**27); return cues"),
    "no_paper.py": "x = 1\n",
    "no_claims.py": "from replica.lab.claims import Paper\npaper = Paper('mine')\n",
    "own_paper.py": "from replica.lab.claims import Paper, above\npaper = Paper('mine')\n"
    "@paper.claim('It works.', expect={'x': above(0)})\ndef works(trial):\n    {works}\n",
}
CLAIMS = {
    "claim_raises.py": "raise ZeroDivisionError('by nought')",
    "claim_nan.py": "return {'x': float('nan')}",
    "claim_lacks.py": "return {'y': 1.0}",
    "claim_text.py": "return {'x': 'much'}",
    "claim_none.py": "return None",
}


class Run(NamedTuple):
    code: int
    out: str
    err: str


def npy_header(shape: tuple[int, ...]) -> bytes:
    text = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.fixture(scope="module")
def wrong_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything a user may get wrong, and a sound store with a few trials."""
    folder = tmp_path_factory.mktemp("wrong")
    good = np.random.default_rng(0).random((40, 16))
    np.save(folder / "good.npy", good)
    np.save(folder / "small.npy", good[:3])
    np.save(folder / "column.npy", good[:, :1])
    np.save(folder / "words.npy", np.full((4, 2), "a"))
    np.save(folder / "complex.npy", good.astype(complex))
    np.save(folder / "constant.npy", np.ones((40, 16)))
    np.save(folder / "nan.npy", np.where(good > 0.99, np.nan, np.where(good == good[3, 2], np.nan, good)))
    np.savez(folder / "two.npz", a=good, b=good)
    np.savez(folder / "none.npz")
    texts = {
        "empty.csv": "", "ragged.csv": "1,2\n3,4,5\n", "text.csv": "1,2\n3,oops\n", "nan.csv": "a,b\n1,2\n3,\n",
        "column.csv": "1\n2\n3\n", "head.csv": "a,b\n", "mine.doc": "1,2\n", "text.parquet": "1,2\n3,4\n",
        "damaged.sqlite": "SQLite format 3\0" + "nonsense " * 1000, "text.sqlite": "no data base at all\n" * 50,
    }  # fmt: skip
    for name, text in (texts | ENTRIES).items():
        (folder / name).write_text(text)
    for name, body in CLAIMS.items():
        (folder / name).write_text(ENTRIES["own_paper.py"].replace("{works}", body))
    (folder / "huge.npy").write_bytes(npy_header((10**6, 10**6)))
    (folder / "cut.npy").write_bytes((folder / "good.npy").read_bytes()[:300])
    (folder / "pickle.npy").write_bytes(pickle.dumps([1, 2]))
    (folder / "utf16.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    for name in ("without", "sizes", "broken", "a_folder"):
        (folder / name).mkdir()
    (folder / "without" / "notes.txt").write_text("no image")
    Image.new("L", (4, 3)).save(folder / "sizes" / "a.png")
    Image.new("L", (5, 3)).save(folder / "sizes" / "b.png")
    Image.new("L", (40, 30)).save(folder / "broken" / "a.png")
    (folder / "broken" / "b.png").write_bytes((folder / "broken" / "a.png").read_bytes()[:60])
    with sqlite3.connect(folder / "other.sqlite") as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    return folder


@pytest.fixture
def run(
    wrong_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    """The command line in this process, in the folder of wrong files."""
    monkeypatch.chdir(wrong_files)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*argv: str) -> Run:
        monkeypatch.setattr(sys, "argv", ["replica", *argv])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        return Run(int(stop.value.code or 0), *capsys.readouterr())

    return call


def trials(path: Path | str) -> int:
    with Store(path) as store:
        return store.count()


def case(name: str, *argv: str, says: str, code: int = 2) -> Any:
    return pytest.param(argv, code, says, id=name)


def data(name: str, file: str, says: str) -> Any:
    return case(f"data: {name}", *KEPT, "--data", file, says=says)


def entry(name: str, given: str, says: str) -> Any:
    return case(f"entry: {name}", *KEPT, "--entry", given, says=says)


def option(name: str, *argv: str, says: str) -> Any:
    return case(f"option: {name}", *KEPT, *argv, says=says)


REFUSED = [
    case("command", "compair", says=r"No such command 'compair'"),
    case("problem", "compare", "recal", "--json", says=r"recal.*Did you mean recall\?"),
    case("no problem", "compare", "--json", says=r"(?i)problem"),
]


@pytest.mark.parametrize(("argv", "code", "says"), REFUSED)
def test_refused_in_one_line(
    run: Callable[..., Run], wrong_files: Path, argv: tuple[str, ...], code: int, says: str
) -> None:
    before = trials(STORE_PATH(wrong_files))
    got = run(*argv)
    assert got.code == code, got
