"""How to cite a paper."""

from __future__ import annotations

import re

from .letters import plain
from .records import Record

_ARXIV = re.compile(r"arxiv\.org/abs/([\w./-]+)")
_LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
          "^": r"\^{}", "~": r"\~{}", "\\": r"\textbackslash{}"}  # fmt: skip


def bibtex(record: Record) -> str:
    """The paper's BibTeX entry, from what the catalogue knows; unknown fields are left out."""
    arxiv = _ARXIV.search(record.url)
    kind = "article" if arxiv or not record.url else "misc"
    fields = {
        "title": "{" + _escape(record.title) + "}",
        "author": " and ".join(_escape(name) for name in record.authors),
        "year": str(record.year or ""),
        "journal": f"arXiv preprint arXiv:{arxiv[1]}" if arxiv else "",
        "eprint": arxiv[1] if arxiv else "",
        "archiveprefix": "arXiv" if arxiv else "",
        "note": _escape(record.venue),
        "url": record.url,
    }
    body = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
    return f"@{kind}{{{_key(record)},\n{body}\n}}"


def _key(record: Record) -> str:
    family = record.authors[0].split()[-1] if record.authors else "replica"
    return f"{re.sub(r'[^a-z]', '', plain(family)) or 'replica'}{record.year or ''}{record.slug}"


def _escape(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
