"""The studies of deep_kernel_machines: alignments of known matrices, who is fitted to what, and judges on made tables."""

import numpy as np
import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.kernels import deep_kernel_machines as study
from replica.papers.kernels.deep_kernel_machines import alignment, paper, relative, tables, wide_processes


def test_alignments_of_known_matrices():
    rng = np.random.default_rng(0)
    y, truth = rng.normal(size=30), rng.normal(size=20)
    assert alignment(np.outer(truth, y) + 5, truth, y) == pytest.approx(1)  # a constant says nothing
    assert alignment(-np.outer(truth, y), truth, y) == pytest.approx(-1)
    other = rng.normal(size=30)
    other -= other.mean() + (y - y.mean()) * ((y - y.mean()) @ other) / np.square(y - y.mean()).sum()
    assert alignment(np.outer(truth, other), truth, y) == pytest.approx(0, abs=1e-12)
    rows, columns = truth - truth.mean(), y - y.mean()
    size = np.linalg.norm(rows) * np.linalg.norm(columns) / np.linalg.norm(rows) / np.linalg.norm(other)
    mixed = np.outer(rows, columns) + size * np.outer(rows, other)
    assert alignment(mixed, truth, y) == pytest.approx(2**-0.5)


def test_distances_are_relative_to_the_second_matrix_layer_by_layer():
    one = torch.stack([torch.eye(2), 3 * torch.eye(2)])
    assert relative(one, 2 * torch.eye(2).expand(2, 2, 2)).tolist() == pytest.approx([0.5, 0.5])
    assert relative(2 * one, one).tolist() == pytest.approx([1.0, 1.0])


def test_machines_differ_in_what_they_are_said_to_differ_in(monkeypatch):
    """Same seed, turns and starts; a Gaussian process has no layers; shuffled targets are the targets in another order."""
    given = []

    class Spy(study.DeepKernelMachineRegressor):
        def fit(self, X, y):
            given.append((self.get_params(), X, y))
            return super().fit(X, y)

    monkeypatch.setattr(study, "DeepKernelMachineRegressor", Spy)
    rows = pd.DataFrame(tables(Trial(100, "smoke"))).set_index("machine")
    fits = dict(zip(rows.index, given, strict=True))
    depths = {name: (settings["depth"], settings["nu"]) for name, (settings, _, _) in fits.items()}
    assert depths["GP"] == (0, np.inf)
    assert depths["NNGP"] == depths["NNGP, shuffled targets"] == (2, np.inf)
    assert {depths[name] for name in ("full", "sparse", "few rows", "full, shuffled targets")} == {(2, study.NU)}
    assert {(settings["steps"], settings["random_state"]) for settings, _, _ in given} == {
        (4, given[0][0]["random_state"])
    }
    assert {name for name, (_, X, _) in fits.items() if len(X) < 20} == {"few rows"}
    assert len(fits["few rows"][1]) == fits["sparse"][0]["inducing"]
    assert [fits[name][0]["inducing"] for name in ("GP", "NNGP", "full")] == [None] * 3
    y, shuffled = fits["full"][2], fits["full, shuffled targets"][2]
    assert sorted(y) == sorted(shuffled)
    assert not np.array_equal(y, shuffled)
    assert set(rows.index[rows["alignment"].isna()]) == {"GP", "sparse", "few rows"}


def test_wide_processes_are_judged_by_their_worse_layer_and_the_limit_by_its_nearer():
    rows = [
        {"kind": kind, "layer": layer, "distance": distance}
        for kind, both in (("standard limit", (0.4, 0.7)), ("likeliest features", (0.9, 0.3)))
        for layer, distance in enumerate(both, start=1)
    ]
    rows += [
        {"kind": "process", "width": width, "layer": layer, "distance": layer / width, "spread": 3 * width**-0.5}
        | {"cosine": 1 - layer / width}
        for width in (4, 16, 64)
        for layer in (1, 2)
    ]
    found = paper.claims["wide_processes_match"].measures(pd.DataFrame(rows))
    wanted = {"distance": 2 / 64, "slope": -1.0, "slope_of_spread": -0.5, "direction_at_16_features": 1 - 2 / 16}
    wanted |= {"distance_of_likeliest_features": 0.3, "distance_of_standard_limit": 0.4}
    assert found == pytest.approx(wanted)


def test_machines_are_judged_by_means_over_tables():
    numbers = {
        "GP": (0.50, None), "NNGP": (0.45, 0.30), "full": (0.40, 0.42), "sparse": (0.41, None), "few rows": (0.70, None),
        "NNGP, shuffled targets": (1.0, 0.01), "full, shuffled targets": (1.1, 0.04),
    }  # fmt: skip
    table = pd.DataFrame(
        [
            {"table": name, "machine": machine, "rmse": rmse + shift, "alignment": aligned}
            for name, shift in (("one", -0.1), ("two", 0.1))
            for machine, (rmse, aligned) in numbers.items()
        ]
    )
    learns, sparse = (
        paper.claims[name].measures(table) for name in ("learns_representations", "sparse_keeps_accuracy")
    )
    wanted = {"gain_in_alignment": 0.12, "gain_in_rmse": 0.05, "gain_over_gaussian_process": 0.1, "rmse": 0.4}
    assert learns == pytest.approx(wanted | {"gain_for_shuffled_targets": 0.03, "alignment_of_standard_limit": 0.3})
    wanted = {"behind_full": 0.01, "gain_over_standard_limit": 0.04, "gain_over_few_rows": 0.29, "rmse_of_full": 0.4}
    assert sparse == pytest.approx(wanted)


def test_processes_are_measured_at_every_width_and_layer():
    found = pd.DataFrame(wide_processes(Trial(100, "smoke")))
    processes = found[found["kind"] == "process"]
    assert processes.groupby("width")["layer"].apply(list).to_dict() == {4: [1, 2], 16: [1, 2]}
    assert (processes["cosine"].abs() <= 1).all()
    assert not found[found["kind"] != "process"].duplicated(["kind", "layer"]).any()
