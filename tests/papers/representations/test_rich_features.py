"""The judges on a table where the answer is known, and what the study draws."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.representations import rich_features
from replica.papers.representations.rich_features import draw, easier_to_optimise, fresh, from_erm, steadier
from replica.representations import environment_risks
from replica.training import Replicas

CENTRES = {
    ("random", "IRMv1"): (0.5, 0.02), ("random", "V-REx"): (0.4, 0.04),
    ("ERM", "IRMv1"): (0.6, 0.02), ("ERM", "V-REx"): (0.56, 0.01), ("ERM", "ERM"): (0.2, 0.001),
    ("rich", "IRMv1"): (0.7, 0.01), ("rich", "V-REx"): (0.66, 0.01), ("rich", "ERM"): (0.3, 0.001),
    ("oracle", "ERM"): (0.72, 0.001),
}  # fmt: skip


def table() -> pd.DataFrame:
    """Two starts each, a spread apart on either side of the centre."""
    return pd.DataFrame([
        {"start": start, "method": method, "net": net, "accuracy": centre + sign * spread / math.sqrt(2), "seed": 0}
        for (start, method), (centre, spread) in CENTRES.items() for net, sign in enumerate((-1, 1))
    ])  # fmt: skip


def test_gains_are_means_over_the_penalised_methods() -> None:
    found = easier_to_optimise.judge(table())
    assert found["gain_over_random"] == pytest.approx(0.68 - 0.45)
    assert found["gain_over_erm"] == pytest.approx(0.68 - 0.58)
    assert found["below_oracle"] == pytest.approx(0.04)
    assert found["oracle_over_random"] == pytest.approx(0.27)
    assert (found["accuracy_of_erm"], found["accuracy_of_rich_erm"]) == (pytest.approx(0.2), pytest.approx(0.3))


def test_spreads_are_compared_by_logs() -> None:
    found = steadier.judge(table())
    assert found["log_spread"] == pytest.approx((math.log(0.5) + math.log(1.0)) / 2)
    assert found["log_spread_over_random"] == pytest.approx((math.log(0.5) + math.log(0.25)) / 2)
    assert found["accuracy_of_rich"] == pytest.approx(0.68)


def test_the_turned_environment_is_apart_from_all_that_is_learned_from() -> None:
    learned, held_out, turned = draw(Trial(100, "smoke"))
    assert (len(learned.labels), len(held_out.labels)) == (120, 40)
    assert torch.bincount(learned.environment).tolist() == [60, 60]
    right = []
    for rows in (learned, turned):
        colour = rows.images.unflatten(1, (2, -1)).sum(2).argmax(1)
        right.append(float((colour == rows.labels).float().mean()))
        assert torch.equal(rows.grey().images.sum(1), rows.images.unflatten(1, (2, -1)).sum(1).sum(1))
    assert right[0] > 0.7
    assert right[1] < 0.2
    keys = [set(map(bytes, np.round(rows.grey().images.numpy(), 4))) for rows in (learned, held_out, turned)]
    assert not keys[0] & keys[2]
    assert not keys[0] & keys[1]


@pytest.mark.parametrize("turned", [False, True])
def test_the_start_from_erm_is_the_one_of_least_held_out_risk(turned: bool) -> None:
    """With labels turned round the risk rises, so that the first look is the best one."""
    trial = Trial(100, "smoke")
    learned, held_out, _ = draw(trial)
    if turned:
        held_out = held_out._replace(labels=1 - held_out.labels)
    seen: list[torch.Tensor] = []
    original = rich_features.train_invariant

    def watched(nets: Replicas, *args: object, after_step: object, **rest: object) -> None:
        def both(step: int) -> None:
            after_step(step)  # type: ignore[operator]
            with torch.no_grad():
                logits = nets(held_out.images)
                risks = [environment_risks(z, held_out.labels, held_out.environment).mean() for z in logits]
                seen.append(torch.stack(risks))

        original(nets, *args, after_step=both, **rest)  # type: ignore[arg-type]

    nets = Replicas(fresh(trial, "start", learned.images.shape[1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rich_features, "train_invariant", watched)
        from_erm(trial, nets, learned, held_out)
    with torch.no_grad():
        logits = nets(held_out.images)
    kept = torch.stack([environment_risks(z, held_out.labels, held_out.environment).mean() for z in logits])
    torch.testing.assert_close(kept, torch.stack(seen).min(0).values)
