"""The site's pages as Sphinx writes them: whole, linked, and loading nothing from elsewhere."""

import html
import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

from docs.generate.markdown import MARKS, WORDS
from docs.generate.parts import parts
from replica.lab.catalogue import Record, find, package_root, read_evidence, records
from replica.lab.catalogue.evidence import shown_verdict
from replica.lab.claims.registration import read_registrations


class Page(NamedTuple):
    """The links, anchors and loaded files of a page."""

    links: set[str]
    anchors: set[str]
    loaded: set[str]


def read(text: str) -> Page:
    """By pattern, as Sphinx writes tags: a parser takes 20 times longer for the hundreds of pages."""
    found = [
        (tag, name, html.unescape(value))
        for tag, attributes in re.findall(r"<(\w+)\s([^>]*)>", text)
        for name, value in re.findall(r'\b(href|src|id|name)="([^"]+)"', attributes)
    ]
    return Page(
        {value for tag, name, value in found if (tag, name) == ("a", "href")},
        {value for _, name, value in found if name in ("id", "name")},
        {value for tag, name, value in found if name == "src" or (tag, name) == ("link", "href")},
    )


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {
        path: read(path.read_text())
        for path in sorted(site.rglob("*.html"))
        if not {"_downloads", "_static"} & set(path.parts)
    }


def test_what_is_read_of_a_page():
    text = '<p id="a">x < y</p><a class="b"\nhref="c?d&amp;e#f">c</a><link href="s.css" /><img alt="" src="i.png">'
    assert read(text) == Page({"c?d&e#f"}, {"a"}, {"s.css", "i.png"})


def test_no_link_is_dead(site, pages):
    assert len(pages) > len(records())
    assert sum(len(page.links) for page in pages.values()) > 10 * len(pages)
    found: dict[Path, bool] = {}
    dead = []
    for path, page in pages.items():
        for link in page.links | page.loaded:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data", "mailto"):
                continue
            target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            if target not in found:
                found[target] = (target / "index.html" if target.is_dir() else target).exists()
            lacks = parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors
            if lacks or not found[target]:
                dead.append((str(path.relative_to(site)), link))
    assert not dead


def test_nothing_is_loaded_from_elsewhere(pages):
    assert any(page.loaded for page in pages.values())
    assert not {link for page in pages.values() for link in page.loaded if urlsplit(link).netloc}


def test_every_paper_has_its_page(site):
    lacking = {slug: lacks for slug, known in records().items() if (lacks := lacking_of(known, site))}
    assert not lacking


def lacking_of(known: Record, site: Path) -> list[str]:
    """What the page of a paper does not show."""
    text = (site / "papers" / f"{known.slug}.html").read_text()
    shown = plain(text)
    wanted = [known.title, known.idea, *([known.url] if known.url else [])]
    if known.status == "built":
        wanted += [f"from replica.{known.wing} import", *claims_of(known)]
    lacks = [words for words in wanted if plain(words) not in shown and html.escape(words) not in text]
    lacks += [] if "@article" in shown or "@misc" in shown else ["its citation"]
    return lacks + (["whether it is built"] if ("not built yet" in shown) != (known.status == "planned") else [])


def claims_of(known: Record) -> list[str]:
    """What a page must show of claims: each sentence, its verdict, the paper's own figures, why some fell; and departures."""
    registered = read_registrations(package_root() / "papers" / known.wing / f"{known.slug}.toml")
    evidence = read_evidence(known)
    recorded = {claim["name"]: claim for claim in evidence["claims"]} if evidence else {}
    found = [*registered.departures, *([] if evidence else ["No evidence is recorded yet"])]
    for name, said in registered.claims.items():
        found.append(said.sentence)
        if said.withdrawn:
            found.append(said.withdrawn)
        elif name in recorded:
            verdict = shown_verdict(recorded[name])
            found += [
                f"{MARKS[verdict]} {WORDS.get(verdict, verdict)}",
                *(theirs.where for theirs in said.reported.values()),
            ]
    return found


def test_papers_with_evidence_show_a_figure(site):
    """A draft has one picture for all; that every claim draws what is recorded is tested with the papers."""
    drawn = {path.name.partition("-")[0] for path in (site / "_images").glob("*-light-*.png")}
    assert drawn == {known.slug for known in find(status="built") if read_evidence(known)}


def test_wings_lead_to_the_reference_of_each_part(site, pages):
    for wing in sorted({known.wing for known in find(status="built")}):
        links = pages[site / "wings" / f"{wing}.html"].links
        anchors = pages[site / "api" / f"{wing}.html"].anchors
        names = {f"replica.{wing}.{part.name}" for part in parts(wing)}
        assert names <= anchors
        assert {f"../api/{wing}.html#{name}" for name in names} <= links


def plain(text: str) -> str:
    """What a reader sees of HTML, or a text of ours, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", text)).split())
