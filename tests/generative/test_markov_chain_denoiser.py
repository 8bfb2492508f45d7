"""Forward and backward messages against every sequence of a short chain, and the steps that unmask by them."""

import pytest
import torch

from replica.generative import AncestralSteps, CosinePath, MarkovChainDenoiser, MixtureDenoiser, UnmaskingSteps

LETTERS, LENGTH = 3, 5


def chain() -> MarkovChainDenoiser:
    drawn = torch.rand(LETTERS + 1, LETTERS, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    chances = drawn / drawn.sum(1, keepdim=True)
    return MarkovChainDenoiser(chances[0], chances[1:])


def every() -> tuple[torch.Tensor, torch.Tensor]:
    """All sequences, and their probabilities as products."""
    model, whole = chain(), torch.cartesian_prod(*[torch.arange(LETTERS)] * LENGTH)
    chances = model.initial[whole[:, 0]]
    for place in range(1, LENGTH):
        chances = chances * model.transition[whole[:, place - 1], whole[:, place]]
    return whole, chances


@pytest.mark.parametrize("tokens", [[3, 3, 3, 3, 3], [3, 1, 3, 3, 0], [2, 3, 3, 3, 3], [0, 1, 2, 0, 1]])
def test_chances_are_those_of_all_sequences_that_agree(tokens: list[int]) -> None:
    whole, chances = every()
    seen = torch.tensor(tokens)
    left = chances * ((whole == seen) | (seen == LETTERS)).all(1)
    marginals = torch.stack([(left[:, None] * (whole == letter)).sum(0) for letter in range(LETTERS)], 1) / left.sum()
    torch.testing.assert_close(chain()(seen[None])[0], marginals)
    torch.testing.assert_close(chain().log_prob(seen[None])[0], left.sum().log())


def test_completions_are_drawn_together() -> None:
    whole, chances = every()
    seen = torch.tensor([3, 1, 3, 3, 0])
    left = chances * ((whole == seen) | (seen == LETTERS)).all(1)
    drawn = chain().complete(seen.expand(20_000, -1), generator=torch.Generator().manual_seed(1))
    assert (drawn[:, [1, 4]] == torch.tensor([1, 0])).all()
    number = (drawn * LETTERS ** torch.arange(LENGTH - 1, -1, -1)).sum(1)
    found = torch.bincount(number, minlength=len(whole)) / len(drawn)
    assert float((found - left / left.sum()).abs().sum()) / 2 < 0.02


def test_unmasking_a_place_a_step_keeps_the_law_and_more_a_step_the_count() -> None:
    whole, chances = every()
    generator = torch.Generator().manual_seed(2)

    def unmasked(steps: int) -> torch.Tensor:
        model = UnmaskingSteps(chain(), LETTERS, LENGTH, steps)
        state = model.start(20_000, generator)
        for step in range(steps):
            before = state
            state = model.draw(state, model.denoise(state, step), step, generator)
            assert ((state != LETTERS).sum(1) == LENGTH * (step + 1) // steps).all()
            assert (state[before != LETTERS] == before[before != LETTERS]).all()
        return state

    number = (unmasked(LENGTH) * LETTERS ** torch.arange(LENGTH - 1, -1, -1)).sum(1)
    found = torch.bincount(number, minlength=len(whole)) / 20_000
    assert float((found - chances).abs().sum()) / 2 < 0.045  # as far as so many draws are from their law
    unmasked(2)


def test_ancestral_steps_keep_a_mixture() -> None:
    mixture = MixtureDenoiser(torch.tensor([[-2.0], [1.0]]).double(), 0.3, torch.tensor([1.0, 2.0]))
    model = AncestralSteps(mixture, CosinePath(), (1,), torch.linspace(0, 1, 201, dtype=torch.float64))
    generator = torch.Generator().manual_seed(3)
    state = model.start(8000, generator)
    for step in range(model.steps):
        state = model.draw(state, model.denoise(state, step), step, generator)
    assert float((state < -0.5).double().mean()) == pytest.approx(1 / 3, abs=0.02)
    assert float(state[state > -0.5].std()) == pytest.approx(0.3, abs=0.02)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="tokens: got"):
        chain()(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="steps: got 6"):
        UnmaskingSteps(chain(), LETTERS, LENGTH, 6)
    with pytest.raises(ValueError, match="times: got"):
        AncestralSteps(lambda x, a, m: x, CosinePath(), (1,), torch.tensor([1.0, 0.0]))
