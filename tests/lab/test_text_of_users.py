"""Names and labels of users in pictures, reports and terminals: whatever they are, nothing ends the command or is warned of."""

from __future__ import annotations

import sys
import unicodedata
import warnings
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st
from matplotlib.figure import Figure

import replica
from replica.lab.catalogue.printable import printable
from replica.lab.problems.classification.figure import _draw_classes
from replica.lab.problems.ranking_figure import draw_ranking
from replica.lab.report.figure_files import save_figure
from replica.lab.report.style import theme

ODD = ["$x", "costs $5 and $6", r"$\frac{1$", "汉字", "日本語ラベル", "עברית", "العربية", "a\x00b\x1b[31m\a", "\ud800", 
       "\u202eabc", "a\nb\tc", "😀👩‍👩‍👧",
       "_under_", "^2", "\\", "%", "", "   ", "x" * 500, "{", "&<b>", "\uffff", "\U000f0000"]  # fmt: skip


@given(st.text(st.characters()) | st.sampled_from(ODD), st.integers(1, 50))
@hypothesis_settings(max_examples=300)
def test_printable_text_is_one_short_line_of_letters(text: str, most: int) -> None:
    shown = printable(text, most)
    assert len(shown) <= most
    assert shown.isprintable()
    assert not any(unicodedata.category(letter).startswith("C") for letter in shown)
    if text.isprintable() and len(text) <= most and text == " ".join(text.split()):
        assert shown == text


class Results:
    """What the pictures ask of a comparison."""

    def __init__(self, methods: list[str]) -> None:
        self.rows = [{"method": method} for method in methods]
        self.sweep = ("kind", tuple(ODD[:7]))
        self.curves = pd.DataFrame(
            [(m, value, "exact", 0.5, 0.4, 0.6) for m in methods for value in self.sweep[1]],
            columns=["method", "value", "metric", "mean", "low", "high"],
        )


def test_pictures_take_any_text_without_a_word(tmp_path: Path) -> None:
    import numpy as np

    metric = replica.lab.problems.get("recall").metrics[0]
    names = [name for name in ODD if name.isprintable() and name.strip() and len(name) <= 60]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with theme("light", formulas=False):
            figure = Figure(layout="constrained")
            first, second = figure.subplots(2)
            draw_ranking(first, Results(names), metric=metric, baselines=frozenset())
            confusions = np.ones((2, len(ODD), len(ODD)), int)
            _draw_classes(second, ["$a", "汉字"], confusions, ODD)
        for ending in ("png", "svg", "pdf"):
            save_figure(figure, tmp_path / f"f.{ending}")


ENTRY = """
import numpy as np

class 方法:
    def fit(self, X, y):
        print("[bold]\\x1b[31m $x")
        self.classes = len(set(y))
    def predict(self, X):
        return np.zeros(len(X), int)
    def predict_proba(self, X):
        return np.full((len(X), self.classes), 1 / self.classes)
"""


def test_a_comparison_of_odd_labels_and_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from replica.lab.cli import main

    labels = ["$a_$b$", "汉字", "x" * 300, "tab\tand\x1b[31m"]
    rows = [{"size $": float(i % 7 + 3 * (i % 4)), "y": labels[i % 4]} for i in range(80)]
    pd.DataFrame(rows).to_csv(tmp_path / "odd $ 汉.csv", index=False)
    (tmp_path / "odd.py").write_text(ENTRY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv",
        ["replica", "compare", "classification", "--data", "odd $ 汉.csv", "--target", "y", "--only", "majority",
         "--entry", "odd.py:方法", "--seeds", "2", "--jobs", "1", "--store", "s", "--out", "r.html", "--figure", "f.png"],
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SystemExit) as stop:
            main()
    out, err = capsys.readouterr()
    assert stop.value.code == 0, (out, err)
    assert "方法 printed" in out
    assert "\x1b" not in out + err
    assert (tmp_path / "r.html").exists()
