"""Macrocolumns beside loops written out, closed forms and the frequencies they promise."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from replica.memory import FamiliarityRamp, SparseyLayer, SparseyMemory
from replica.memory.sparsey_codes import familiarity, intersection

FIELDS = torch.tensor([[0, 1, 2, 3, 4], [3, 4, 5, 6, 7], [7, 8, 9, 10, 11]])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sparse(count: int, inputs: int, active: int, seed: int = 0) -> Tensor:
    order = torch.rand(count, inputs, generator=generator(seed)).argsort(1)
    return torch.zeros(count, inputs).scatter_(1, order[:, :active], 1.0)


def weights_by_hand(patterns: Tensor, winners: Tensor, units: int) -> np.ndarray:
    """Weights (inputs, modules, units) of one macrocolumn, one input and one winner at a time."""
    weights = np.zeros((patterns.shape[1], winners.shape[1], units))
    for pattern, code in zip(patterns.tolist(), winners.tolist(), strict=True):
        for i, module in itertools.product(range(len(pattern)), range(len(code))):
            if pattern[i]:
                weights[i, module, code[module]] = 1
    return weights


def support_by_hand(cue: Tensor, weights: np.ndarray) -> np.ndarray:
    active = [i for i, value in enumerate(cue.tolist()) if value]
    return np.mean([weights[i] for i in active], axis=0)


# The ramp


def test_chances_are_the_formula() -> None:
    ramp = FamiliarityRamp(
        floor=0.2, exponent=1.5, expansion=7.0, steepness=9.0, midpoint=0.4, scale=1.3, asymmetry=0.8
    )
    support = torch.rand(3, 4, 5, generator=generator(), dtype=torch.float64)
    known = familiarity(support)
    found = ramp.probabilities(support, known)
    for row in range(3):
        G = np.mean([max(module) for module in support[row].tolist()])
        assert float(known[row]) == pytest.approx(G)
        eta = 1 + max(0.0, (G - 0.2) / 0.8) ** 1.5 * 7.0 * 5
        psi = 1 + (eta - 1) / (1 + 1.3 * np.exp(-9.0 * (support[row].numpy() - 0.4))) ** 0.8
        np.testing.assert_allclose(found[row].numpy(), psi / psi.sum(-1, keepdims=True), rtol=1e-12)


def test_chances_are_equal_for_new_inputs_and_certain_for_known_ones() -> None:
    ramp = FamiliarityRamp(floor=0.3)
    support = torch.tensor([[0.3, 0.1, 0.0, 0.2]])
    assert torch.equal(ramp.probabilities(support, torch.tensor(0.3)), torch.full((1, 4), 0.25))
    known = torch.tensor([[1.0, 0.1, 0.0, 0.2]])
    assert float(ramp.probabilities(known, torch.tensor(1.0))[0, 0]) > 0.98


@pytest.mark.parametrize("similarity", [0.0, 0.4, 0.5, 0.7, 1.0])
def test_intersection_with_one_stored_input_is_as_predicted(similarity: float) -> None:
    """Many draws against the closed form, within five standard errors."""
    layer = SparseyLayer(60, 10, 12)
    pattern = sparse(1, 60, 20)
    stored = layer.store(pattern, generator=generator(1))
    kept = round(20 * similarity)
    cue = torch.zeros(60)
    cue[pattern[0].nonzero()[:kept, 0]] = 1
    cue[(pattern[0] == 0).nonzero()[: 20 - kept, 0]] = 1
    found = layer.draw(cue.repeat(2000, 1), generator=generator(2))
    measured = float(intersection(found.winners, stored.winners).double().mean())
    predicted = float(layer.ramp.expected_intersection(torch.tensor(similarity), 12))
    assert measured == pytest.approx(predicted, abs=5 * (predicted * (1 - predicted) / 20_000) ** 0.5 + 1e-6)


def test_expected_intersection_at_its_ends() -> None:
    ramp = FamiliarityRamp(floor=0.25)
    assert ramp.expected_intersection(torch.tensor([0.0, 0.25]), 8).tolist() == [0.125, 0.125]
    rising = ramp.expected_intersection(torch.linspace(0.3, 1, 50, dtype=torch.float64), 8)
    assert bool((rising.diff() > 0).all())


# Codes and weights


def test_weights_and_support_are_those_written_out() -> None:
    layer = SparseyLayer(12, 3, 4)
    patterns = sparse(6, 12, 4)
    stored = layer.store(patterns, generator=generator(1))
    weights = weights_by_hand(patterns, stored.winners[:, 0], 4)
    np.testing.assert_array_equal(layer.weights[0].reshape(12, 3, 4).numpy(), weights)
    cues = sparse(5, 12, 5, seed=3)
    support = layer.support(cues)
    found = layer.retrieve(cues)
    for row, cue in enumerate(cues):
        by_hand = support_by_hand(cue, weights)
        np.testing.assert_allclose(support[row, 0].numpy(), by_hand, rtol=1e-6)
        assert found.winners[row, 0].tolist() == by_hand.astype(np.float32).argmax(1).tolist()
        assert float(found.familiarity[row, 0]) == pytest.approx(by_hand.max(1).mean())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_macrocolumns_are_independent(batch: int, dtype: torch.dtype) -> None:
    """A layer of three is three layers of one, for a batch as for single rows, which are summed in another way."""
    layer = SparseyLayer(12, 4, 5, receptive_fields=FIELDS).to(dtype)
    patterns = (torch.rand(8, 12, generator=generator()) < 0.5).to(dtype)
    stored = layer.store(patterns, generator=generator(1))
    cues = (torch.rand(batch, 12, generator=generator(2)) < 0.5).to(dtype)
    found = layer.retrieve(cues)
    for index, field in enumerate(FIELDS):
        alone = SparseyLayer(5, 4, 5).to(dtype)
        seen = patterns[:, field]
        alone.associate(seen, stored.winners[:, index : index + 1])
        torch.testing.assert_close(alone.weights[0], layer.weights[index])
        assert torch.equal(alone.retrieve(cues[:, field]).winners[:, 0], found.winners[:, index])
        torch.testing.assert_close(alone.retrieve(cues[:, field]).familiarity[:, 0], found.familiarity[:, index])


def test_winners_come_as_often_as_their_chances_say() -> None:
    layer = SparseyLayer(30, 3, 6)
    layer.store(sparse(12, 30, 8), generator=generator(1))
    cue = sparse(1, 30, 8, seed=5)
    support = layer.support(cue)
    chances = layer.ramp.probabilities(support, familiarity(support))[0, 0]
    drawn = layer.one_hot(layer.draw(cue.repeat(20_000, 1), generator=generator(2)).winners)
    frequencies = drawn.mean(0).view(3, 6)
    assert float((frequencies - chances).abs().max()) < 5 * (0.25 / 20_000) ** 0.5
    assert float(chances.max() - chances.min()) > 0.05


def test_one_presentation_is_enough_and_lasts() -> None:
    layer = SparseyLayer(400, 10, 64, ramp=FamiliarityRamp(floor=0.3, midpoint=0.8, steepness=30.0, expansion=1.0))
    patterns = sparse(200, 400, 20)
    stored = layer.store(patterns, generator=generator(1))
    assert float(stored.familiarity.mean()) < 0.5
    again = layer.retrieve(patterns)
    assert torch.equal(again.winners, stored.winners)
    assert torch.equal(again.familiarity, torch.ones(200, 1))


def test_storing_is_the_same_under_the_same_generator_and_goes_on_where_it_stopped() -> None:
    patterns = sparse(10, 40, 8)
    one, other = SparseyLayer(40, 5, 6), SparseyLayer(40, 5, 6)
    whole = one.store(patterns, generator=generator(3))
    noise = generator(3)
    first = other.store(patterns[:4], generator=noise)
    second = other.store(patterns[4:], generator=noise)
    assert torch.equal(whole.winners, torch.cat([first.winners, second.winners]))
    assert torch.equal(one.weights, other.weights)
    assert not torch.equal(whole.winners, SparseyLayer(40, 5, 6).store(patterns, generator=generator(4)).winners)


def test_a_chunk_is_coded_in_view_of_what_was_stored_before_it() -> None:
    layer = SparseyLayer(40, 5, 6)
    patterns = sparse(9, 40, 8)
    layer.store(patterns[:3], generator=generator(1))
    expected = layer.draw(patterns[3:], generator=generator(2))
    found = layer.store(patterns[3:], chunk=6, generator=generator(2))
    assert torch.equal(found.winners, expected.winners)
    assert torch.equal(found.familiarity, expected.familiarity)
    assert torch.equal(layer.retrieve(patterns).familiarity, torch.ones(9, 1))


def test_assumed_familiarity_of_zero_gives_codes_that_ignore_the_input() -> None:
    layer = SparseyLayer(40, 50, 10)
    patterns = sparse(1, 40, 8).repeat(40, 1)
    codes = layer.store(patterns, assumed_familiarity=0.0, generator=generator()).winners
    shared = [float(intersection(codes[i], codes[j])) for i, j in itertools.combinations(range(40), 2)]
    assert np.mean(shared) == pytest.approx(0.1, abs=0.02)


def test_a_saturated_macrocolumn_learns_no_more() -> None:
    layer = SparseyLayer(20, 4, 5, saturation=0.3)
    layer.store(sparse(30, 20, 6), generator=generator())
    assert 0.3 <= float(layer.saturated) < 0.4
    before = layer.weights.clone()
    cue = sparse(1, 20, 6, seed=9)
    code = layer.store(cue, generator=generator())
    assert torch.equal(layer.weights, before)
    assert torch.equal(code.winners, layer.retrieve(cue).winners)


@pytest.mark.parametrize("chunk", [1, 4])
def test_learned_counts_the_weights_that_are_set(chunk: int) -> None:
    layer = SparseyLayer(12, 4, 5, receptive_fields=FIELDS)
    layer.store(sparse(9, 12, 4), chunk=chunk, generator=generator())
    assert torch.equal(layer.learned, layer.weights.sum((1, 2)).long())


def test_macrocolumns_without_enough_input_stay_silent() -> None:
    layer = SparseyLayer(12, 4, 5, receptive_fields=FIELDS, active_range=(2, 3))
    pattern = torch.zeros(1, 12)
    pattern[0, :3] = 1  # three inputs of the first field, none of the others
    code = layer.store(pattern, generator=generator())
    assert (code.winners[0, 1:] == -1).all()
    assert (code.winners[0, 0] >= 0).all()
    assert layer.learned.tolist() == [12, 0, 0]
    assert layer(pattern).sum() == 4
    pattern[0, :5] = 1  # too many for the first, enough for the second
    assert (layer.retrieve(pattern).winners[0, :, 0] >= 0).tolist() == [False, True, False]


def test_a_code_gives_its_input_back() -> None:
    layer = SparseyLayer(12, 6, 8, receptive_fields=FIELDS)
    patterns = sparse(3, 12, 6)
    stored = layer.store(patterns, generator=generator(1))
    back = layer.reconstruct(stored.winners)
    assert torch.equal((back > 0.999).float() * patterns, patterns)
    for row, pixel in itertools.product(range(3), range(12)):
        votes = []
        for mac, place in ((pixel == FIELDS).nonzero()).tolist():
            if int(stored.winners[row, mac, 0]) >= 0:
                units = stored.winners[row, mac] + torch.arange(6) * 8
                votes += layer.weights[mac, place, units].tolist()
        assert float(back[row, pixel]) == pytest.approx(np.mean(votes) if votes else 0.0)


def test_lateral_and_top_down_support_multiply() -> None:
    layer = SparseyLayer(12, 3, 4, lateral=True, above=6, powers=(1.0, 0.5, 2.0)).double()
    draw = generator()
    patterns, higher = sparse(5, 12, 4).double(), (torch.rand(5, 6, generator=draw) < 0.5).double()
    previous = torch.randint(0, 4, (5, 1, 3), generator=draw)
    layer.store(patterns, previous=previous, above=higher, generator=draw)
    cue, before, top = sparse(4, 12, 4, seed=8), previous[:4].roll(1, 0), higher[:4]
    found = layer.support(cue, previous=before, above=top)
    bottom_up = layer.support(cue)
    lateral = layer.support(None, previous=before)
    top_down = layer.support(None, above=top)
    torch.testing.assert_close(found, bottom_up * lateral * top_down)
    assert layer.lateral_weights is not None
    code = torch.nn.functional.one_hot(before[:, 0], 4).flatten(1).double()
    by_hand = (code @ layer.lateral_weights[0] / 3).sqrt().view(4, 1, 3, 4)
    torch.testing.assert_close(lateral, by_hand)
    silent = torch.full_like(before, -1)
    torch.testing.assert_close(layer.support(cue, previous=silent), bottom_up)


def test_state_dict_goes_round() -> None:
    layer = SparseyLayer(12, 3, 4, lateral=True)
    layer.store(sparse(5, 12, 4), previous=torch.zeros(5, 1, 3, dtype=torch.int64), generator=generator())
    fresh = SparseyLayer(12, 3, 4, lateral=True)
    fresh.load_state_dict(layer.state_dict())
    cues = sparse(4, 12, 4, seed=5)
    assert torch.equal(fresh(cues), layer(cues))
    assert torch.equal(fresh.learned, layer.learned)
    assert copy.deepcopy(layer).weights.equal(layer.weights)


def test_nothing_to_store_gives_no_codes() -> None:
    code = SparseyLayer(12, 3, 4).store(torch.zeros(0, 12))
    assert code.winners.shape == (0, 1, 3)
    assert code.familiarity.shape == (0, 1)


# The memory of ±1 patterns


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_patterns_are_recalled_from_damaged_and_masked_cues(dtype: torch.dtype) -> None:
    patterns = torch.randn(20, 100, generator=generator()).sign().to(dtype)
    memory = SparseyMemory(generator=generator(1))
    memory.store(patterns[:10])
    memory.store(patterns[10:])
    damaged, masked = patterns.clone(), patterns.clone()
    damaged[:, :15] *= -1
    masked[:, :50] = 0
    assert torch.equal(memory.recall(damaged), patterns)
    assert torch.equal(memory(masked), patterns)
    assert memory.recall(patterns).dtype == dtype
    assert set(memory.recall(torch.zeros(1, 100, dtype=dtype)).unique().tolist()) <= {-1.0, 1.0}


def test_memory_is_loaded_into_an_empty_one() -> None:
    patterns = torch.randn(5, 30, generator=generator()).sign()
    memory = SparseyMemory(4, 16, generator=generator(1))
    memory.store(patterns)
    fresh = SparseyMemory(4, 16)
    fresh.load_state_dict(memory.state_dict())
    assert torch.equal(fresh.recall(patterns), memory.recall(patterns))


# Wrong use


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: SparseyLayer(0, 2, 2), "inputs: got 0"),
        (lambda: SparseyLayer(3, 0, 2), "modules: got 0"),
        (lambda: SparseyLayer(3, 2, 1), "units: got 1"),
        (lambda: SparseyLayer(3, 2, 2, above=-1), "above: got -1"),
        (lambda: SparseyLayer(3, 2, 2, saturation=0.0), "saturation: got 0.0"),
        (lambda: SparseyLayer(3, 2, 2, active_range=(3, 2)), "active_range: got (3, 2)"),
        (lambda: SparseyLayer(3, 2, 2, powers=(1.0, -1.0, 1.0)), "powers: got"),
        (lambda: SparseyLayer(3, 2, 2, receptive_fields=torch.tensor([[0, 3]])), "receptive_fields: got shape (1, 2)"),
        (lambda: SparseyLayer(3, 2, 2)(torch.zeros(1, 4)), "inputs: got shape (1, 4)"),
        (lambda: SparseyLayer(3, 2, 2).store(torch.full((1, 3), 0.5)), "patterns: got values"),
        (lambda: SparseyLayer(3, 2, 2).store(torch.ones(1, 3), chunk=0), "chunk: got 0"),
        (lambda: SparseyLayer(3, 2, 2).support(None), "inputs: got None"),
        (lambda: SparseyLayer(3, 2, 2).support(None, previous=torch.zeros(1, 1, 2)), "previous: got a code"),
        (lambda: SparseyLayer(3, 2, 2).support(None, above=torch.zeros(1, 2)), "above: got a code"),
        (lambda: SparseyLayer(3, 2, 2, lateral=True).support(None, previous=torch.zeros(1, 2)), "previous: got shape"),
        (lambda: SparseyLayer(3, 2, 2, above=4).support(None, above=torch.zeros(1, 3)), "above: got shape (1, 3)"),
        (lambda: FamiliarityRamp(floor=1.0), "floor: got 1.0"),
        (lambda: FamiliarityRamp(expansion=-1.0), "expansion: got -1.0"),
        (lambda: FamiliarityRamp(steepness=0.0), "steepness: got 0.0"),
        (lambda: SparseyMemory(0), "modules: got 0"),
        (lambda: SparseyMemory(2, 1), "units: got 1"),
        (lambda: SparseyMemory().recall(torch.ones(1, 3)), "nothing stored"),
        (lambda: SparseyMemory().store(torch.zeros(2, 3)), "patterns: got shape (2, 3)"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(call, named: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # what it says is looked at
        call()
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_later_patterns_must_be_as_long_as_the_first() -> None:
    memory = SparseyMemory(2, 4, generator=generator())
    memory.store(torch.ones(1, 6))
    for call in (memory.store, memory.recall):
        with pytest.raises(ValueError, match=r"got shape \(1, 5\), want \(count, 6\)"):
            call(torch.ones(1, 5))
