"""Random teachers: what the judges make of a known table, the nets, and that students differ in one thing."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from replica.lab.claims import Trial
from replica.papers.representations import random_teachers
from replica.papers.representations.random_teachers import FAR, NEAR, NOISE, ROOF, START, STUDENT, TEACHER, net, paper


def test_judges_of_a_known_table() -> None:
    known = {
        TEACHER: (0.5, 0.4, 10.0),
        START: (0.55, 0.4, 9.0),
        STUDENT: (0.6, 0.45, 20.0),
        NOISE: (0.52, 0.4, 12.0),
        FAR: (0.57, 0.5, 15.0),
        ROOF: (0.95, 0.9, 9.0),
    }
    table = pd.DataFrame(
        [
            dict(zip(("method", "accuracy", "neighbours", "rank"), (name, *row), strict=True))
            for name, row in known.items()
        ]
    )
    gates = {"headroom": 0.45, "accuracy_of_roof": 0.95}
    expected: dict[str, dict[str, float]] = {
        "better_than_the_teacher": {"gain": 0.1, "gain_of_neighbours": 0.05, "log_rank_gained": np.log(2)},
        "data_matter": {"loss_by_random_inputs": 0.08, "gain_by_random_inputs": 0.02},
        "locality": {"gain_by_closeness": 0.03, "gain_from_afar": 0.07},
        "independent_start": {"gain_from_afar": 0.07, "gain_over_start": 0.02, "gain_of_neighbours_from_afar": 0.1},
    }
    for name, measures in expected.items():
        assert paper.claims[name].judge(table) == pytest.approx(measures | gates)


def test_the_nets_are_deep_and_drawn_independently() -> None:
    trial = Trial(100, "laptop")
    teacher, fresh = net(trial, "teacher"), net(trial, "fresh")
    assert sum(isinstance(layer, nn.Conv2d) for layer in teacher.modules()) == 9
    assert teacher(torch.zeros(2, 1, 8, 8)).shape == (2, 256)
    for one, other in zip(teacher.parameters(), fresh.parameters(), strict=True):
        if one.ndim > 1:
            assert abs(float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]).detach())[0, 1])) < 0.3


def test_students_differ_in_inputs_or_start_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []
    plain = random_teachers.distil

    def watched(student: nn.Module, teacher: nn.Module, inputs: torch.Tensor, **settings: Any) -> Any:
        start = [parameter.detach().clone() for parameter in student.parameters()]
        state = settings.pop("generator").get_state()
        seen.append((start, list(teacher.parameters()), inputs, state, settings))
        return plain(student, teacher, inputs, **settings, generator=torch.Generator().manual_seed(0))

    monkeypatch.setattr(random_teachers, "distil", watched)
    rows = pd.DataFrame(random_teachers.students(Trial(100, "smoke"))).set_index("method")
    assert list(rows.index) == [TEACHER, START, STUDENT, NOISE, FAR, ROOF]
    (near, teacher, digits, order, settings), noisy, far = seen
    for start, _, _, state, others in seen[1:]:
        assert others == settings
        assert torch.equal(state, order)
        same = all(torch.equal(one, other) for one, other in zip(start, near, strict=True))
        assert same == (start is noisy[0])
    assert all(torch.allclose(one, other, atol=10 * NEAR) for one, other in zip(near, teacher, strict=True))
    assert torch.equal(digits, far[2])
    assert not torch.equal(digits, noisy[2])
    for inputs in (digits, noisy[2]):
        assert float(inputs.mean()) == pytest.approx(0, abs=0.02)
        assert float(inputs.std()) == pytest.approx(1, abs=0.02)
