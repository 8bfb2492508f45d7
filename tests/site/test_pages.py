"""The pages' texts, before Sphinx reads them."""

import dataclasses

import matplotlib as mpl
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from docs.generate.figures import _lighten, claim_figure
from docs.generate.markdown import badge, docstring, text
from docs.generate.papers import _code, _measures
from docs.generate.parts import Part, contents, parts
from docs.generate.source import Source
from docs.generate.wings import TITLES, cards
from replica.lab.catalogue import WINGS, read_evidence, record, recorded_rows, records
from replica.lab.claims.registration import read_registrations
from replica.lab.report.style import theme
from replica.lab.runner.job import load_paper


def test_text_is_never_markup():
    markdown_it = pytest.importorskip("markdown_it")
    for hostile in (
        "a|b *c* _d_ `e` [f](g) <b>h</b>",
        "{ref}`x`",
        "# no title",
        "$x$ ~y~ ^z^ a\nb",
        "&amp; 1\\2",
        "{{ x }}",
    ):
        html = markdown_it.MarkdownIt().render(f"| {text(hostile)} |\n|---|\n").replace("<p>", "").replace("</p>", "")
        assert "<b>" not in html
        assert "<em>" not in html
        assert "<code>" not in html
        assert "<a " not in html
    assert "\n" not in text("a\nb")


def test_docstrings_keep_their_code():
    assert docstring("Steps `x_t` of ``n`` a_b") == r"Steps `x_t` of `n` a\_b"


def test_verdicts_are_words_and_colours():
    assert badge("fails", 3) == '<span class="verdict fails">✗ 3 fails</span>'
    assert "not built yet" in badge("planned")


def test_every_wing_has_a_title_and_all_its_papers():
    assert set(TITLES) == set(WINGS)
    assert sum(len(card["papers"]) for card in cards()) == len(records())


def test_contents_are_the_wings_own():
    import replica.memory

    assert {part.name for part in parts("memory")} == set(replica.memory.__all__)
    assert all(heading for heading, _ in contents("memory"))
    assert contents("brain") == ()
    assert Part("memory", "ModernHopfield").kind == "class"
    assert Part("memory", "storage_bound").kind == "function"


@pytest.mark.parametrize("slug", [slug for slug, known in records().items() if known.status == "built"])
def test_the_code_of_a_built_paper_runs(slug):
    from replica.lab.cli.show import exports

    known = record(slug)
    names = exports(known.wing, known.module)
    used = [part for part in parts(known.wing) if part.name in names]
    assert used
    assert all(part.summary for part in used)
    code = _code(known, used)
    assert f"from replica.{known.wing} import" in code
    exec(compile(code, slug, "exec"), {})


def test_the_papers_figure_stands_beside_ours(tmp_path):
    (tmp_path / "toy.toml").write_text(
        '[small]\nsentence = "Small."\nregistered = 2026-11-29\nsetting = "own"\nexpect.error = "below 1"\n'
        'smallest.error = 0.1\ngates.control = "above 2"\nreported.error = { value = 0.52, where = "Table 2" }\n'
    )
    said = read_registrations(tmp_path / "toy.toml").claims["small"]
    measured = {"mean": 0.5, "low": 0.4, "high": 0.6}
    ours = {"ours": "0.5", "span": "0.4 – 0.6"}
    assert _measures({"measured": {"control": measured, "error": measured}}, said) == [
        {"name": "error", **ours, "bound": "below 1; no effect within ±0.1", "theirs": "0.52", "where": "Table 2"},
        {"name": "control", **ours, "bound": "above 2 (control)", "theirs": "", "where": ""},
    ]


def test_what_was_not_written_again_goes(tmp_path):
    for names in (("a.md", "old/b.md"), ("a.md",)):
        source = Source(tmp_path)
        for name in names:
            source.write(name, name)
        before = (tmp_path / "a.md").stat().st_mtime_ns
        source.finish()
    assert [path.name for path in tmp_path.rglob("*")] == ["a.md"]
    Source(tmp_path).write("a.md", "a.md")
    assert (tmp_path / "a.md").stat().st_mtime_ns == before, "an unchanged page keeps its time"


def test_black_lines_are_seen_on_a_dark_page():
    with theme("dark"):
        figure = Figure()
        axes = figure.add_subplot()
        (black,) = axes.plot([0, 1], color="black", label="theory")
        (blue,) = axes.plot([0, 1], color="tab:blue")
        axes.legend()
        _lighten(figure)
        assert same_color(black.get_color(), mpl.rcParams["text.color"])
        assert same_color(axes.get_legend().get_lines()[0].get_color(), mpl.rcParams["text.color"])
        assert same_color(blue.get_color(), "tab:blue")


def test_a_figure_is_drawn_once_for_the_same_numbers_and_again_for_others(tmp_path):
    known = record("hopfield")
    evidence = read_evidence(known)
    recorded = evidence["claims"][0]
    claim = load_paper(known.module).claims[recorded["name"]]
    rows = recorded_rows(evidence, recorded)
    drawn = claim_figure(Source(tmp_path), known, claim, rows)
    assert set(drawn) == {"light", "dark"}
    first = {name: (tmp_path / file).stat().st_mtime_ns for name, file in drawn.items()}
    again = claim_figure(Source(tmp_path), known, claim, rows)
    assert {name: (tmp_path / file).stat().st_mtime_ns for name, file in again.items()} == first
    fewer = {name: values[:-1] for name, values in rows.items()}
    assert claim_figure(Source(tmp_path), known, claim, fewer) != drawn
    assert claim_figure(Source(tmp_path), known, dataclasses.replace(claim, draw=None), rows) is None
