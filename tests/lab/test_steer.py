"""The problem steer: laws against brute force, budgets, measures, rewards of one's own, what a method must give, the picture."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from replica.errors import ReplicaError
from replica.generative import MarkovChainDenoiser, MixtureDenoiser
from replica.lab.claims import Trial
from replica.lab.problems import Steer
from replica.lab.problems.ranking_figure import method_styles
from replica.lab.problems.steer import figure
from replica.lab.problems.steer.budget import Budget, Model, Reward, affordable, exact_tilt
from replica.lab.problems.steer.data import motif_count, staircase
from replica.lab.problems.steer.laws import ChainLaw, MixtureLaw
from replica.lab.problems.steer.problem import shares_of_levels
from replica.papers.baselines.steer import baselines, resampled

problem = Steer()
MIXTURE = MixtureLaw(torch.tensor([[-2.0, 0.0], [1.0, 1.0]]), 0.3, 100)
CHAIN = ChainLaw(torch.tensor([0.7, 0.3]), torch.tensor([[0.8, 0.2], [0.4, 0.6]]), 4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def given(law: Any, reward: Any, calls: int = 10**7, temperature: float = 1.0) -> tuple[Model, Reward]:
    return Model(law, Budget("calls of the network", calls)), Reward(reward, Budget("calls", 10**7), False, temperature)


class Fixed:
    """Gives what a function of model, reward and count gives."""

    def __init__(self, steer: Any) -> None:
        self.steer = steer


def run(steer: Any, data: str = "mixture", **options: Any) -> Any:
    resolved = problem.resolve({"samples": 50, **options})
    dataset = problem.load(data, resolved)
    return problem.run(Trial(100), lambda trial: Fixed(steer), dataset, resolved, examples=True)


def test_laws_are_those_of_the_wings_exact_denoisers() -> None:
    wing, x = MixtureDenoiser(MIXTURE.means, 0.3), torch.randn(20, 2, generator=seeded())
    a, m = (torch.tensor(value) for value in MIXTURE.level(40))
    torch.testing.assert_close(MIXTURE.denoise(x, 40), wing(x, a, m))
    torch.testing.assert_close(MIXTURE.log_prob(x), wing.log_density(x))
    tokens = torch.tensor([[2, 0, 2, 1], [2, 2, 2, 2]])
    chain = MarkovChainDenoiser(CHAIN.initial, CHAIN.transition)
    torch.testing.assert_close(CHAIN.denoise(tokens, 0), chain(tokens))
    torch.testing.assert_close(CHAIN.log_prob(tokens), chain.log_prob(tokens))


def test_atoms_hold_all_mass_and_samples_follow_the_law() -> None:
    cell = (10 / 400) ** 2
    assert float(MIXTURE.log_prob(MIXTURE.atoms()).exp().sum() * cell) == pytest.approx(1, abs=1e-3)
    points = given(MIXTURE, len)[0].sample(4000, seeded())
    assert float((points[:, 0] < 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(points[points[:, 0] < 0].std(0).mean()) == pytest.approx(0.3, abs=0.02)
    atoms = CHAIN.atoms()
    chances = CHAIN.log_prob(atoms).exp()
    assert float(chances.sum()) == pytest.approx(1)
    drawn = given(CHAIN, len)[0].sample(20_000, seeded())
    found = torch.bincount((drawn * 2 ** torch.arange(3, -1, -1)).sum(1), minlength=16) / 20_000
    assert float((found - chances).abs().sum()) / 2 < 0.02


def test_the_exact_tilt_is_that_of_a_gaussian_and_of_all_sequences() -> None:
    """A linear reward moves each Gaussian by variance / α, and weighs it by its mean."""
    points = exact_tilt(*given(MIXTURE, lambda x: x[:, 0], temperature=0.5), 8000, seeded())
    right = points[points[:, 0] > -0.5]
    assert float(right[:, 0].mean()) == pytest.approx(1 + 0.09 / 0.5, abs=0.02)
    assert len(right) / 8000 == pytest.approx(1 / (1 + math.exp(-6)), abs=0.005)
    reward = motif_count(torch.tensor([0, 1]))
    drawn = exact_tilt(*given(CHAIN, reward), 20_000, seeded())
    wanted = torch.softmax(CHAIN.log_prob(CHAIN.atoms()) + reward(CHAIN.atoms()), 0)
    found = torch.bincount((drawn * 2 ** torch.arange(3, -1, -1)).sum(1), minlength=16) / 20_000
    assert float((found - wanted).abs().sum()) / 2 < 0.02


def test_calls_are_counted_and_an_overrun_is_refused() -> None:
    model, reward = given(CHAIN, motif_count(torch.tensor([0, 1])), calls=30)
    model.sample(5)
    assert (model.budget.spent, model.budget.left) == (20, 10)
    model.log_prob(torch.zeros(4, 4, dtype=torch.long))
    reward(torch.zeros(3, 4, dtype=torch.long))
    assert (model.budget.left, reward.budget.spent) == (6, 3)
    with pytest.raises(ReplicaError, match="asked for 7 more calls of the network when 6 of 30 were left"):
        model.denoise(torch.zeros(7, 4, dtype=torch.long), 0)
    with pytest.raises(ReplicaError, match="calls of the network"):
        run(lambda model, reward, count: model.sample(11 * count))
    with pytest.raises(ReplicaError, match="calls of the reward"):
        run(lambda model, reward, count: reward(torch.zeros(1001 * count, 2)))


def test_the_budget_is_divided_so_that_it_is_never_overrun() -> None:
    for calls, looks in ((1, 1), (10, 1000), (20, 37), (3, 9)):
        model, reward = Model(CHAIN, Budget("", calls * 4 * 50)), Reward(len, Budget("", looks * 50), False, 1.0)
        many, completions = affordable(model, reward, 50)
        assert many * 4 <= calls * 4
        assert many == 1 or many * (4 * completions + 1) <= looks


def test_gradients_pass_where_they_may() -> None:
    x = torch.tensor([[0.3, 0.0]], requires_grad=True)
    smooth = staircase(torch.tensor([1.0, 0.0]), smooth=True)
    for gradient in (False, True):
        assert Reward(smooth, Budget("", 9), gradient, 1.0)(x).requires_grad == gradient
    assert smooth(torch.tensor([[2.0, 5.0]])) == pytest.approx(2, abs=1e-5)
    assert staircase(torch.tensor([1.0, 0.0]), smooth=False)(torch.tensor([[-0.5, 0.0], [1.9, 0.0]])).tolist() == [
        -1,
        1,
    ]
    with pytest.raises(ReplicaError, match="Letters have no gradient"):
        run(lambda model, reward, count: model.sample(count), "motif", gradient="yes")


def test_measures_are_those_of_what_is_known() -> None:
    rewards, log_atoms = np.array([0.0, 1.0, 1.0]), np.log([0.5, 0.25, 0.25])
    levels, shares = shares_of_levels(rewards, log_atoms, 1.0, np.array([1.0, 1.0, 0.0, 1.0]))
    assert levels.tolist() == [0, 1]
    assert shares["generator"].tolist() == pytest.approx([0.5, 0.5])
    assert shares["tilted law"][1] == pytest.approx(math.e / (1 + math.e))
    assert shares["samples"].tolist() == [0.25, 0.75]
    many = np.linspace(0, 1, 1000)
    levels, shares = shares_of_levels(many, np.zeros(1000), 1.0, many)
    assert len(levels) == 20
    assert shares["tilted law"].max() < 0.08
    found = run(lambda model, reward, count: exact_tilt(model, reward, count, seeded()), samples=4000)
    assert found.metrics["kl"] < 0.01
    base = run(lambda model, reward, count: model.sample(count, seeded()), "motif", samples=1000)
    assert base.metrics["diversity"] == pytest.approx(1, abs=0.03)
    assert base.metrics["network"] == 8
    assert base.metrics["kl"] > 0.05


@pytest.mark.parametrize(
    ("steer", "data", "said"),
    [
        (lambda model, reward, count: [1], "mixture", "returned list"),
        (lambda model, reward, count: torch.zeros(count, 3), "mixture", r"returned shape \(50, 3\)"),
        (lambda model, reward, count: torch.full((count, 2), math.nan), "mixture", "returned nan at sample 0"),
        (
            lambda model, reward, count: model.start(count),
            "motif",
            "returned 4 in a sequence; wanted letters from 0 to 3",
        ),
    ],
)
def test_what_is_no_sample_is_refused(steer: Any, data: str, said: str) -> None:
    with pytest.raises(ReplicaError, match=said):
        run(steer, data)


def test_a_reward_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "def high(x): return x[:, 1]\ndef short(x): return x[:1, 1]\ndef ones(x): return (x == 1).sum(1)\nBAD = 3\n"
    )

    def best(model: Any, reward: Any, count: int) -> Any:
        samples = model.sample(4 * count, seeded())
        return samples[reward(samples).argsort(descending=True)[:count]]

    found = run(best, f"{file}:high")
    assert found.metrics["reward"] > 1
    assert run(best, f"{file}:ones", generator="chain").metrics["reward"] > 2
    for name, said in (
        ("short", "gave shape"),
        ("BAD", "has no function 'BAD'"),
        ("none", "has no function 'none'"),
    ):
        with pytest.raises(ReplicaError, match=said):
            run(best, f"{file}:{name}")
    with pytest.raises(ReplicaError, match="names no reward"):
        run(best, str(file))
    with pytest.raises(ReplicaError, match="There is no file"):
        run(best, str(tmp_path / "other.py:high"))
    first = problem.load(f"{file}:high", problem.resolve({})).digest
    file.write_text("def high(x): return -x[:, 1]\n")
    assert problem.load(f"{file}:high", problem.resolve({})).digest != first


def test_resampling_is_by_weight() -> None:
    rows = resampled(torch.tensor([0.0, math.log(3), -math.inf]), 400, seeded())
    assert torch.bincount(rows, minlength=3).tolist() == [100, 300, 0]


def test_particles_come_near_the_tilted_law_and_best_of_n_does_not() -> None:
    makes = {each.name: each.make for each in baselines}
    options = problem.resolve({"samples": 1000, "calls": 20})
    kl = {
        name: problem.run(Trial(100), makes[name], problem.load("motif", options), options).metrics["kl"]
        for name in ("unguided", "best-of-n", "particles")
    }
    assert kl["particles"] < 0.05
    assert kl["particles"] < kl["unguided"]
    assert kl["particles"] < kl["best-of-n"]


def test_the_picture() -> None:
    outcome = run(lambda model, reward, count: model.sample(count, seeded()))
    comparison = SimpleNamespace(examples={"mine": outcome.examples, "exact-tilt": outcome.examples})
    drawn = Figure()
    FigureCanvasAgg(drawn)
    figure.draw(
        drawn.subfigures(), comparison, ["mine", "exact-tilt"], method_styles(["mine", "exact-tilt"], frozenset())
    )
    (axes,) = drawn.axes
    assert [line.get_label() for line in axes.lines] == ["generator", "tilted law", "mine"]
    assert axes.lines[2].get_ydata()[0] == pytest.approx(1)
