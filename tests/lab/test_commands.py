"""The commands as people and programs use them: help, JSON, what they import, comparisons on the user's own things."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from replica.lab.catalogue import record
from replica.lab.catalogue.evidence import VERDICTS
from replica.lab.cli.doctor import GPU_FILES
from replica.lab.cli.main import main
from replica.lab.cli.papers import _titled
from replica.lab.cli.show import exports
from replica.lab.problems.registry import get
from replica.lab.report import Comparison
from replica.lab.runner import progress
from replica.lab.runner.participants import participants
from tests.lab.toy_papers import write_paper

COMMANDS = ("compare", "verify", "papers", "show", "problems", "doctor")
EXACT = ("exact", "overlap", "memory_bytes")  # the metrics that measure no time
PAPER_KEYS = {"slug", "title", "wing", "year", "url", "code", "status", "verdicts"}
SHOW_KEYS = PAPER_KEYS | {"idea", "part", "problems", "departures", "claims"}
CLAIM_KEYS = {"sentence", "verdict", "expect", "measured", "reported", "scale", "seeds", "seconds", "stale"}
ROW_KEYS = {"method", "paper", "metrics", "seconds", "peak_bytes", "errors", "tied_with_best"}

MINE = '''
class Blend:
    """Softmax attention over what is stored."""

    def store(self, patterns):
        self.patterns = patterns

    def recall(self, cues):
        return (cues @ self.patterns.T * {beta}).softmax(dim=-1) @ self.patterns


def make():
    print("a method that talks")
    return Blend()
'''

PAPER = """
from replica.lab.claims import Paper, Proportion

paper = Paper("mine")


def draws(trial):
    return {"value": trial.rng("values").random(100)}


@paper.claim(draws, figure=lambda axes, table: axes.plot(table["value"], "o"))
def small(table):
    return {"draw": table["value"].mean(), "share": Proportion(int((table["value"] > 0.5).sum()), 100)}


@paper.claim(draws, figure=lambda axes, table: axes.plot(table["value"], "o"))
def huge(table):
    return {"draw": table["value"].mean()}
"""
REGISTERED = {
    "small": 'expect.draw = "below 1"\nreported.draw = { value = 0.5, where = "Table 1" }',
    "huge": 'expect.draw = "above 2"\nwhy = "They lie in [0, 1]: {draw:.1f}."',
}


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


Replica = Callable[..., Done]


@pytest.fixture
def replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Replica:
    """The real command in this process, with its exit code and its two streams, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["replica", *map(str, arguments)])
        monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # else help speaks of python -m pytest
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        return Done(int(stop.value.code or 0), *capfd.readouterr())

    return run


