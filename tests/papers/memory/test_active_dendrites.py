"""What the claims of active_dendrites stand on: judges that tell an exponential and a shift of the law."""

import numpy as np
import pandas as pd
import pytest

from replica.papers.memory.active_dendrites import cells_scaling, union_limit


def test_an_exponential_grows_at_the_rate_of_one_and_a_power_law_below() -> None:
    cells = np.array([800, 1200, 1600, 2000])
    table = pd.DataFrame({
        "active": ["128 cells"] * 4 + ["3.2 % of the cells"] * 4,
        "cells": [*cells, *cells],
        "false_match": [*10.0 ** (-cells / 400), *(cells / 800.0) ** -12],
    })  # fmt: skip
    growth = cells_scaling.judge(table)
    assert growth["rate_growth_fixed_activity"] == pytest.approx(1)
    assert growth["rate_growth_fixed_sparsity"] < 0.7


def test_gaps_of_unions_keep_their_sign_and_misses_count() -> None:
    law = 10.0 ** np.array([-3.0, -2.5, -1.5, -1.0])
    table = pd.DataFrame({
        "patterns": [10, 15, 25, 30],
        "false_match": law * 10.0 ** np.array([0.1, -0.1, -0.1, 0.1]),
        "law": law,
        "missed": [0, 0, 1, 0],
        "held": [10, 10, 10, 10],
    })  # fmt: skip
    measures = union_limit.judge(table)
    assert measures["signed_log10_gap"] == pytest.approx(0)
    assert measures["log10_gap"] == pytest.approx(0.1)
    assert measures["misses"] == 1 / 40
    assert measures["capacity_over_prediction"] == pytest.approx(21 / 20)
