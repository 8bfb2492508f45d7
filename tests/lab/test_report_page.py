"""The report of a comparison, opened in a real browser."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from replica.lab.api import compare
from replica.lab.report import Comparison

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
METHODS = ("nearest-neighbour", "hopfield-hebb", "hopfield-projection", "modern-hopfield")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Comparison, Path]:
    """A small comparison on data whose name tries to be HTML, and its report."""
    folder = tmp_path_factory.mktemp("report")
    data = folder / "<b>x&.npy"
    np.save(data, np.random.default_rng(0).normal(size=(60, 49)))
    comparison = compare(
        "recall", data=str(data), only=METHODS, scale="smoke", seeds=3, workers=1, store=folder / "s.sqlite", quiet=True,
        sweep={"stored": [3, 10]},
    )  # fmt: skip
    return comparison, comparison.report(folder / "report.html")


def test_it_is_one_file_that_needs_nothing_else(made):
    text = made[1].read_text()
    assert len(text) < 1_000_000
    assert not re.findall(r'(?:src|href|srcset)="(?!data:|https://arxiv\.org|#)', text), (
        "nothing is loaded from elsewhere"
    )
    assert "<b>x&" not in text, "what came from the user is escaped"
    assert "&lt;b&gt;x&amp;" in text
    assert made[1].stat().st_mode & 0o044, "others may read it"


def test_table_figure_and_report_agree(made):
    comparison, path = made
    assert list(comparison.table.index) == [row["method"] for row in comparison.plain()["rows"]]
    for name in METHODS:
        assert name in path.read_text()
    assert comparison.figure().axes
    assert comparison.table.exact.between(0, 1).all()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    quiet = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(quiet))
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, made):
    """Open the report offline; any request to a network and any complaint of the browser fails the test."""
    wrong: list[str] = []
    contexts = []

    def open_page(width: int = 1250, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(r.url))
        page.goto(made[1].as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


@pytest.mark.browser
def test_every_column_sorts_both_ways(visit):
    page = visit()
    heads = page.locator("#ranking thead th")
    sortable = [i for i in range(heads.count()) if heads.nth(i).locator("button").count()]
    assert len(sortable) >= 7
    for column in sortable:
        for _ in range(2):
            heads.nth(column).locator("button").click()
            direction = heads.nth(column).get_attribute("aria-sort")
            cells = page.locator(f"#ranking tbody td:nth-child({column + 1})").evaluate_all(
                "cs => cs.map(c => c.dataset.value)"
            )
            known = [value for value in cells if value not in ("", None)]
            try:
                values: list = [float(value) for value in known]
            except ValueError:
                values = [value.lower() for value in known]
            assert values == sorted(values, reverse=direction == "descending"), (column, direction, cells)


@pytest.mark.browser
def test_it_follows_light_and_dark(visit):
    seen = {}
    for scheme in ("light", "dark"):
        page = visit(scheme=scheme)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        ink = page.evaluate("getComputedStyle(document.body).color")
        picture = page.locator("picture img").evaluate("image => [image.currentSrc, image.naturalWidth]")
        assert picture[1] > 0, "the picture is shown"
        seen[scheme] = (background, ink, picture[0])
    assert all(a != b for a, b in zip(seen["light"], seen["dark"], strict=True))

    def luminance(colour: str) -> float:
        return float(np.dot([int(v) for v in re.findall(r"\d+", colour)[:3]], [0.2126, 0.7152, 0.0722]))

    assert luminance(seen["light"][0]) > 200 > 60 > luminance(seen["dark"][0])


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 768, 1250])
def test_it_fits_the_width(visit, width):
    page = visit(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").is_visible()
    if width == 1250:
        assert page.locator("#ranking").evaluate("t => t.scrollWidth <= t.parentElement.clientWidth"), "no scrolling"


@pytest.mark.browser
def test_the_table_can_be_copied(visit):
    page = visit()
    page.evaluate(
        "() => { window.copied = null; navigator.clipboard.writeText = async text => { window.copied = text; }; }"
    )
    page.locator("#copy").click()
    page.wait_for_function("window.copied !== null")
    lines = page.evaluate("window.copied").splitlines()
    assert len(lines) >= len(METHODS) + 1
    assert all(name in "\n".join(lines) for name in METHODS)
    assert "\t" in lines[0]