@pytest.fixture
def compare(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> Replica:
    """A small comparison in the folder's own store; its report has a picture only if that is asked for."""
    draw = Comparison._svg

    def run(*arguments: object, jobs: int = 1, store: str = "store.db", drawn: bool = False) -> Done:
        monkeypatch.setattr(Comparison, "_svg", draw if drawn else lambda *_: b"<svg/>")
        return replica(
            "compare", "recall", "--scale", "smoke", "--jobs", jobs, "--store", store, "--cues", 10, *arguments
        )

    return run


CHEAP = ("--only", "nearest-neighbour", "--only", "random-guess", "--stored", 5)


def exact(comparison: dict[str, Any]) -> dict[str, Any]:
    """What must be the same in every run: all but times."""
    return {row["method"]: {name: row["metrics"][name] for name in EXACT} for row in comparison["rows"]}


# --- Help and usage


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help_with_an_example(replica: Replica, command: str, flag: str) -> None:
    done = replica(command, flag)
    assert (done.code, done.err) == (0, "")
    assert f"Usage: replica {command}" in done.out
    assert re.search(rf"Examples?: (.|\n)*replica\s+{command}", done.out)
    assert "[bold]" not in done.out
    for line in done.out.splitlines():
        assert len(line) <= 120


def test_help_names_all_commands(replica: Replica) -> None:
    done = replica("--help")
    assert done.code == 0
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", done.out)
    assert "replica compare recall" in done.out


def test_alone_it_helps(replica: Replica) -> None:
    done = replica()
    assert done.code == 0
    assert "Usage" in done.out


def test_version(replica: Replica) -> None:
    import replica as package

    assert replica("--version") == Done(0, f"replica {package.__version__}\n", "")


# --- What is imported


def imported(*arguments: str) -> set[str]:
    """The modules that are loaded at the end of a command, in a process of its own."""
    program = (
        "import sys\n"
        "try:\n"
        "    from replica.lab.cli import main; main()\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "finally:\n"
        "    print(*sys.modules, sep='\\n', file=sys.stderr)\n"
        if arguments
        else "import replica, sys; print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


HEAVY = {"torch", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "rich.table", "joblib", "optuna"}


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        ((), HEAVY | {"typer"}),
        (("--help",), HEAVY - {"rich.table"}),
        (("compare", "--help"), HEAVY - {"rich.table"}),
        (("--version",), HEAVY),
        (("papers",), HEAVY),
        (("papers", "hopfield", "--wing", "memory"), HEAVY),
        (("papers", "--json"), HEAVY),
        (("show", "hopfield", "--bibtex"), HEAVY),
        (("doctor",), HEAVY - {"rich.table"} - ({"torch"} if any(map(os.path.exists, GPU_FILES)) else set())),
    ],
    ids=lambda value: " ".join(value) or "import replica" if isinstance(value, tuple) else "",
)
def test_quick_commands_import_nothing_heavy(arguments: tuple[str, ...], unwanted: set[str]) -> None:
    assert not unwanted & imported(*arguments)


# --- JSON


def test_papers_json(replica: Replica) -> None:
    found = replica("papers", "--json").json
    assert len(found) == 229
    for paper in found:
        assert set(paper) == PAPER_KEYS
        assert tuple(paper["verdicts"]) == VERDICTS
    assert [p["slug"] for p in replica("papers", "ramsauer", "--json").json] == ["hopfield"]
    assert replica("papers", "zzzz", "--json").json == []
    built = replica("papers", "--status", "built", "--json").json
    assert {"hopfield", "dense_hebbian"} <= {paper["slug"] for paper in built}
    assert [paper["slug"] for paper in found[: len(built)]] == [paper["slug"] for paper in built], "built ones first"


def test_papers_for_people(replica: Replica) -> None:
    done = replica("papers", "hopfield")
    lines = done.out.splitlines()
    assert lines[0].startswith("hopfield ")
    assert lines[0].endswith("Hopfield Networks is All You Need")
    assert "replica show SLUG" in lines[-1]
    assert "not built yet" in replica("papers", "--status", "planned").out
    nothing = replica("papers", "zzzz")
    assert (nothing.code, nothing.out.count("\n")) == (0, 1)
    assert "There are 229" in nothing.out


def test_a_log_has_a_line_for_each_method_and_json_is_alone(compare: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    said = compare(*CHEAP).err
    for method in ("nearest-neighbour", "random-guess"):
        assert re.search(rf"^{method}: exact recall .* a trial$", said, re.MULTILINE)
    assert "exact recall" not in compare(*CHEAP, "--json").err


@pytest.mark.parametrize("width", [40, 80, 140])
def test_papers_show_whole_titles_within_the_terminal(width: int) -> None:
    start, title = "hopfield  2020  memory  3 holds  ", " ".join(["Memories"] * 20)
    lines = _titled(start, title, width).splitlines()
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()) == f"{' '.join(start.split())} {title}"
    assert _titled(start, title, sys.maxsize) == start + title, "a program gets one line a paper"


