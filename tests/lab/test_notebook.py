"""What a notebook shows of a comparison and of verdicts, and methods and rows as they come."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

import replica
from replica.errors import ReplicaError
from replica.lab.report import Comparison
from replica.lab.report.claim_figures import _wrapped
from replica.lab.runner.compare import run_comparison
from replica.lab.runner.settings import Settings
from replica.lab.runner.store import Row, Store
from tests.lab.toy_papers import write_paper

NASTY = "<script>alert(1)</script>"
LONG = (
    "It accommodates Dirichlet, Neumann and periodic boundary conditions: by what its convolutions see beyond the grid."
)
PAPER = """
from replica.lab.claims import Paper
paper = Paper("toy")

def draws(trial):
    return {"value": trial.rng("values").random(100)}

@paper.claim(draws, figure=lambda axes, table: axes.plot(table["value"], "o"))
def small(table):
    return {"draw": table["value"].mean()}
"""


class Words(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


class Nearest(KNeighborsClassifier):
    """A method of the user's."""


def compared(store: Path, entries: dict[str, Any], **more: Any) -> Comparison:
    options: dict[str, Any] = {
        "only": ["majority"],
        "scale": "smoke",
        "workers": 1,
        "quiet": True,
        "data": "wine",
    } | more
    return replica.compare("classification", entries=entries, store=store, **options)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compared(tmp_path_factory.mktemp("store") / "s.db", {NASTY: SVC(C=3), "near": Nearest(3)})


def test_a_comparison_shows_its_table_and_picture(comparison: Comparison) -> None:
    page = Words(comparison._repr_html_())
    tags = [tag for tag, _ in page.elements]
    assert tags.count("tr") == 1 + 3
    assert "script" not in tags
    assert NASTY in page.text
    assert comparison.answer in page.text
    assert all(f"{row['accuracy']:.3g}" in page.text for _, row in comparison.table.iterrows())
    (image,) = (attributes for tag, attributes in page.elements if tag == "img")
    assert str(image["src"]).startswith("data:image/png;base64,")
    assert not re.search(r"(?<!-)\bcolor:|background", comparison._repr_html_()), (
        "in the page's own colours, light or dark"
    )


def test_a_figure_shows_itself_without_pyplot(comparison: Comparison) -> None:
    figure = comparison.figure()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert figure.canvas.manager is None


def test_a_verdict_shows_its_measures_and_figure(tmp_path: Path) -> None:
    file = write_paper(
        tmp_path / "toy.py",
        PAPER,
        small=f'expect.draw = "below 1"\nreported.draw = {{ value = "{NASTY}", where = "" }}',
    )
    verdicts = replica.verify(str(file), seeds=3, store=tmp_path / "s.db", workers=1, quiet=True)
    page = Words(verdicts._repr_html_())
    tags = [tag for tag, _ in page.elements]
    assert (tags.count("table"), tags.count("img"), tags.count("script")) == (1, 1, 0)
    assert all(words in page.text for words in ("✓ holds", "below 1", "draw", NASTY))
    assert repr(verdicts) == "[<toy: small holds>]"
    figure = verdicts[0].figure()
    assert figure is not None
    (axes,) = figure.axes
    axes.set_title(_wrapped(LONG))
    axes.set_ylim(-1e-7, 1e-7)
    figure.draw_without_rendering()
    assert axes.get_tightbbox().x1 <= figure.bbox.x1, "no title is cut off"


def test_a_representation_is_one_short_line(comparison: Comparison) -> None:
    assert re.fullmatch(r"<Comparison on classification, 3 methods\. Best by accuracy.*>", repr(comparison))
    assert len(repr(comparison)) < 250


def test_an_object_is_a_method_of_which_each_trial_gets_a_copy(comparison: Comparison, tmp_path: Path) -> None:
    assert not comparison.results.errors
    given = Nearest(3).fit([[0.0], [1.0], [2.0]], [0, 1, 1])
    again = compared(tmp_path / "s.db", {"near": given})
    assert again.table.loc["near", "accuracy"] == comparison.table.loc["near", "accuracy"]
    assert given.n_features_in_ == 1, "the object itself stays as it was"
    other = compared(tmp_path / "s.db", {"near": Nearest(100)})
    assert other.table.loc["near", "accuracy"] < again.table.loc["near", "accuracy"], "what it holds counts"
    with Store(tmp_path / "s.db") as store:
        compared(tmp_path / "s.db", {"near": Nearest(3)})
        assert store.count() == 3, "equal objects are measured once"


def test_an_object_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ReplicaError, match=r"Entry odd is of type dict\. It must be a class, a function .* or an object"
    ):
        compared(tmp_path / "s.db", {"odd": {}})


def test_rows_come_as_methods_finish_and_cheap_ones_first(tmp_path: Path) -> None:
    seen: list[tuple[str, list[str]]] = []

    def show(results: Any, method: str) -> tuple[str, str]:
        seen.append((method, [result.method.name for result in results.methods]))
        return "", ""

    def run(cues: int) -> list[str]:
        seen.clear()
        only = ["hopfield-hebb", "nearest-neighbour", "random-guess"]
        options: dict[str, Any] = {"stored": 5, "cues": cues}
        settings = Settings(scale="smoke", workers=1, quiet=True, store=tmp_path / "s.db")
        results = run_comparison("recall", options=options, only=only, settings=settings, show=show)
        assert [len(known) for _, known in seen] == [1, 2, 3]
        assert seen[-1][1] == [result.method.name for result in results.methods]
        return [method for method, _ in seen]

    assert run(5) == ["random-guess", "nearest-neighbour", "hopfield-hebb"], "as recorded with Replica"
    with Store(tmp_path / "s.db") as store:
        store.write(
            Row(
                key="elsewhere",
                subject="recall/random-guess",
                seed=0,
                what={},
                seconds=9.0,
                peak_bytes=None,
                machine={},
            )
        )
    assert run(6)[-1] == "random-guess", "as measured here"
