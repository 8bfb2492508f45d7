"""Soft-value decoding where the tilted law can be enumerated, and where nothing may change."""

import pytest
import torch
from torch import Tensor

from replica.generative import MarkovChainDenoiser, SoftValueDecoder, UnmaskingSteps, posterior_mean_value

LETTERS, LENGTH, ALPHA = 2, 5, 0.7
WHOLE = torch.cartesian_prod(*[torch.arange(LETTERS)] * LENGTH)
CHAIN = MarkovChainDenoiser(torch.tensor([0.6, 0.4]).double(), torch.tensor([[0.7, 0.3], [0.2, 0.8]]).double())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reward(tokens: Tensor) -> Tensor:
    """A step for each place where 0 is followed by 1."""
    return ((tokens[:, :-1] == 0) & (tokens[:, 1:] == 1)).sum(1).double()


def exact_value(state: Tensor, predicted: Tensor | None, generator: torch.Generator | None) -> Tensor:
    """α ln E[e^{r/α} | letters seen], over all sequences."""
    agrees = ((state[:, None] == WHOLE) | (state[:, None] == LETTERS)).all(2)
    weighted = CHAIN.log_prob(WHOLE) + reward(WHOLE) / ALPHA
    tilted = torch.where(agrees, weighted, -torch.inf).logsumexp(1)
    return ALPHA * (tilted - CHAIN.log_prob(state))


def frequencies(drawn: Tensor) -> Tensor:
    number = (drawn * LETTERS ** torch.arange(LENGTH - 1, -1, -1)).sum(1)
    return torch.bincount(number, minlength=len(WHOLE)).double() / len(drawn)


def test_exact_values_and_many_candidates_give_the_tilted_law() -> None:
    tilted = torch.softmax(CHAIN.log_prob(WHOLE) + reward(WHOLE) / ALPHA, 0)
    model, count = UnmaskingSteps(CHAIN, LETTERS, LENGTH), 4000

    def chi_square(candidates: int) -> float:
        found = frequencies(SoftValueDecoder(model, exact_value, candidates, ALPHA).sample(count, generator=seeded()))
        return float((count * (found - tilted).square() / tilted).sum())

    assert chi_square(100) < 61  # 31 degrees of freedom: one in a thousand is above
    assert chi_square(4) > 61
    assert chi_square(1) > 500


def test_one_candidate_is_the_models_own_sampler_bit_for_bit() -> None:
    model, generator = UnmaskingSteps(CHAIN, LETTERS, LENGTH), seeded(1)
    state = model.start(50, generator)
    for step in range(model.steps):
        state = model.draw(state, model.denoise(state, step), step, generator)
    decoded = SoftValueDecoder(model, posterior_mean_value(reward, completions=3), 1).sample(50, generator=seeded(1))
    assert torch.equal(decoded, state)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_constant_reward_changes_nothing(temperature: float) -> None:
    value = posterior_mean_value(lambda tokens: torch.ones(len(tokens)), completions=2)
    decoder = SoftValueDecoder(UnmaskingSteps(CHAIN, LETTERS, LENGTH), value, 6, temperature)
    found, chances = frequencies(decoder.sample(8000, generator=seeded(2))), CHAIN.log_prob(WHOLE).exp()
    assert float((8000 * (found - chances).square() / chances).sum()) < 61


def test_each_candidate_is_predicted_once() -> None:
    seen = []

    def counted(tokens: Tensor) -> Tensor:
        seen.append(len(tokens))
        return CHAIN(tokens)

    value = posterior_mean_value(reward, completions=2)
    SoftValueDecoder(UnmaskingSteps(counted, LETTERS, LENGTH), value, 7).sample(3, generator=seeded())
    assert seen == [3, *[21] * (LENGTH - 1)]


def test_completions_estimate_the_mean_reward_of_independent_letters() -> None:
    predicted = torch.tensor([[[0.3, 0.7], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]]).double()
    found = posterior_mean_value(reward, completions=20_000)(torch.zeros(2, 2).long(), predicted, seeded())
    torch.testing.assert_close(found, torch.tensor([0.15, 1.0]).double(), atol=0.01, rtol=0)
    mean = posterior_mean_value(lambda points: points.sum(1))
    assert mean(torch.zeros(1, 2), torch.tensor([[1.0, 2.0]]), None) == 3
    assert mean(torch.ones(1, 2), None, None) == 2


def test_bad_arguments_are_named() -> None:
    model = UnmaskingSteps(CHAIN, LETTERS, LENGTH)
    for given, match in (({"candidates": 0}, "candidates: got 0"), ({"temperature": -1.0}, "temperature: got -1")):
        with pytest.raises(ValueError, match=match):
            SoftValueDecoder(model, exact_value, **given)
    with pytest.raises(ValueError, match=r"value: got shape \(\)"):
        SoftValueDecoder(model, lambda *_: torch.zeros(()), 2).sample(3)
    with pytest.raises(ValueError, match="completions: got -1"):
        posterior_mean_value(reward, completions=-1)