def test_show_json(replica: Replica) -> None:
    card = replica("show", "hopfield", "--json").json
    assert set(card) >= SHOW_KEYS
    assert card["claims"]
    for claim in card["claims"]:
        assert set(claim) >= CLAIM_KEYS
        assert claim["verdict"] in VERDICTS
        assert set(claim["measured"]) >= set(claim["expect"])
        for measured in claim["measured"].values():
            assert {"mean", "low", "high"} <= set(measured)
            assert measured["low"] <= measured["mean"] <= measured["high"]
    assert sum(card["verdicts"].values()) == len(card["claims"])


def test_show_of_a_paper_that_is_not_built(replica: Replica) -> None:
    planned = replica("papers", "--status", "planned", "--json").json[0]["slug"]
    card = replica("show", planned, "--json").json
    assert set(card) >= SHOW_KEYS
    assert (card["status"], card["claims"], card["departures"]) == ("planned", [], [])
    done = replica("show", planned)
    assert done.code == 0
    assert "not built yet" in done.out


@pytest.mark.parametrize(
    ("slug", "first"),
    [("spike_delays", "DelayedLinear"), ("momentum_auxiliary", "MomentumAuxiliary"), ("hopfield", "ModernHopfield")],
)
def test_show_names_a_papers_own_parts_first(replica: Replica, slug: str, first: str) -> None:
    known = record(slug)
    assert exports(known.wing, known.module)[0] == first


@pytest.mark.parametrize(
    ("slug", "names"),
    [
        ("hopfield", {"HopfieldPooling", "HopfieldLookup", "HopfieldAssociation", "Retrieval", "storage_bound"}),
        ("auglocal", {"AugLocal", "selected_layers", "tapered_depths"}),
        ("multitasking_hebbian", {"MultitaskingMemory", "parallel_overlap", "critical_dilution"}),
        ("hopular", {"HopularClassifier", "HopularRegressor", "Hopular", "Lamb"}),
    ],
)
def test_show_names_all_parts_of_a_paper_and_no_other_s(replica: Replica, slug: str, names: set[str]) -> None:
    known = record(slug)
    found = exports(known.wing, known.module)
    assert names <= set(found)
    assert all(name in replica("show", slug).out for name in names)
    for other in {"hopfield", "hopular", "multitasking_hebbian"} - {slug}:
        assert exports("memory", record(other).module)[0] not in found


def test_show_for_people(replica: Replica) -> None:
    done = replica("show", "hopfield")
    assert done.code == 0
    for wanted in ("Hopfield Networks is All You Need", "from replica.memory import", "must be", "holds", "differs"):
        assert wanted in done.out
    assert replica("show", "hopfield", "--bibtex").out.startswith("@article{ramsauer2020hopfield,")


def test_show_draws_the_recorded_figures(replica: Replica, tmp_path: Path) -> None:
    done = replica("show", "multitasking_hebbian", "--json", "--figure", "figure.svg")
    assert done.json["slug"] == "multitasking_hebbian"
    assert (tmp_path / "figure.svg").read_bytes().startswith(b"<?xml")


def test_problems_json(replica: Replica) -> None:
    every, (recall,) = replica("problems", "--json").json, replica("problems", "recall", "--json").json
    assert recall in every
    assert {"digits", "mnist"} == set(recall["data"])
    assert {option["name"] for option in recall["options"]} == {
        *("stored", "kind", "damage", "values", "cues", "drop", "keep", "colour")
    }
    assert {"nearest-neighbour", "random-guess"} <= {baseline["name"] for baseline in recall["baselines"]}
    assert "hopfield" in recall["papers"]
    done = replica("problems", "recall")
    for option in recall["options"]:
        assert f"--{option['name']}" in done.out


def test_doctor_json(replica: Replica, tmp_path: Path) -> None:
    checks = replica("doctor", "--json", "--store", "new.db").json
    assert all(set(check) == {"name", "state", "text"} for check in checks)
    assert {check["state"] for check in checks} <= {"ok", "note"}
    assert {"replica", "python", "torch", "store", "evidence"} <= {check["name"] for check in checks}
    assert not list(tmp_path.iterdir()), "looking must make nothing"


