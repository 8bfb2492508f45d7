"""What README and CONTRIBUTING show is what is there: `python docs/readme.py --quick` writes it."""

from docs.readme import ROOT, model_paper, wings


def test_contributing_shows_a_paper_whole():
    assert model_paper() in (ROOT / "CONTRIBUTING.md").read_text(), "python docs/readme.py --quick"


def test_the_readme_counts_verdicts_as_the_evidence_has_them():
    text = (ROOT / "README.md").read_text()
    assert wings() in text, "python docs/readme.py --quick"
    assert len(text.splitlines()) <= 150
