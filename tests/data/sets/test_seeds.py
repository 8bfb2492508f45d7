"""Fresh draws by name: the plain name is the set as it always was, another seed another sample of the same kind."""

from __future__ import annotations

import numpy as np
import pytest

from replica.data import mnist_1d, split_seed
from replica.errors import ReplicaError
from replica.lab.problems import get


def test_names_and_seeds() -> None:
    made = ("mnist-1d", "darcy")
    assert split_seed("mnist-1d:7", made) == ("mnist-1d", 7)
    for source in ("mnist-1d", "digits:7", "C:7", "my:file.csv", ":3"):
        assert split_seed(source, made) == (source, None)
    for seed in ("", "x", "-1", "1.5", "٣", "4294967296", "9" * 5000):
        with pytest.raises(ReplicaError, match="wanted a seed behind the name") as caught:
            split_seed(f"mnist-1d:{seed}", made)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("problem", "name", "options"),
    [
        ("classification", "mnist-1d", {}), ("credit", "mnist-1d", {}),
        ("events", "mnist-1d", {}), ("events", "coincidences", {}),
        ("operator", "darcy", {"samples": 4, "resolution": 8}), ("operator", "darcy-smooth", {"samples": 4, "resolution": 8}),
        ("operator", "helmholtz", {"samples": 4, "resolution": 32}), ("operator", "burgers", {"samples": 4, "resolution": 8}),
    ],
)  # fmt: skip
def test_problems_take_a_seed_behind_a_name(problem: str, name: str, options: dict[str, int]) -> None:
    load = get(problem).load
    plain, first, again, second = (load(source, options) for source in (name, f"{name}:7", f"{name}:7", f"{name}:8"))
    assert first.digest == again.digest
    assert len({plain.digest, first.digest, second.digest}) == 3
    assert first.shape == plain.shape
    assert "drawn with seed 7" in first.description
    assert first.name == f"{name}:7"


def test_fresh_draws_are_samples_of_one_kind() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    sets = [mnist_1d(), mnist_1d(7)]
    np.testing.assert_array_equal(mnist_1d(42).features, sets[0].features)
    scores = [
        [
            KNeighborsClassifier(1).fit(a.features[:4000], a.labels[:4000]).score(b.features[4000:], b.labels[4000:])
            for b in sets
        ]
        for a in sets
    ]
    assert np.ptp(scores) < 0.06
