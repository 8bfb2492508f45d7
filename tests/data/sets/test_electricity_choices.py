"""The reader of electricity choices: chosen first, people numbered, wrong tables named."""

import pandas as pd
import pytest

from replica.data import electricity_choices
from replica.errors import ReplicaError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REPLICA_DATA", str(tmp_path))
    (tmp_path / "choices").mkdir()
    electricity_choices.cache_clear()
    yield tmp_path / "choices"
    electricity_choices.cache_clear()


def table():
    rows = []
    for choice, (person, chosen) in enumerate(((7, 2), (3, 0), (7, 3))):
        for contract in range(4):
            price = 10 * choice + contract
            rows.append({"choice": contract == chosen, "id": person, "chid": choice, "alt": contract + 1, "pf": price})
    return pd.DataFrame(rows).assign(cl=1, loc=0, wk=0, tod=0, seas=1)


def test_the_chosen_contract_comes_first(folder):
    table().sample(frac=1, random_state=0).to_csv(folder / "electricity.csv.gz", index=False)
    found = electricity_choices()
    assert found.contracts.shape == (3, 4, 6)
    assert found.contracts[:, 0, 0].tolist() == [2, 10, 23]
    assert [sorted(prices) for prices in found.contracts[..., 0].tolist()] == [
        [0, 1, 2, 3],
        [10, 11, 12, 13],
        [20, 21, 22, 23],
    ]
    assert found.people.tolist() == [1, 0, 1]


def test_what_is_missing_is_named(folder, monkeypatch):
    with pytest.raises(ReplicaError, match="is not there"):
        electricity_choices()
    table().drop(columns="wk").to_csv(folder / "electricity.csv.gz", index=False)
    with pytest.raises(ReplicaError, match="no column wk"):
        electricity_choices()
    table().assign(choice=False).to_csv(folder / "electricity.csv.gz", index=False)
    with pytest.raises(ReplicaError, match="one of them chosen"):
        electricity_choices()
    monkeypatch.delenv("REPLICA_DATA")
    with pytest.raises(ReplicaError, match="is not set"):
        electricity_choices()
