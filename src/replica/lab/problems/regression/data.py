"""How a trial of the problem regression draws rows to learn from and to test."""

from __future__ import annotations

import numpy as np

from replica.data import RegressionRows
from replica.lab.problems.fit_predict import Rows
from replica.lab.problems.labelled_rows import drawn_groups, stratified_split
from replica.lab.problems.problem import VALIDATION_SHARE

SHARE = 0.25
"""The share of rows to test, where nobody says another and the data have no standard split."""


def draw_rows(content: RegressionRows, share: float, seed: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Draw rows to learn from, in random order, and rows to test.

    Rows that are told to be tested are. Else, where no share is asked for, a seed below the number of standard splits takes the
    one of its number. Else whole groups, where there are some, or single rows are drawn.

    Args:
        content: The data.
        share: The share of rows to test; 0 for the standard split, or a share like it.
        seed: The trial's.
        rng: Where randomness comes from.
    """
    tests, alike = content.tests, np.zeros(len(content), np.int64)
    if tests is None and not share and seed < len(content.splits):
        tests = np.isin(np.arange(len(content)), content.splits[seed])
    share = share or (len(content.splits[0]) / len(content) if content.splits else SHARE)
    if tests is None and content.groups is not None:
        tests = drawn_groups(alike, content.groups, share, rng)
    if tests is None:
        return stratified_split(alike, share, 0, rng)
    return rng.permutation(np.flatnonzero(~tests)), np.flatnonzero(tests)


def hold_out(content: RegressionRows, train: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Part the rows to learn from into those that stay so and those held out for validation, groups whole."""
    alike = np.zeros(len(train), np.int64)
    if content.groups is None:
        kept, held_out = stratified_split(alike, VALIDATION_SHARE, 0, rng)
        return train[kept], train[held_out]
    drawn = drawn_groups(alike, content.groups[train], VALIDATION_SHARE, rng)
    return train[~drawn], train[drawn]
