"""The studies of task_vectors: judges on made tables, what is shown of few labels, and what stays while they are learned."""

import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.lab.problems.merge.nets import Trained
from replica.papers.landscapes.task_vectors import adapted, atlas, by_method, measured, paper, shots
from replica.training import Replicas, mlp


def measures(claim, rows):
    return paper.claims[claim].measures(pd.DataFrame(rows))


def test_gains_of_scales():
    kept = {"block by block": 0.9, "a scale each": 0.85, "one scale": 0.8, "start": 0.7}
    found = measures("less_interference", [{"method": m, "kept": k, "single": 0.95} for m, k in kept.items()])
    assert found == pytest.approx(
        {"gain_over_one_scale": 0.1, "gain_over_a_scale_each": 0.05, "kept_by_one_scale": 0.8}
        | {"accuracy_of_single_nets": 0.95, "gain_over_start": 0.2}
    )  # fmt: skip


def table():
    """Accuracy that falls by 0.1 at the wrong rate, and of which validation tells the right one."""
    levels = {"task vectors": 0.8, "random directions": 0.6, "linear probe": 0.7, "full fine-tuning": 0.5}
    rows = [
        {"method": m, "labels": k, "rate": rate, "task": task, "accuracy": level + 0.01 * k - 10 * abs(rate - 0.01),
         "validation": 1 - 10 * abs(rate - 0.01)}
        for m, level in levels.items() for k in (1, 2, 4) for rate in (0.01, 0.02) for task in range(3)
    ]  # fmt: skip
    controls = {"start": 0.4, "all rows": 0.9}
    return rows + [
        {"method": m, "labels": 0, "rate": 0.0, "task": task, "accuracy": a, "validation": a}
        for m, a in controls.items() for task in range(3)
    ]  # fmt: skip


def test_gains_from_few_labels():
    mean = 0.01 * 7 / 3
    found = measures("few_shots", table())
    assert found == pytest.approx(
        {"gain_over_fine_tuning": 0.3, "gain_over_probe": 0.1, "gain_over_fine_tuning_at_one": 0.3}
        | {"gain_over_probe_at_one": 0.1, "headroom": 0.5, "gain_over_start": 0.4 + mean}
    )  # fmt: skip
    found = measures("bases_matter", table())
    assert found["gain_over_random"] == pytest.approx(0.2)
    assert found["gain_at_one"] == pytest.approx(0.2)


def test_a_tasks_rate_is_chosen_by_the_other_tasks():
    """Task 0 tells the second rate and has the first at its best; the others do it the other way round."""
    rows = [
        {"method": "a", "labels": 1, "rate": rate, "task": task, "validation": float((rate == 0.02) == (task == 0)),
         "accuracy": 1.0 if (task, rate) == (0, 0.01) else 0.0}
        for rate in (0.01, 0.02) for task in range(3)
    ]  # fmt: skip
    assert by_method(pd.DataFrame(rows))["a", 1] == pytest.approx(1 / 3)


def nets():
    generator = torch.Generator().manual_seed(0)
    base = mlp((3, 5, 10), generator=generator)
    held = [(torch.arange(240.0).view(80, 3) + task, torch.arange(80) % 10) for task in range(2)]
    return Trained(["one", "two"], base, [base, base], held, held, 0.0)


def test_shots_are_the_first_of_each_class_and_as_many_for_all():
    inputs, labels = shots(nets(), 1, 2)
    assert inputs.shape == (40, 3)
    assert torch.bincount(labels).tolist() == [4] * 10
    assert len(inputs.unique(dim=0)) == 20
    assert float(inputs.max()) < 61 + 1, "of the first 20 rows"


def test_what_is_frozen_stays_and_cells_are_kept_apart():
    given = nets()
    cells = [(1, 0.01, 0), (4, 0.01, 1), (1, 0.0, 0)]
    learned = adapted(Trial(0, "smoke"), given, [given.base] * 3, cells, "2.")
    before = dict(given.base.named_parameters())
    assert all(torch.equal(learned.parameters["2.weight"][i], before["2.weight"]) for i in range(3))
    assert torch.equal(learned.parameters["0.weight"][2], before["0.weight"]), "at rate 0 nothing moves"
    assert not torch.equal(learned.parameters["0.weight"][0], learned.parameters["0.weight"][1])
    rows = measured(given, Replicas([given.base] * 3), "a", cells)
    assert [(row["labels"], row["rate"], row["task"]) for row in rows] == cells
    inputs, labels = given.tests[0]
    assert rows[0]["accuracy"] == pytest.approx(float((given.base(inputs).argmax(1) == labels).float().mean()))


def test_the_entry_says_how_many_numbers_it_learned():
    given = nets()
    generator = torch.Generator().manual_seed(1)
    tuned = [mlp((3, 5, 10), generator=generator) for _ in range(2)]
    method = atlas(Trial(0, "smoke"), partitions=3)
    merged = method.merge(given.base, tuned, given.held_out)
    assert method.numbers_learned == 2 * 4 * 3
    assert type(merged) is type(given.base)
