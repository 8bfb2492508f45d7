"""The ranking of every comparison's picture: names beside the ends of their lines, and apart."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from replica.lab.problems.ranking_figure import label_ends, method_styles, spread


def test_labels_are_spread_as_little_as_possible() -> None:
    np.testing.assert_allclose(spread([0.1, 0.5, 0.9], 0.1, 0, 1), [0.1, 0.5, 0.9])
    np.testing.assert_allclose(spread([0.5, 0.5, 0.5], 0.1, 0, 1), [0.4, 0.5, 0.6])
    np.testing.assert_allclose(spread([0.0, 0.0, 1.0], 0.1, 0.05, 0.95), [0.05, 0.15, 0.95])
    rng = np.random.default_rng(0)
    for _ in range(50):
        levels = np.sort(rng.random(8))
        moved = spread(list(levels), 0.08, 0, 1)
        assert (np.diff(moved) >= 0.08 - 1e-12).all()
        assert moved[0] >= -1e-12
        assert moved[-1] <= 1 + 1e-12


def test_names_stand_beside_the_ends_of_their_lines_and_apart() -> None:
    figure = Figure(figsize=(4, 3))
    axes = figure.subplots()
    axes.set_ylim(0, 1)
    styles = method_styles(["a", "b", "c"], frozenset({"c"}))
    label_ends(axes, [("c", 1, 0.1), ("a", 1, 0.5), ("b", 1, 0.5)], styles)
    figure.draw_without_rendering()
    names = {text.get_text(): text.get_window_extent() for text in axes.texts if text.get_text()}
    assert set(names) == {"a", "b", "c"}
    assert names["a"].y0 > names["b"].y1 - 1 > names["c"].y1  # of two at one height the better stands higher
    marks = [line.get_window_extent() for line in axes.lines]
    assert all(box.x0 > axes.bbox.x1 + 5 for box in marks)
    assert all(box.x0 > max(mark.x1 for mark in marks) for box in names.values())
