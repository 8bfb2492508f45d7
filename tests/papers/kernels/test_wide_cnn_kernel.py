import numpy as np
import pandas as pd
import pytest

from replica.data.sets.teachers.local_fields import LocalField
from replica.kernels import KernelRegressor
from replica.lab.claims import Trial
from replica.papers.kernels.wide_cnn_kernel import (
    CONVOLUTIONAL,
    DENSE,
    factors,
    learning_curves,
    paper,
    wide_cnn_kernel,
)


def test_factors_make_the_number():
    for number in range(1, 40):
        assert np.prod(factors(number), dtype=int) == number
    assert factors(12) == [2, 2, 3]


def test_judges_find_planted_exponents():
    """Power laws with theory's exponents: β = (1 + 1/d) / (1 + e), a fully connected kernel with e = d at every reach."""
    rows = []
    for patches in (2, 4, 8):
        for student in (CONVOLUTIONAL, DENSE):
            for reach in (2**level for level in range(int(np.log2(patches)) + 1)):
                beta = (1 + 1 / patches) / (1 + (reach if student == CONVOLUTIONAL else patches))
                for samples in (64, 128, 256, 512, 1024):
                    error = samples**-beta if samples > 64 else 1.0  # the first size does not count
                    rows.append(
                        {"student": student, "patches": patches, "reach": reach, "samples": samples, "error": error}
                    )
    table = pd.DataFrame(rows)
    local, full = (paper.claims[name].measures(table) for name in ("spatial_scale", "full_targets"))
    assert local["exponent_over_full"] == pytest.approx(0.5625 - 0.125)
    assert local["exponent_over_dense"] == pytest.approx(0.625 - 0.25)
    assert local["fall_with_inputs"] == pytest.approx(0.75 - 0.5625)
    assert full["smallest_fall"] == pytest.approx(0.125)
    assert full["exponent_two_patches"] == pytest.approx(0.5)


def test_more_samples_and_closer_targets_err_less():
    table = pd.DataFrame(learning_curves(Trial(0, "smoke")))
    last = table[(table["samples"] == table["samples"].max()) & (table["student"] == CONVOLUTIONAL)]
    for _, own in last.groupby("patches"):
        assert own.sort_values("reach")["error"].is_monotonic_increasing
    falls = table.sort_values("samples").groupby(["student", "patches", "reach"])["error"]
    assert (falls.first() > falls.last()).all()


def test_the_entry_learns_a_local_target_better_than_a_fully_connected_kernel():
    teacher = LocalField(8, 2, 1, 0.1, np.random.default_rng(0))
    train, test = (teacher.examples(count, np.random.default_rng(count)) for count in (200, 300))
    X, queries = train.inputs.reshape(200, -1), test.inputs.reshape(300, -1)
    ours = wide_cnn_kernel(Trial(0)).fit(X, train.targets, shape=(8, 2)).predict(queries)
    dense = KernelRegressor("ntk-relu").fit(X, train.targets).predict(queries)
    errors = [np.square(predicted - test.means).mean() for predicted in (ours, dense)]
    assert errors[0] < 0.7 * errors[1]
