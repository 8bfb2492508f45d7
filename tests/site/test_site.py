"""The site, built once and opened in a real browser."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from docs.generate.parts import parts
from docs.screenshots import chromium, served
from replica.lab.catalogue import find, read_evidence, record, records

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site's folder, built once for all processes of the tests."""
    pytest.importorskip("sphinx", reason="the site needs pip install 'replica-papers[docs]'")
    pytest.importorskip("pydata_sphinx_theme", reason="the site needs pip install 'replica-papers[docs]'")
    filelock = pytest.importorskip("filelock")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "site"  # xdist: the run's own folder
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.exists():
            built = subprocess.run(
                [sys.executable, "-m", "docs.generate", str(folder)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=600,
            )
            (folder / "log").write_text(built.stdout + built.stderr)
    log = (folder / "log").read_text()
    assert "build succeeded." in log, log[-4000:]
    return folder / "html"


class Page(HTMLParser):
    """The links, anchors and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        for name in ("src", "href"):
            if given.get(name) and (name == "src" or tag == "link"):
                self.loaded.append(given[name])


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {
        path: Page(path.read_text())
        for path in sorted(site.rglob("*.html"))
        if not {"_downloads", "_static"} & set(path.parts)
    }


def test_no_link_is_dead(site, pages):
    dead = []
    for path, page in pages.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data", "mailto"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchors = pages[target].anchors if target in pages else None
            if not target.exists() or (
                parts.fragment and anchors is not None and unquote(parts.fragment) not in anchors
            ):
                dead.append((str(path.relative_to(site)), link))
    assert not dead


def test_nothing_is_loaded_from_elsewhere(pages):
    elsewhere = {link for page in pages.values() for link in page.loaded if urlsplit(link).netloc}
    assert not elsewhere


@pytest.mark.parametrize("slug", records())
def test_every_paper_has_its_page(site, slug):
    known = record(slug)
    text = (site / "papers" / f"{slug}.html").read_text()
    plain = _plain(text)
    assert _plain(known.title) in plain
    assert _plain(known.idea) in plain
    assert ("not built yet" in plain) == (known.status == "planned")
    assert not known.url or known.url.replace("&", "&amp;") in text
    assert "@article" in plain or "@misc" in plain


@pytest.mark.parametrize("slug", [known.slug for known in find(status="built")])
def test_a_built_paper_shows_each_claim_beside_the_paper(site, slug):
    known = record(slug)
    plain = _plain((site / "papers" / f"{slug}.html").read_text())
    evidence = read_evidence(known)
    if evidence is None:
        assert "No evidence is recorded yet" in plain
        return
    for claim in evidence["claims"]:
        assert _plain(claim["sentence"]) in plain
        assert f" {claim['verdict']} " in plain
        for reported in (claim["reported"] or {}).values():
            assert reported["where"] in plain
        if claim["series"]:
            assert list((site / "_images").glob(f"{slug}-{claim['name']}-light-*.png"))
            assert list((site / "_images").glob(f"{slug}-{claim['name']}-dark-*.png"))
    for departure in evidence["departures"]:
        assert _plain(departure) in plain
    assert f"from replica.{known.wing} import" in plain


@pytest.mark.parametrize("wing", sorted({known.wing for known in find(status="built")}))
def test_a_wing_leads_to_the_reference_of_each_part(site, pages, wing):
    links = set(pages[site / "wings" / f"{wing}.html"].links)
    anchors = pages[site / "api" / f"{wing}.html"].anchors
    for part in parts(wing):
        name = f"replica.{wing}.{part.name}"
        assert name in anchors
        assert f"../api/{wing}.html#{name}" in links


def _plain(text: str) -> str:
    """What a reader sees of HTML, or a text of ours, on one line."""
    import html

    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", text)).split())


# --- In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if chromium() is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        yield (opened := running.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]))
        opened.close()


@pytest.fixture
def visit(browser, site) -> Iterator[Callable]:
    """Open a page; a request to elsewhere, an answer that says no, and any complaint of the browser fail the test."""
    wrong: list[str] = []
    contexts = []
    with served(site) as address:

        def open_page(name: str, width: int = 1250, scheme: str = "light"):
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            contexts.append(context)
            page = context.new_page()
            page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda r: None if r.url.startswith((address, "data:")) else wrong.append(r.url))
            page.on("response", lambda r: wrong.append(f"{r.status} {r.url}") if r.status >= 400 else None)
            page.goto(address + name)
            return page

        yield open_page
        for context in contexts:
            context.close()
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
