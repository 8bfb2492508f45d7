"""The catalogue: its records are well formed, and people find in it what they mean."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from replica.errors import ReplicaError
from replica.lab.catalogue import (
    STATUSES,
    VERDICTS,
    WINGS,
    Record,
    bibtex,
    count_verdicts,
    find,
    nearest,
    package_root,
    read_evidence,
    record,
    records,
)
from replica.lab.problems.registry import names

PROBLEMS = {
    "recall", "classification", "credit", "events", "operator", "pretext", "regression", "scaling", "similarity",
    "stream", "teacher", "merge", "shift", "transport", "sample", "steer",
}  # fmt: skip
PAPERS = list(records().values())


def slugs(words: str = "", **filters: str) -> list[str]:
    return [found.slug for found in find(words, **filters)]


# --- Records


def test_holds_every_paper_once() -> None:
    assert len(PAPERS) == 229
    assert all(slug == known.slug for slug, known in records().items())
    assert max(Counter(known.url for known in PAPERS).values()) == 1
    assert max(Counter(known.title.lower() for known in PAPERS).values()) == 1
    rows = (package_root() / "lab/catalogue/catalogue.toml").read_text(encoding="utf-8").count("[[paper]]")
    assert rows == 229, "two papers share a slug, and one is lost"


@pytest.mark.parametrize("known", PAPERS, ids=lambda known: known.slug)
def test_fields_are_well_formed(known: Record) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", known.slug)
    assert known.wing in WINGS
    assert set(known.problems) <= PROBLEMS
    assert len(known.problems) == len(set(known.problems))
    assert set(known.kind.split("+")) <= {"method", "theory", "survey", "data"}
    assert known.year is None or 1940 <= known.year <= 2026
    assert known.url == "" or re.fullmatch(r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}|(?!arxiv)\S+)", known.url)
    assert known.code == "" or re.fullmatch(r"https://[^\s<>\"]+", known.code)
    if arxiv := re.search(r"arxiv\.org/abs/(\d\d)(\d\d)\.", known.url):
        assert 1 <= int(arxiv[2]) <= 12
        year = 2000 + int(arxiv[1])
        # A preprint of the last days of December may have January's number.
        assert known.year in ((year, year - 1) if arxiv[2] == "01" else (year,)), "the year is that of the preprint"
    for text in (known.title, known.idea, known.part):
        assert text
        assert text == " ".join(text.split())
        assert not re.search(r"[\\{}<>]|�|&[a-z]+;", text), "left over from LaTeX or HTML"
    assert "^" not in known.title


@pytest.mark.parametrize("known", PAPERS, ids=lambda known: known.slug)
def test_an_idea_is_one_sentence(known: Record) -> None:
    assert len(known.idea) <= 200
    assert known.idea.endswith(".")
    # An initial, as in C. elegans, ends no sentence.
    assert not re.search(r"[a-z0-9)][.!?] ", known.idea)


def test_authors_are_names() -> None:
    for known in PAPERS:
        assert len(known.authors) == len(set(known.authors)), known.slug
        for author in known.authors:
            assert re.fullmatch(r"\S+( \S+)+", author), (known.slug, author)
            assert "," not in author, (known.slug, author)
            assert " and " not in author, (known.slug, author)


def test_every_wing_and_problem_is_used() -> None:
    assert {known.wing for known in PAPERS} == set(WINGS)
    assert {problem for known in PAPERS for problem in known.problems} == PROBLEMS
    assert set(names()) <= PROBLEMS


def test_record_of_a_slug() -> None:
    assert record("hopfield").title == "Hopfield Networks is All You Need"
    assert record("hopfield").module == "replica.papers.memory.hopfield"


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("hopfeild", "hopfield"),
        ("Hopfield", "hopfield"),
        ("dense-hebbian", "dense_hebbian"),
        ("spike gpt", "spike_gpt"),
    ],
)
def test_an_unknown_slug_offers_the_near_ones(slip: str, meant: str) -> None:
    with pytest.raises(ReplicaError, match=f"No paper is called '{slip}'. Did you mean .*{meant}"):
        record(slip)


def test_nothing_is_offered_where_nothing_is_near() -> None:
    assert nearest("zzzzzzzz", records()) == ""
    with pytest.raises(ReplicaError, match="replica papers WORDS"):
        record("zzzzzzzz")


# --- Search


@pytest.mark.parametrize("words", ["", "  \t ", "—!?"])
def test_without_words_all_are_there_built_ones_first_else_in_the_catalogue_s_order(words: str) -> None:
    status = {slug: record.status for slug, record in records().items()}
    planned = [slug for slug in status if status[slug] != "built"]
    assert slugs(words) == [slug for slug in status if status[slug] == "built"] + planned


@pytest.mark.parametrize(("field", "step"), [("slug", 1), ("title", 1), ("idea", 5)])  # ideas are long: a few will do
def test_a_whole_field_finds_its_paper_first(field: str, step: int) -> None:
    assert not [known.slug for known in PAPERS[::step] if slugs(getattr(known, field))[0] != known.slug]


def test_a_slug_in_words_finds_its_paper_first() -> None:
    assert not [known.slug for known in PAPERS if slugs(known.slug.replace("_", " ").upper())[0] != known.slug]


def test_every_author_s_family_name_finds_the_paper() -> None:
    families = {author.split()[-1] for known in PAPERS for author in known.authors[:2]}
    found = {family: set(slugs(family)) for family in families}
    for known in PAPERS:
        for author in known.authors[:2]:
            assert known.slug in found[author.split()[-1]], author


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("hopfield", ["hopfield", "hopular"]),
        ("ramsauer", ["hopfield"]),
        ("hopf", ["hopfield"]),
        ("multitask hebb", ["multitasking_hebbian"]),
        ("agliari", ["multitasking_hebbian", "dense_hebbian"]),
        ("softmax attention exponentially many patterns", ["hopfield"]),
        ("neural tangent kernel", ["neural_tangent_kernel"]),
        ("spiking delays", ["spike_delays"]),
        ("schrodinger", ["multimarginal_bridge"]),
        ("associative memory", ["hopfield"]),
    ],
)
def test_the_wanted_come_first(words: str, wanted: list[str]) -> None:
    assert set(slugs(words)[: len(wanted)]) == set(wanted)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Schrödinger", "schrodinger"),
        ("Schrödinger", "SCHRÖDINGER"),
        ("Schrödinger", "Schro\u0308dinger"),
        ("Uznański", "uznanski"),
        ("Przemysław", "przemyslaw"),
        ("Bartoszkiewicz Michał", "bartoszkiewicz michal"),
        ("Rußwurm", "russwurm"),
        ("Liò", "lio"),
        ("memories", "memory"),
        ("neural-network", "neural networks"),
        ("neural–network", "neural network"),
        ("hopfield hopfield", "hopfield"),
    ],
)
def test_case_accents_plurals_and_dashes_do_not_matter(one: str, other: str) -> None:
    assert slugs(one) == slugs(other) != []


def test_the_polish_l_is_an_l() -> None:
    assert "dragon_hatchling" in slugs("michal")
    assert slugs("przemyslaw") == ["dragon_hatchling"]


@pytest.mark.parametrize(
    ("slip", "word"),
    [
        ("hopfeild", "hopfield"),
        ("spikng", "spiking"),
        ("transfomer", "transformer"),
        ("difusion", "diffusion"),
        ("gausian", "gaussian"),
    ],
)
def test_slips_are_forgiven(slip: str, word: str) -> None:
    assert slugs(slip)[0] == slugs(word)[0]


@pytest.mark.parametrize("words", ["zzzz", "qwxyz vkjq", "0000000", "<>&%", "'; --"])
def test_nonsense_finds_nothing_of_its_own(words: str) -> None:
    assert slugs(words) == (slugs() if not any(map(str.isalnum, words)) else [])


def test_more_of_the_words_come_before_fewer() -> None:
    assert len(find("hopfield tabular")) >= 2
    assert slugs("hopfield tabular")[0] == "hopular"


def test_filters() -> None:
    for wing in WINGS:
        assert {known.wing for known in find(wing=wing)} == {wing}
    assert sum(len(find(wing=wing)) for wing in WINGS) == 229
    for problem in PROBLEMS:
        assert all(problem in known.problems for known in find(problem=problem))
    assert len(find(status="built")) + len(find(status="planned")) == 229
    assert slugs("hopfield", wing="memory") == [slug for slug in slugs("hopfield") if record(slug).wing == "memory"]
    assert slugs("hopfield", wing="imaging") == []


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("wing", "memmory", "Did you mean memory?"),
        ("wing", "", "There are: memory, plasticity"),
        ("problem", "recal", "Did you mean recall?"),
        ("status", "build", "Did you mean built?"),
        ("status", "BUILT", "Did you mean built?"),
    ],
)
def test_unknown_filters_are_refused(name: str, value: str, hint: str) -> None:
    with pytest.raises(ReplicaError, match=re.escape(hint)) as caught:
        find("hopfield", **{name: value})  # type: ignore[arg-type]
    assert f"No {name} is called {value!r}" in str(caught.value)
    assert "\n" not in str(caught.value)


# --- Status and evidence


@pytest.mark.parametrize("known", PAPERS, ids=lambda known: known.slug)
def test_status_and_verdicts_say_what_is_there(known: Record) -> None:
    file = package_root() / "papers" / known.wing / f"{known.slug}.py"
    assert known.status == ("built" if file.is_file() and file.with_suffix(".toml").is_file() else "planned")
    assert known.status in STATUSES
    counts, evidence = count_verdicts(known), read_evidence(known)
    assert list(counts) == list(VERDICTS)
    if known.status == "planned" or evidence is None:
        assert not any(counts.values())
    else:
        assert evidence["slug"] == known.slug
        assert counts["holds"] == sum(claim["verdict"] == "holds" for claim in evidence["claims"])
        fallen = [claim["setting"] == "own" for claim in evidence["claims"] if claim["verdict"] == "fails"]
        assert (counts["fails"], counts["not_seen"]) == (fallen.count(True), fallen.count(False))
        assert sum(counts.values()) == len(evidence["claims"])


def test_evidence_judged_before_settings_binds_but_shows_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"slug": "hopfield", "claims": [{"name": "a", "verdict": "holds"}]}))
    monkeypatch.setattr("replica.lab.catalogue.evidence.evidence_path", lambda _: old)
    assert read_evidence(record("hopfield")) is None
    assert read_evidence(record("hopfield"), earlier=True)["slug"] == "hopfield"
    assert not any(count_verdicts(record("hopfield")).values())


def test_every_paper_file_is_in_the_catalogue() -> None:
    files = [file for file in (package_root() / "papers").glob("*/*.py") if file.stem != "__init__"]
    wings = {file.stem: file.parent.name for file in files if file.parent.name != "baselines"}
    assert wings
    assert wings == {slug: records()[slug].wing for slug in wings}


# --- Citation


def parse(text: str) -> tuple[str, str, dict[str, str]]:
    """Read one BibTeX entry whose values are in braces, as BibTeX does: by counting unescaped ones."""
    head = re.match(r"@(\w+)\{([^,\s]+),\n", text)
    assert head, text
    fields, rest = {}, text[head.end() :]
    while rest.strip() != "}":
        name = re.match(r",?\s*(\w+) = \{", rest)
        assert name, rest
        depth, end = 1, name.end()
        while depth:
            # BibTeX itself counts escaped braces as well, so a value must balance with them.
            depth += {"{": 1, "}": -1}.get(rest[end], 0)
            end += 1
        assert name[1] not in fields
        fields[name[1]] = rest[name.end() : end - 1]
        rest = rest[end:]
    return head[1], head[2], fields


@pytest.mark.parametrize("known", PAPERS, ids=lambda known: known.slug)
def test_bibtex_is_well_formed_and_says_what_is_known(known: Record) -> None:
    kind, key, fields = parse(bibtex(known))
    assert kind in ("article", "misc")
    assert re.fullmatch(r"[a-z]+[0-9]{4}?[a-z][a-z0-9_]*", key)
    assert key.isascii()
    assert fields["title"].startswith("{")
    assert fields["title"].endswith("}")
    assert fields.get("author", "").split(" and ") == list(known.authors or [""])
    assert fields.get("year", "") == str(known.year or "")
    assert fields.get("url", "") == known.url
    assert all(fields.values()), "an empty field says nothing"
    for name in ("title", "author", "note"):
        assert not re.search(r"(?<!\\)[&%$#_]", fields.get(name, ""))
    if "arxiv.org" in known.url:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", fields["eprint"])
        assert fields["archiveprefix"] == "arXiv"


def test_bibtex_keys_are_unique() -> None:
    assert len({parse(bibtex(known))[1] for known in PAPERS}) == 229


def test_bibtex_escapes_what_latex_would_read() -> None:
    made = Record("odd", r"50% & $x_1^2$ ~ \{a}", ("Łukasz Ørßted",), None, "", "", "", "memory", "method", "", "", ())
    _, key, fields = parse(bibtex(made))
    assert fields["title"] == r"{50\% \& \$x\_1\^{}2\$ \~{} \textbackslash{}\{a\}}"
    assert key == "orsstedodd"
    assert set(fields) == {"title", "author"}