def test_doctor_finds_a_damaged_store(replica: Replica, tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no store at all, but some text " * 100)
    done = replica("doctor", "--json", "--store", "store.db")
    assert (done.code, done.err) == (1, "")
    assert [check["name"] for check in json.loads(done.out) if check["state"] == "problem"] == ["store"]


# --- Verify


def test_verify_json_of_a_paper(replica: Replica) -> None:
    done = replica(
        "verify", "hopfield", "--claim", "one_update", "--scale", "smoke", "--jobs", 1, "--store", "s.db", "--json"
    )
    (paper,) = done.json
    assert set(paper) == {"slug", "claims"}
    (claim,) = paper["claims"]
    assert set(claim) >= CLAIM_KEYS
    assert (claim["verdict"], claim["scale"], claim["seeds"]) == (None, "smoke", 1)
    assert claim["stale"] is False


def test_verify_the_user_s_own_paper_file(replica: Replica, tmp_path: Path) -> None:
    write_paper(tmp_path / "mine.py", PAPER, **REGISTERED)
    arguments = ("verify", "mine.py", "--jobs", 1, "--store", "s.db", "--figure", "figure.png")
    (paper,) = replica(*arguments, "--json").json
    assert paper["slug"] == "mine"
    small, huge = paper["claims"]
    assert (small["verdict"], huge["verdict"]) == ("holds", "fails")
    assert small["seeds"] == 5
    assert small["reported"] == {"draw": {"value": 0.5, "where": "Table 1"}}
    assert small["measured"]["draw"]["low"] < 0.5 < small["measured"]["draw"]["high"]
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert replica("verify", "mine.py", "--jobs", 1, "--store", "s.db", "--figure", "figure.pdf").code == 0
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
    done = replica(*arguments)
    assert done.code == 0, "a claim that fails is an answer, not a fault"
    for wanted in ("It is so.", "holds", "below 1", "0.5 (Table 1)", "fails", "[0, 1]: 0.5"):
        assert wanted in done.out


# --- Compare


def test_compare_json(compare: Replica, tmp_path: Path) -> None:
    done = compare(*CHEAP, "--only", "modern-hopfield", "--only", "hopfield-hebb", "--seeds", 2, "--json", drawn=True)
    comparison = done.json
    assert set(comparison) >= {"problem", "data", "seeds", "scale", "rows", "report"}
    assert [comparison[key] for key in ("problem", "data", "seeds", "scale")] == ["recall", "digits", 2, "smoke"]
    assert comparison["options"]["stored"] == 5
    assert comparison["sweep"] is None
    assert len(comparison["rows"]) == 4
    for row in comparison["rows"]:
        assert set(row) == ROW_KEYS
        assert list(row["metrics"]) == ["exact", "overlap", "recall_seconds", "memory_bytes"]
        for metric in row["metrics"].values():
            assert set(metric) == {"mean", "low", "high", "unit", "better"}
        assert row["errors"] == 0
        assert row["seconds"] > 0
    papers = {row["method"]: row["paper"] for row in comparison["rows"]}
    assert papers["modern-hopfield"] == "hopfield"
    assert papers["nearest-neighbour"] is None
    means = [row["metrics"]["exact"]["mean"] for row in comparison["rows"]]
    assert means == sorted(means, reverse=True)
    assert comparison["rows"][0]["tied_with_best"]
    report = (tmp_path / comparison["report"]).read_text(encoding="utf-8")
    assert report.lower().startswith("<!doctype html>")


def test_the_same_command_twice_reruns_nothing(compare: Replica) -> None:
    first = compare(*CHEAP, "--json").json
    again = compare(*CHEAP, "--json").json
    assert again == first, "all of it from the store, times as well"
    elsewhere = compare(*CHEAP, "--json", store="other.db").json
    assert exact(elsewhere) == exact(first), "bit for bit, from nothing"


def test_more_seeds_keep_the_trials_that_are_there(compare: Replica, tmp_path: Path) -> None:
    import sqlite3

    def trials() -> dict[str, float]:
        with sqlite3.connect(tmp_path / "store.db") as connection:
            return dict(connection.execute("SELECT key, seconds FROM trials"))

    compare(*CHEAP)
    before = trials()
    compare(*CHEAP, "--seeds", 3)
    after = trials()
    assert (len(before), len(after)) == (2, 6)
    assert before.items() <= after.items()


def test_a_store_of_one_name_in_two_folders_is_two_stores(
    compare: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(*CHEAP)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert compare(*CHEAP).code == 0
    assert (tmp_path / "elsewhere/store.db").exists()


def test_one_process_and_two_agree(compare: Replica, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE.format(beta=2))
    arguments = (*CHEAP, "--only", "hopfield-hebb", "--entry", "mine.py:make", "--json")
    alone = compare(*arguments, jobs=1).json
    done = compare(*arguments, jobs=2, store="other.db")
    assert exact(done.json) == exact(alone)
    assert done.json["output"] == alone["output"]


def test_sweep(compare: Replica) -> None:
    comparison = compare("--only", "nearest-neighbour", "--sweep", "damage=0,0.5", "--stored", 5, "--json").json
    assert comparison["sweep"] == {"option": "damage", "values": [0, 0.5]}
    curve = {point["value"]: point["mean"] for point in comparison["curves"] if point["metric"] == "exact"}
    assert curve[0] == 1 > curve[0.5]
    assert comparison["rows"][0]["metrics"]["exact"]["mean"] == pytest.approx((curve[0] + curve[0.5]) / 2)


def test_for_people_it_ends_in_a_table(compare: Replica, tmp_path: Path) -> None:
    done = compare(*CHEAP, "--out", "answer.html", "--figure", "picture.png", drawn=True)
    assert done.code == 0
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    for wanted in ("Which memory", "nearest-neighbour", "random-guess", "Best by exact recall", "Report: answer.html"):
        assert wanted in done.out
    assert (tmp_path / "answer.html").stat().st_size < 1_000_000
    assert not (tmp_path / "replica-recall.html").exists()


def save_npy(values: np.ndarray, folder: Path) -> Path:
    np.save(folder / "mine.npy", values)
    return folder / "mine.npy"


def save_npz(values: np.ndarray, folder: Path) -> Path:
    np.savez(folder / "mine.npz", patterns=values, labels=np.arange(len(values)))
    return folder / "mine.npz"


def save_csv(values: np.ndarray, folder: Path) -> Path:
    pd.DataFrame(values).to_csv(folder / "mine.csv", index=False)
    return folder / "mine.csv"


def save_tsv(values: np.ndarray, folder: Path) -> Path:
    np.savetxt(folder / "mine.tsv", values, delimiter="\t", fmt="%d")
    return folder / "mine.tsv"


def save_parquet(values: np.ndarray, folder: Path) -> Path:
    pd.DataFrame(values, columns=[f"pixel {i}" for i in range(values.shape[1])]).to_parquet(folder / "mine.parquet")
    return folder / "mine.parquet"


def save_images(values: np.ndarray, folder: Path) -> Path:
    (folder / "mine").mkdir()
    for i, row in enumerate(values):
        Image.fromarray(row.reshape(5, 8).astype(np.uint8)).save(folder / f"mine/{i:02}.png")
    return folder / "mine"


@pytest.mark.parametrize("save", [save_npy, save_npz, save_csv, save_tsv, save_parquet, save_images])
def test_the_user_s_own_data(compare: Replica, tmp_path: Path, save: Callable[[np.ndarray, Path], Path]) -> None:
    values = 255 * np.random.default_rng(0).integers(0, 2, (12, 40))
    path = save(values, tmp_path)
    comparison = compare("--data", path.name, *CHEAP, "--json", drawn=path.is_dir()).json
    assert comparison["data"] == path.name
    assert comparison["report"] == "replica-recall-mine.html"
    found = exact(comparison)["nearest-neighbour"]
    assert found["exact"]["mean"] == 1, "random patterns of 40 values, a tenth of them flipped"
    assert found["memory_bytes"]["mean"] == 5 * 40 * 4 + 5 * 4


def test_changed_data_is_measured_again(compare: Replica, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arguments = ("--data", "mine.npy", "--only", "random-guess", "--stored", 10, "--json")
    np.save(tmp_path / "mine.npy", rng.integers(0, 2, (20, 40)))
    first = compare(*arguments).json
    np.save(tmp_path / "mine.npy", rng.integers(0, 2, (20, 40)))
    assert exact(compare(*arguments).json) != exact(first)


@pytest.mark.parametrize("name", ["Blend", "make"])
def test_the_user_s_own_method(compare: Replica, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.py").write_text(MINE.format(beta=2))
    done = compare("--entry", f"mine.py:{name}", *CHEAP, "--json")
    rows = {row["method"]: row for row in done.json["rows"]}
    assert set(rows) == {name, "nearest-neighbour", "random-guess"}
    assert rows[name]["paper"] is None
    assert rows[name]["metrics"]["exact"]["mean"] == rows["nearest-neighbour"]["metrics"]["exact"]["mean"]
    assert ("talks" in done.json["output"].get(name, "")) == (name == "make"), "what a method prints is in its row"
    assert "talks" not in done.err


def test_what_a_file_prints_as_it_is_imported_is_no_output_of_ours(compare: Replica, tmp_path: Path) -> None:
    (tmp_path / "prints.py").write_text("import os\nos.system('echo a word')\nraise ImportError('no')\n")
    done = compare(*CHEAP, "--entry", "prints.py:Mine", "--json")
    assert (done.code, done.out) == (2, "")
    word, ours = done.err.splitlines()
    assert word == "a word"
    assert re.fullmatch(r"replica: .*prints\.py cannot be imported: ImportError: no\.?", ours)


def test_a_changed_method_is_measured_again_and_the_others_are_not(compare: Replica, tmp_path: Path) -> None:
    arguments = ("--entry", "mine.py:Blend", *CHEAP, "--json")
    (tmp_path / "mine.py").write_text(MINE.format(beta=2))
    first = {row["method"]: row for row in compare(*arguments).json["rows"]}
    (tmp_path / "mine.py").write_text(MINE.format(beta=0))
    second = {row["method"]: row for row in compare(*arguments).json["rows"]}
    assert second["Blend"]["metrics"]["exact"]["mean"] < first["Blend"]["metrics"]["exact"]["mean"]
    assert second["nearest-neighbour"] == first["nearest-neighbour"]


@pytest.mark.parametrize("order", [("recall", "--stored", "5"), ("--stored", "5", "recall"), ("--stored=5", "recall")])
def test_options_of_the_problem_in_any_order(replica: Replica, order: tuple[str, ...]) -> None:
    rest = ("--only", "nearest-neighbour", "--scale", "smoke", "--jobs", 1, "--store", "s.db", "--cues=10", "--json")
    options = replica("compare", *order, *rest).json["options"]
    assert (options["stored"], options["cues"]) == (5, 10)


def test_real_patterns_have_a_psnr_and_leave_binary_methods_out(compare: Replica) -> None:
    comparison = compare(
        "--values", "real", "--kind", "gaussian", "--only", "nearest-neighbour", "--stored", 5, "--json", drawn=True
    ).json
    assert list(comparison["rows"][0]["metrics"]) == ["exact", "psnr", "recall_seconds", "memory_bytes"]
    assert comparison["left_out"] == {}, "who chooses methods knows that others are left out"
    recall = get("recall")
    _, left_out = participants(recall, recall.resolve({"values": "real", "kind": "gaussian"}), (), ())
    assert left_out["hopfield-hebb"] == "needs values to be binary"
