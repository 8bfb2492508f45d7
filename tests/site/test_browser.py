"""The site, opened in a real browser."""

import re
from collections.abc import Callable, Iterator

import pytest

from docs.screenshots import chromium, served
from replica.lab.catalogue import find, record, records


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if chromium() is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        yield (opened := running.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]))
        opened.close()


@pytest.fixture(scope="module")
def address(browser, site) -> Iterator[str]:
    with served(site) as found:
        yield found


@pytest.fixture(scope="module")
def tab(browser) -> object:
    """One tab for all tests: it keeps its process, and what pages share is loaded once."""
    return browser.new_page()


@pytest.fixture
def visit(tab, address) -> Iterator[Callable]:
    """Open a page; a request to elsewhere, an answer that says no, and any complaint of the browser fail the test."""
    wrong: list[str] = []
    heard = {
        "console": lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None,
        "pageerror": lambda error: wrong.append(str(error)),
        "request": lambda asked: None if asked.url.startswith((address, "data:")) else wrong.append(asked.url),
        "response": lambda got: wrong.append(f"{got.status} {got.url}") if got.status >= 400 else None,
    }
    for event, hear in heard.items():
        tab.on(event, hear)

    def open_page(name: str, width: int = 1250, scheme: str = "light"):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.emulate_media(color_scheme=scheme)
        tab.goto(address + name)
        return tab

    yield open_page
    for event, hear in heard.items():
        tab.remove_listener(event, hear)
    assert not wrong


@pytest.mark.browser
@pytest.mark.parametrize(
    ("words", "slug"),
    [("softmax attention exponentially many patterns", "hopfield"), ("gates channels rafts unseen resolutions", None)],
)
def test_search_finds_a_paper_by_its_idea(visit, words, slug):
    if slug is None:  # a paper that is not built yet is found as well
        known = record("raft_mlp")
        words, slug = " ".join(known.idea.rstrip(".").split()[:6]), known.slug
    page = visit("index.html")
    page.keyboard.press("Control+k")
    page.locator("dialog input[type=search], .search-button__search-container input[type=search]").first.fill(words)
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li")
    assert page.locator(f'#search-results li a[href*="papers/{slug}.html"]').count()


@pytest.mark.browser
def test_the_list_of_papers_is_filtered(visit):
    page = visit("papers/index.html")
    shown = page.locator("ol.papers > li:not([hidden])")
    assert shown.count() == len(records())
    page.select_option("#status", "built")
    assert shown.count() == len(find(status="built"))
    page.fill("#words", "HOPFIELD ramsauer")
    assert [item.locator("a").first.get_attribute("href") for item in shown.all()] == ["hopfield.html"]
    assert page.locator("#found").inner_text() == f"1 of {len(records())}"


@pytest.mark.browser
def test_a_problem_leads_to_its_whole_report(visit):
    page = visit("problems/recall.html")
    page.get_by_role("link", name="The whole report").click()
    page.wait_for_selector("#ranking")
    assert page.locator("#ranking tbody tr").count() > 3


PAGES = (
    "index.html",
    "papers/index.html",
    "papers/hopfield.html",
    "papers/raft_mlp.html",
    "wings/memory.html",
    "problems/index.html",
    "problems/recall.html",
    "guides/compare-on-your-data.html",
    "guides/read-a-verdict.html",
    "api/memory.html",
    "api/lab.html",
)


LOOKS = [
    *((name, scheme, width) for name in PAGES for scheme, width in (("light", 390), ("dark", 1250))),
    *(
        (name, scheme, width)
        for name in ("index.html", "papers/hopfield.html")
        for scheme, width in (("light", 1250), ("dark", 390))
    ),
]


@pytest.mark.browser
@pytest.mark.parametrize(("name", "scheme", "width"), LOOKS)
def test_pages_fit_and_follow_light_and_dark(visit, name, scheme, width):
    page = visit(name, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").first.is_visible()
    ground = [int(v) for v in re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]]
    assert (min(ground) > 200) if scheme == "light" else (max(ground) < 60)
    other = {"light": "dark", "dark": "light"}[scheme]
    pictures = page.locator(f"img.only-{scheme}.figure")
    for picture in pictures.all():
        assert picture.is_visible()
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    assert pictures.count() == page.locator(f"img.only-{other}.figure").count()
    assert not any(picture.is_visible() for picture in page.locator(f"img.only-{other}.figure").all())
    if name in ("index.html", "papers/hopfield.html"):
        assert pictures.count()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_verdicts_can_be_read(visit, scheme):
    page = visit("papers/multitasking_hebbian.html", scheme=scheme)
    for badge in page.locator(".verdict").all():
        ink, ground = badge.evaluate("e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]")
        lighter, darker = sorted((_luminance(ink), _luminance(ground)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5
        assert re.fullmatch(r"[✓✗?!○] (\d+ )?(holds|fails|unclear|error|not built yet)", badge.inner_text())


def _luminance(colour: str) -> float:
    """Relative luminance, as WCAG defines it."""
    linear = [
        v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4
        for v in (int(v) / 255 for v in re.findall(r"\d+", colour)[:3])
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
