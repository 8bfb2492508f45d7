"""Wrong use through the real command line: one line that names what is wrong and what is wanted, and nothing harmed."""

from __future__ import annotations

import json
import pickle
import re
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

from replica.lab.catalogue import find
from replica.lab.cli import main
from replica.lab.report import Comparison
from replica.lab.runner.store import Row, Store
from tests.lab.toy_papers import write_paper

STORE = "store.sqlite"
COMPARE = ("compare", "recall", "--json", "--jobs", "1", "--scale", "smoke")
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
    "prints.py": "import os\nos.system(\"echo a word of the user\\\\'s\")\nraise ImportError('no')\n",
    "number.py": "Mine = 3\n",
    "arguments.py": "class Mine:\n    def __init__(self, size): ...\n" + "    def store(self, patterns): ...\n"
    "    def recall(self, cues): ...\n",
    "lacks.py": "class Mine:\n    def store(self, patterns): ...\n",
    "same.py": MEMORY.format(name="Mine", recall="return cues"),
    "again.py": MEMORY.format(name="Mine", recall="return cues"),
    "shape.py": MEMORY.format(name="Short", recall="return cues[:, :-1]"),
    "nan.py": MEMORY.format(name="NotANumber", recall="return cues * float('nan')"),
    "none.py": MEMORY.format(name="Nothing", recall="return None"),
    "list.py": MEMORY.format(name="Words", recall="return 'words'"),
    "fails.py": MEMORY.format(name="Fails", recall="raise KeyError('what I lack')"),
    "leaves.py": MEMORY.format(name="Leaves", recall="raise SystemExit(0)"),
    "slow.py": "import time\n" + MEMORY.format(name="Slow", recall="time.sleep(10_000)"),
    "large.py": "import torch\n" + MEMORY.format(name="Large", recall="self.held = torch.ones(2**27); return cues"),
    "no_paper.py": "x = 1\n",
    "no_claims.py": "from replica.lab.claims import Paper\npaper = Paper('mine')\n",
}
PAPER = """
from replica.lab.claims import Paper
paper = Paper("mine")

def study(trial):
    {study}

@paper.claim(study)
def works(table):
    {judge}
"""
GIVEN = {"study": "return {'x': 1.0}", "judge": "return {'x': table['x'].mean()}"}
CLAIMS = {
    "claim_raises.py": {"study": "raise ZeroDivisionError('by nought')"},
    "claim_nan.py": {"study": "return {'x': float('nan')}"},
    "claim_none.py": {"study": "return None"},
    "judge_lacks.py": {"judge": "return {'y': 1.0}"},
    "judge_text.py": {"judge": "return {'x': 'much'}"},
    "judge_raises.py": {"judge": "return {'x': table['z']}"},
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
        write_paper(folder / name, PAPER.format_map(GIVEN | body), works='expect.x = "above 0"')
    (folder / "unregistered.py").write_text(PAPER.format_map(GIVEN))
    (folder / "huge.npy").write_bytes(npy_header((10**6, 10**6)))
    (folder / "cut.npy").write_bytes((folder / "good.npy").read_bytes()[:300])
    (folder / "pickle.npy").write_bytes(pickle.dumps([1, 2]))
    (folder / "utf16.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    for name in ("without", "sizes", "broken", "a_folder"):
        (folder / name).mkdir()
    (folder / "without" / "notes.txt").write_text("no image")
    Image.new("L", (4, 3)).save(folder / "sizes" / "a.png")
    Image.new("L", (5, 3)).save(folder / "sizes" / "b.png")
    Image.fromarray(np.uint8(255 * good)).save(folder / "broken" / "a.png")
    (folder / "broken" / "b.png").write_bytes((folder / "broken" / "a.png").read_bytes()[:200])
    with sqlite3.connect(folder / "other.sqlite") as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    with Store(folder / STORE) as store:
        row = Row(key="k", subject="s", seed=0, what={}, seconds=1.0, peak_bytes=1, machine={}, measures={"x": 1.0})
        store.write(row)
    return folder


@pytest.fixture
def run(wrong_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
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


def contents(folder: Path) -> dict[Path, bytes]:
    """All that lies there, byte for byte, without the store and what Python keeps of modules."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(STORE) and path.suffix != ".pyc"
    }


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
    # names
    case("no such command", "compair", says=r"No such command 'compair'.*--help"),
    case("no such flag", "--frob", says=r"No such option: --frob.*--help"),
    case("no such problem", "compare", "recal", "--json", says=r"'recal'.*mean.*recall"),
    case("problem missing", "compare", "--json", says=r"Missing argument 'PROBLEM'.*--help"),
    case("problems: no such one", "problems", "sorting", "--json", says=r"'sorting'.*recall"),
    case("show: no such paper", "show", "hopfild", "--json", says=r"'hopfild'.*mean.*hopfield.*replica papers"),
    case("show: no paper", "show", "--json", says=r"Missing argument.*SLUG.*--help"),
    case("show: two papers", "show", "hopfield", "hopfield", says=r"unexpected extra argument.*hopfield"),
    case("papers: no such wing", "papers", "--wing", "memry", "--json", says=r"wing.*'memry'.*mean.*memory.*There are"),
    case("papers: no such problem", "papers", "--problem", "x", "--json", says=r"problem.*'x'.*There are.*recall"),
    case("papers: no such status", "papers", "--status", "done", "--json", says=r"status.*'done'.*built.*planned"),
    case("verify: no such paper", *VERIFY, "hopfeild", says=r"'hopfeild'.*mean.*hopfield"),
    case("verify: no such claim", *VERIFY, "hopfield", "--claim", "none", says=r"no claim 'none'.*It has:.*one_update"),
    case("verify: a planned paper", *VERIFY, "PLANNED", says=r"not built yet.*replica papers --status built"),
    case("verify: no paper", *VERIFY, says=r"Missing argument.*SLUG"),
    case("verify: no such file", *VERIFY, "nowhere.py", says=r"no file nowhere\.py"),
    case("verify: a file without a paper", *VERIFY, "no_paper.py", says=r"no_paper\.py defines no paper.*paper = Paper"),
    case("verify: a paper without claims", *VERIFY, "no_claims.py", says=r"mine.*no claim.*@paper\.claim"),
    case("verify: not Python", *VERIFY, "syntax.py", says=r"syntax\.py is not valid Python.*line 1"),
    case("verify: record with seeds", *VERIFY, "hopfield", "--record", "--seeds", "3", says=r"leave out.*--seeds"),
    case("verify: figure's ending", *VERIFY, "hopfield", "--figure", "f.doc", says=r"\.png.*not 'f\.doc'"),
    case("verify: figure's folder", *VERIFY, "hopfield", "--figure", "no/f.png", says=r"no folder no"),
    case("verify: seeds", *VERIFY, "hopfield", "--seeds", "0", says=r"--seeds.*from 1.*not 0"),
    case("verify: scale", *VERIFY, "hopfield", "--scale", "huge", says=r"smoke, laptop, full, not 'huge'"),
    case("show: figure's ending", "show", "hopfield", "--figure", "f", "--json", says=r"\.png.*not 'f'"),
    case("verify: an unregistered claim", *VERIFY, "unregistered.py", says=r"works is not registered: write \[works\]"),
    case("verify: a claim without its measure", *VERIFY, "judge_lacks.py", "--store", "MORE",
         says=r"Claim works.*no measure 'x'; it gives y"),
    case("verify: text for a measure", *VERIFY, "judge_text.py", "--store", "MORE", says=r"Claim works.*'x'.*not 'much'"),
    case("verify: a judge that raises", *VERIFY, "judge_raises.py", "--store", "MORE", says=r"Claim works: KeyError: 'z'"),
    # --data
    data("no such name", "digts", r"'digts'.*mean digits"),
    data("no such file", "nowhere.npy", r"nowhere\.npy: does not exist"),
    data("empty word", "", r"--data is empty.*give"),
    data("empty csv", "empty.csv", r"empty\.csv: is empty; wanted one pattern or sample a row"),
    data("ragged csv", "ragged.csv", r"line 2 has 3 cells, line 1 has 2; wanted equally many"),
    data("text in a csv", "text.csv", r"line 2, column 2 is 'oops', no number"),
    data("a gap in a csv", "nan.csv", r"line 3, column 'b' is nan"),
    data("one column of a csv", "column.csv", r"column\.csv.*one column only"),
    data("a csv of names alone", "head.csv", r"column names but no row of numbers"),
    data("a csv in UTF-16", "utf16.csv", r"utf16\.csv.*holds 1 distinct patterns"),
    data("unknown ending", "mine.doc", r"'\.doc' is not known.*\.npy"),
    data("NaN", "nan.npy", r"value at \(\d+, \d+\).*is nan"),
    data("one column", "column.npy", r"one column only"),
    data("words", "words.npy", r"holds <U1; wanted real numbers"),
    data("complex numbers", "complex.npy", r"holds complex128; wanted real numbers"),
    data("all values the same", "constant.npy", r"all values are 1; wanted patterns that differ"),
    data("too few patterns", "small.npy", r"stored is 30.*small\.npy.*holds \d+ distinct.*give --stored \d+ or less"),
    data("a header that promises too much", "huge.npy", r"GiB; wanted at most 2 GiB"),
    data("cut off", "cut.npy", r"cut\.npy: is cut off or damaged.*wanted a whole file"),
    data("a pickle", "pickle.npy", r"Python pickle, which is never loaded"),
    data("two arrays", "two.npz", r"two\.npz.*'?a'?.*'?b'?.*patterns"),
    data("no array", "none.npz", r"none\.npz: holds no array; wanted"),
    data("no Parquet", "text.parquet", r"text\.parquet: cannot be read as Parquet"),
    data("a folder without images", "without", r"without images; wanted images: \.bmp"),
    data("images of two sizes", "sizes", r"b\.png is 5 × 3 pixels, a\.png 4 × 3; wanted images of one size"),
    data("a broken image", "broken", r"b\.png cannot be read"),
    # --entry
    entry("no file", "nowhere.py:Mine", r"no file nowhere\.py"),
    entry("no name", "lacks.py", r"FILE\.py:NAME.*not 'lacks\.py'"),
    entry("no such name", "lacks.py:Yours", r"lacks\.py defines no Yours"),
    entry("an empty file", "empty.py:Mine", r"empty\.py defines no Mine"),
    entry("a data file", "good.npy:Mine", r"good\.npy is not a Python file.*\.py"),
    entry("not Python", "syntax.py:Broken", r"syntax\.py is not valid Python.*line 1"),
    entry("a zero byte", "null.py:Mine", r"null\.py is not valid Python"),
    entry("a missing package", "imports.py:Mine", r"imports\.py cannot be imported.*no_such_package"),
    entry("raises at import", "raises.py:Mine", r"raises\.py cannot be imported: RuntimeError: two"),
    entry("exits at import", "exits.py:Mine", r"exits\.py cannot be imported: SystemExit"),
    entry("not a class", "number.py:Mine", r"Mine is of type int.*must be a class"),
    entry("needs arguments", "arguments.py:Mine", r"Mine cannot be made without arguments: give size a default"),
    entry("lacks recall", "lacks.py:Mine", r"Mine lacks recall\(cues"),
    option("entry twice", "--entry", "same.py:Mine", "--entry", "again.py:Mine", says=r"two entries have one name"),
    # options of the problem
    option("stored 0", "--stored", "0", says=r"stored must be a whole number, 1 or more, not '0'"),
    option("stored -1", "--stored", "-1", says=r"stored must be a whole number, 1 or more, not '-1'"),
    option("stored 1e9", "--stored", "1e9", says=r"stored must be a whole number.*not '1e9'"),
    option("stored too many", "--stored", "1000000", says=r"stored is 1000000.*digits.*give --stored 1752 or less"),
    option("stored abc", "--stored=abc", says=r"stored must be a whole number.*not 'abc'"),
    option("stored without a value", "--stored", says=r"--stored needs a value"),
    option("stored twice", "--stored", "3", "--stored", "4", says=r"--stored is given twice"),
    option("damage 1.5", "--damage", "1.5", says=r"damage must be a number from 0 to 1, not '1\.5'"),
    option("damage nan", "--damage", "nan", says=r"damage must be a number from 0 to 1, not 'nan'"),
    option("kind", "--kind", "melt", says=r"kind must be one of flip, mask, gaussian, not 'melt'"),
    option("values", "--values", "complex", says=r"values must be one of binary, real, not 'complex'"),
    option("unknown", "--store-d", "5", says=r"No such option: --store-d.*mean stored.*--help"),
    option("short", "-q", says=r"No such option: '-q'.*--help"),
    option("loose word", "40", says=r"Unexpected argument '40'.*--NAME VALUE"),
    # options of the command
    option("only", "--only", "nearest-neighbor", says=r"'nearest-neighbor'.*mean.*nearest-neighbour.*There are"),
    option("only left out", "--values", "real", "--only", "hopfield-hebb", says=r"hopfield-hebb needs values to be binary"),
    option("seeds 0", "--seeds", "0", says=r"--seeds must be a whole number from 1 to \d+, not 0"),
    option("seeds far too many", "--seeds", "1000000000", says=r"--seeds must be.*to \d+, not 1000000000"),
    option("seeds abc", "--seeds", "abc", says=r"--seeds.*'abc' is not a valid int"),
    option("jobs -1", "--jobs", "-1", says=r"--jobs must be 0.*or more, at most \d+, not -1"),
    option("limit-seconds 0", "--limit-seconds", "0", says=r"--limit-seconds must be a positive number.*not 0"),
    option("limit-seconds nan", "--limit-seconds", "nan", says=r"--limit-seconds must be a positive number.*not nan"),
    option("limit-memory foo", "--limit-memory", "foo", says=r"--limit-memory.*such as 500MB.*not 'foo'"),
    option("limit-memory 0", "--limit-memory", "0GB", says=r"--limit-memory.*such as 500MB.*not '0GB'"),
    *(
        option(f"{flag} {value:.9}", flag, value, says=says)
        for flag, says in {
            "--stored": r"stored must be a (whole )?number", "--damage": r"damage must be a number from 0 to 1",
            "--seeds": r"--seeds", "--jobs": r"--jobs", "--tune": r"--tune", "--limit-seconds": r"--limit-seconds",
            "--limit-memory": r"--limit-memory must be an amount",
        }.items()
        for value in ("1" + "0" * 40, "9" * 5000, "1e400", "inf", "-inf", "nan")
        if (flag, value) != ("--limit-memory", "1" + "0" * 40)  # more than there is: no limit
    ),
    *(
        option(f"{flag} {name}", flag, text, says=says)
        for flag in ("--data", "--out", "--store", "--figure", "--entry")
        for name, text, says in (
            ("too long", "x" * 5000 + ".npy:Mine", r"is no path: File name too long"),
            ("long folders", "long/" * 2000 + "x.npy:Mine", r"is no path: File name too long"),
            ("of nobody", "~nosuchuser/mine.npy:Mine", r"no user '~nosuchuser'"),
        )
    ),
    *(
        option(f"{flag:.9} of 5,000 letters", flag, "x" * 5000, says=r"[xy]{50}")
        for flag in ("--only", "--sweep", "--scale", "--device", "--backend", "--track", "--kind", "--" + "y" * 5000)
    ),
    option("device of another system", "--device", "mps", says=r"'mps' cannot be used \(.{10,120}\)\. Use --device cpu"),
    option("name with control characters", "--only", "\x1b[31mred\a\r", says=r"No method of recall"),
    option("figure of no picture", "--figure", "picture.txt", says=r"must end in .png, .svg, .pdf"),
    option("scale", "--scale", "lap", says=r"smoke, laptop, full, not 'lap'"),
    option("device", "--device", "tpu", says=r"cpu, or a GPU.*not 'tpu'"),
    option("device that is not there", "--device", "cuda:99", says=r"'cuda:99' cannot be used.*--device cpu"),
    option("sweep of nothing", "--sweep", "stored", says=r"--sweep must be OPTION=A,B,C.*not 'stored'"),
    option("sweep of no value", "--sweep", "stored=,", says=r"--sweep must be OPTION=A,B,C"),
    option("sweep of one value", "--sweep", "stored=5", says=r"two different values or more"),
    option("sweep of one value twice", "--sweep", "stored=5,5", says=r"two different values or more"),
    option("sweep of the unknown", "--sweep", "stord=5,6", says=r"'stord' to sweep.*mean.*stored.*It has"),
    option("sweep of the wrong kind", "--sweep", "stored=5,many", says=r"stored must be a whole number.*not 'many'"),
    option("sweep of what is set", "--sweep", "stored=5,6", "--stored", "7", says=r"stored is both set and swept"),
    option("sweep of what is measured", "--sweep", "values=binary,real", says=r"values changes what is measured"),
    option("two sweeps", "--sweep", "stored=5,6", "--sweep", "damage=0,0.1", says=r"--sweep is given 2 times"),
    # where things go
    option("report's ending", "--out", "report.pdf", says=r"\.html, not 'report\.pdf'.*--out"),
    option("report's folder", "--out", "nowhere/report.html", says=r"no folder nowhere.*--out"),
    option("report below a file", "--out", "empty.py/report.html", says=r"empty\.py.*--out"),
    option("store below a file", "--store", "/dev/null/x", says=r"/dev/null.*cannot be made.*--store FILE"),
    option("store is a folder", "--store", "a_folder", says=r"a_folder is a folder; name a file"),
    option("store is damaged", "--store", "damaged.sqlite", says=r"damaged\.sqlite.*was left as it is.*--store FILE"),
    option("store is a text", "--store", "text.sqlite", says=r"text\.sqlite.*--store FILE"),
    option("store of another program", "--store", "other.sqlite", says=r"other\.sqlite is not one of this version"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "code", "says"), REFUSED)
def test_refused_in_one_line(
    run: Callable[..., Run], wrong_files: Path, tmp_path: Path, argv: tuple[str, ...], code: int, says: str
) -> None:
    words = {"PLANNED": find(status="planned")[0].slug, "MORE": str(tmp_path / STORE)}
    (wrong_files / "report.html").unlink(missing_ok=True)  # of a case before that went wrong
    before = contents(wrong_files)
    got = run(*(words.get(word, word) for word in argv))
    assert got.code == code, got
    assert re.search(says, got.err), got.err
    assert got.err.startswith("replica: ")
    assert len(got.err.splitlines()) == 1
    assert len(got.err) < 700, "too long to read"
    assert "Traceback" not in got.err
    assert got.out == ""
    assert not (wrong_files / "report.html").exists()
    assert contents(wrong_files) == before
    assert trials(STORE) == 1


FAILED = [
    case("wrong shape", "shape.py:Short", code=1, says=r"recall returned shape \(\d+, 63\); wanted \(\d+, 64\)"),
    case("NaN", "nan.py:NotANumber", code=1, says=r"returned nan at cue \d+.*wanted finite"),
    case("None", "none.py:Nothing", code=1, says=r"recall.*None"),
    case("text", "list.py:Words", code=1, says=r"recall.*str"),
    case("raises", "fails.py:Fails", code=1, says=r"KeyError.*what I lack"),
    case("exits", "leaves.py:Leaves", code=1, says=r"SystemExit"),
    case("takes too long", "slow.py:Slow", "--limit-seconds", "0.5", code=1, says=r"0\.5 s"),
    case(
        "takes too much memory",
        "large.py:Large",
        "--limit-memory",
        "100MB",
        code=1,
        says=r"more than its limit of 95 MiB",
    ),
]


@pytest.mark.parametrize(("argv", "code", "says"), FAILED)
def test_a_failing_method_leaves_the_others_alone(
    run: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    report = tmp_path / "report.html"
    given, *limits = argv
    if given != FAILED[0].values[0][0]:  # the picture does not know why a method failed: one is enough
        monkeypatch.setattr(Comparison, "_svg", lambda *_: b"<svg/>")
    got = run(*ONE[:-1], str(report), "--stored", "5", "--cues", "10", "--store", str(tmp_path / STORE),
              "--entry", given, *limits)  # fmt: skip
    assert got.code == code, got
    plain = json.loads(got.out)
    sound, failed = plain["rows"]
    assert (sound["method"], sound["errors"]) == ("nearest-neighbour", 0)
    assert sound["metrics"]["exact"]["mean"] > 0.5
    assert (failed["method"], failed["errors"], failed["tied_with_best"]) == (given.split(":")[1], 1, False)
    (error,) = plain["errors"]
    assert re.search(says, error["error"]), error["error"]
    assert len(error["error"].splitlines()) == 1
    assert failed["method"] in report.read_text()
    assert trials(tmp_path / STORE) == 2


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        case("raises", "claim_raises.py", code=1, says=r"ZeroDivisionError.*by nought"),
        case("NaN", "claim_nan.py", code=1, says=r"'x' holds nan: not a finite number"),
        case("nothing", "claim_none.py", code=1, says=r"must return rows.*not None"),
    ],
)
def test_a_failing_claim_is_an_error(
    run: Callable[..., Run], tmp_path: Path, argv: tuple[str, ...], code: int, says: str
) -> None:
    got = run(*VERIFY[:-1], str(tmp_path / STORE), *argv, "--scale", "laptop", "--seeds", "2")
    assert got.code == code, got
    (paper,) = json.loads(got.out)
    (claim,) = paper["claims"]
    assert claim["verdict"] == "error"
    assert re.search(says, claim["errors"][0]["error"]), claim["errors"]


def test_no_space_on_the_disk(run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, path = str(tmp_path / "small.sqlite"), str(tmp_path / STORE)
    argv = (*ONE[:-1], str(tmp_path / "report.html"), "--stored", "5")
    assert run(*argv, "--store", small).code == 0
    with sqlite3.connect(small) as whole:
        whole.execute("VACUUM INTO ?", (path,))  # a run keeps its store open: another file is opened anew
    whole.close()
    before = trials(path)
    connect = sqlite3.connect

    def cramped(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.execute("PRAGMA max_page_count = 1")  # SQLite takes the size that the file has already
        return connection

    monkeypatch.setattr(sqlite3, "connect", cramped)
    got = run(*argv, "--seeds", "50", "--store", path)
    monkeypatch.undo()
    assert (got.code, got.out) == (2, "")
    assert re.fullmatch(
        r"replica: The store .* cannot be used \(database or disk is full\)\. .*free some room.*\n", got.err
    )
    assert 1 <= before <= trials(path) < 50


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        case("command", "frobnicate", says=r"No such command 'frobnicate'"),
        case("paper", "show", "hopfild", "--json", says=r"mean.*hopfield"),
        case("paper's file", *VERIFY, "prints.py", says=r"prints\.py cannot be imported: ImportError: no"),
    ],
)
def test_in_a_process_of_its_own(wrong_files: Path, argv: tuple[str, ...], code: int, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "replica", *argv],
        cwd=wrong_files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done
    *before, last = done.stderr.splitlines()
    assert re.search(says, last), done.stderr
    assert before == (["a word of the user's"] if "prints.py" in argv else [])
    assert done.stdout == ""
