"""Texts and templates as Markdown."""

from __future__ import annotations

import re
from functools import cache
from html import escape as html_escape
from pathlib import Path
from typing import Any

import jinja2

MARKS = {
    "holds": "✓", "fails": "✗", "not_seen": "✗", "no_effect": "≈", "unclear": "?", "not_tested": "–", "error": "!",
    "planned": "○",
}  # fmt: skip
MARKUP = r"([\\`*_{}\[\]<>|$#~^&@])"
WORDS = {
    "planned": "not built yet", "not_seen": "not seen here", "no_effect": "no effect of that size",
    "not_tested": "not tested here",
}  # fmt: skip


def text(value: object) -> str:
    """Plain text as Markdown: nothing in it is read as markup, and it stays on one line."""
    one_line = " ".join(str(value).split())
    return re.sub(MARKUP, r"\\\1", one_line)


def docstring(value: str) -> str:
    """A sentence of a docstring as Markdown: code between its backticks, plain text around it."""
    pieces = re.split(r"``(.+?)``|`([^`]+)`", value)
    return "".join(
        re.sub(MARKUP, r"\\\1", piece) if number % 3 == 0 else f"`{piece}`"
        for number, piece in enumerate(pieces)
        if piece
    )


def badge(verdict: str, count: int | None = None) -> str:
    """A verdict as a mark, a word and a colour."""
    words = WORDS.get(verdict, verdict)
    number = "" if count is None else f"{count} "
    return f'<span class="verdict {verdict}">{MARKS[verdict]} {number}{html_escape(words)}</span>'


def badges(counts: dict[str, int]) -> str:
    """How many claims hold, fail and so on; those that occur."""
    return " ".join(badge(verdict, count) for verdict, count in counts.items() if count)


def render(template: str, **values: Any) -> str:
    """Fill in a template of the folder ``templates``."""
    return _templates().get_template(template).render(**values)


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # Markdown, not HTML: texts go through the filter `text`
    environment.filters |= {"text": text, "docstring": docstring, "html": lambda value: html_escape(str(value))}
    environment.globals |= {"badge": badge, "badges": badges}
    return environment
