"""What the guides tell a reader to type is there, and their code runs."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import typer

from replica.lab.cli.main import app, main
from replica.lab.problems.registry import get, names

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs" / "site" / "guides").glob("*.md"))


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.M | re.S)


def commands(path: Path) -> list[list[str]]:
    """Every `replica ...` of a guide, in its console blocks and its inline code."""
    found = [line[2:] for block in blocks(path, "console") for line in block.splitlines() if line.startswith("$ ")]
    found += re.findall(r"`(replica [^`]+)`", path.read_text())
    return [shlex.split(line) for line in found if line.startswith("replica ")]


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_commands_and_their_options_exist(path):
    known = typer.main.get_command(app).commands
    for _, command, *words in commands(path):
        assert command in known
        options = {name for parameter in known[command].params for name in parameter.opts} | {"--help"}
        if command == "compare" and words:
            assert words[0] in names()
            options |= {"--" + option.name.replace("_", "-") for option in get(words[0]).options}
        given = {word.split("=")[0] for word in words if word.startswith("--")}
        assert given <= options, f"{path.name}: replica {command} has no {given - options}"


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_make_targets_exist(path):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\$ make ([\w-]+)", path.read_text())) <= targets


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_python_is_python(path):
    for code in blocks(path, "python"):
        compile(code, path.name, "exec")


def test_the_part_of_the_guide_runs(capsys):
    (code,) = blocks(ROOT / "docs" / "site" / "guides" / "use-a-part.md", "python")
    exec(compile(code, "use-a-part.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip() == re.search(r"# (torch\.Size.*)", code)[1]


def test_the_claim_of_the_guide_is_judged(tmp_path, monkeypatch, capsys):
    guide = ROOT / "docs" / "site" / "guides" / "test-a-claim.md"
    for language, name in (("toml", "my_paper.toml"), ("python", "my_paper.py")):
        (text,) = blocks(guide, language)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["replica", "verify", "my_paper.py", "--jobs", "1", "--store", "store.sqlite"])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    assert not stop.value.code, said.err
    assert "holds" in said.out
