"""One look for all figures, in a light and a dark version."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import matplotlib as mpl
from cycler import cycler
from matplotlib import font_manager

Theme = Literal["light", "dark"]

# Okabe & Ito's colours, told apart with any colour vision; the dark version lightens those that vanish on black.
_COLOURS = {
    "light": ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#5B4B8A", "#555555"),
    "dark": ("#56A8E8", "#FF8A3D", "#2FD1A5", "#F0A3CB", "#E6C229", "#9AD7FF", "#B3A3F0", "#BBBBBB"),
}
# What has letters that the usual font lacks, where it is installed; the font's box stands for those that none has.
_MORE_LETTERS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Droid Sans Fallback", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS", "Microsoft YaHei",
    "Yu Gothic", "Malgun Gothic", "Noto Sans", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Symbols 2", "Noto Emoji",
)  # fmt: skip
_INK = {"light": "#1c2024", "dark": "#e6e8eb"}
_FAINT = {"light": "#d9dce0", "dark": "#3a3f45"}
_PAPER = {"light": "#ffffff", "dark": "#16191d"}


@cache
def _fonts() -> list[str]:
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in _MORE_LETTERS if name in installed)]


@contextmanager
def placeholders() -> Iterator[None]:
    """Draw the sign for a missing letter, and labels that leave little room, without a word: a reader can do nothing about it."""
    with warnings.catch_warnings():
        for message in (
            "Glyph .* missing",
            "Matplotlib currently does not support .* natively",
            "constrained_layout not",
        ):
            warnings.filterwarnings("ignore", message=message)
        yield


@contextmanager
def theme(name: Theme, *, formulas: bool = True) -> Iterator[None]:
    """Draw all figures inside in this theme. Where users' text is drawn, dollars are dollars: no ``formulas``."""
    ink, faint, paper = _INK[name], _FAINT[name], _PAPER[name]
    settings: Any = {
        "axes.prop_cycle": cycler(color=_COLOURS[name]),
        "axes.edgecolor": ink, "axes.labelcolor": ink, "axes.titlecolor": ink, "text.color": ink,
        "xtick.color": ink, "ytick.color": ink, "grid.color": faint, "legend.edgecolor": faint,
        "figure.facecolor": paper, "axes.facecolor": paper, "savefig.facecolor": paper, "legend.facecolor": paper,
        "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "grid.linewidth": 0.6, "axes.axisbelow": True,
        "font.size": 10.5, "axes.titlesize": 11.5, "axes.labelsize": 10.5, "legend.fontsize": 9.5, "legend.frameon": False,
        "xtick.labelsize": 9.5, "ytick.labelsize": 9.5, "axes.titlelocation": "left",
        "lines.linewidth": 1.8, "lines.markersize": 5,
        "font.family": _fonts(), "text.usetex": False, "text.parse_math": formulas,
        "image.cmap": "gray", "svg.hashsalt": "replica", "figure.dpi": 100, "savefig.dpi": 160,
    }  # fmt: skip
    with mpl.rc_context(settings), placeholders():
        yield
