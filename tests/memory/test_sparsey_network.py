"""Sequences in layers of macrocolumns: context, replay, persistence, labels."""

import pytest
import torch
from torch import Tensor

from replica.memory import FamiliarityRamp, LabelField, SparseyLayer, SparseyNetwork
from replica.memory.sparsey_codes import intersection

RAMP = FamiliarityRamp(floor=0.3, midpoint=0.8, steepness=30.0, expansion=1.0)
SURE = FamiliarityRamp(floor=0.3, midpoint=0.8, steepness=30.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frames(count: int, length: int, seed: int = 0) -> Tensor:
    rank = torch.rand(count, length, 144, generator=generator(seed)).argsort(-1).argsort(-1)
    return (rank < 10).float()


def lateral_network(modules: int = 9, units: int = 16, ramp: FamiliarityRamp = RAMP) -> SparseyNetwork:
    return SparseyNetwork([SparseyLayer(144, modules, units, lateral=True, ramp=ramp)])


def two_layers(**options) -> SparseyNetwork:
    low = SparseyLayer(144, 6, 12, lateral=True, above=5 * 10, ramp=RAMP)
    high = SparseyLayer(low.code_size, 5, 10, lateral=True, ramp=RAMP)
    return SparseyNetwork([low, high], **options)


def test_one_layer_without_context_is_that_layer() -> None:
    network, layer = SparseyNetwork([SparseyLayer(144, 5, 8)]), SparseyLayer(144, 5, 8)
    shown = frames(4, 3)
    stored = network.store(shown, generator=generator(1))
    alone = layer.store(shown.flatten(0, 1), generator=generator(1))
    assert torch.equal(stored.winners[0].flatten(0, 1), alone.winners)
    assert torch.equal(stored.familiarity[0].flatten(0, 1), alone.familiarity)
    assert torch.equal(network(shown).flatten(0, 1), layer(shown.flatten(0, 1)))


def test_frame_by_frame_is_the_layer_with_its_previous_code() -> None:
    network = lateral_network()
    layer = SparseyLayer(144, 9, 16, lateral=True, ramp=RAMP)
    shown, noise = frames(2, 4), generator(1)
    stored = network.store(shown, generator=generator(1))
    for sequence, codes in zip(shown, stored.winners[0], strict=True):
        before = None
        for frame, code in zip(sequence, codes, strict=True):
            before = layer.store(frame[None], previous=before, generator=noise).winners
            assert torch.equal(before[0], code)
    weights = network.layers[0].lateral_weights
    assert torch.equal(weights, layer.lateral_weights)
    pairs = {(int(a), 16 * m + int(b)) for s in stored.winners[0] for t in range(3) for m in range(9)
             for n in range(9) for a, b in ((16 * n + s[t, 0, n], s[t + 1, 0, m]),)}  # fmt: skip
    assert {tuple(place) for place in weights[0].nonzero().tolist()} == pairs


@pytest.mark.parametrize("count", [1, 5])
def test_sequences_are_recognised_and_replayed(count: int) -> None:
    network, shown = lateral_network(), frames(count, 8)
    stored = network.store(shown, generator=generator(1))
    assert torch.equal(network.recognise(shown).winners[0], stored.winners[0])
    for known in (1, 3, 8):
        replay = network.generate(shown[:, :known], 8)
        assert torch.equal((replay > 0.999).float(), shown)
    assert network.generate(shown[:, :3], 2).shape == (count, 2, 144)


def test_the_same_frame_has_another_code_in_another_context() -> None:
    """A B C and D B E: B is coded by what came before, so each beginning leads to its own end."""
    letters = frames(1, 5)[0]
    shown = torch.stack([letters[[0, 1, 2]], letters[[3, 1, 4]]])
    network = lateral_network(20, 32)
    stored = network.store(shown, generator=generator(1)).winners[0]
    assert float(intersection(stored[0, 1], stored[1, 1])) < 0.5
    replay = network.generate(shown[:, :1], 3)
    assert torch.equal((replay > 0.999).float(), shown)
    without = SparseyNetwork([SparseyLayer(144, 20, 32, ramp=SURE)])
    same = without.store(shown, generator=generator(1)).winners[0]
    assert float(intersection(same[0, 1], same[1, 1])) > 0.9


def test_layers_recognise_together_and_top_down_weights_are_learned() -> None:
    network, shown = two_layers(), frames(3, 5)
    stored = network.store(shown, generator=generator(1))
    assert [winners.shape for winners in stored.winners] == [(3, 5, 1, 6), (3, 5, 1, 5)]
    found = network.recognise(shown)
    for layer in range(2):
        assert torch.equal(found.winners[layer], stored.winners[layer])
    low = network.layers[0]
    assert float(low.top_down_weights.sum()) > 0
    assert network(shown).shape == (3, 5, 50)
    assert torch.equal((network.generate(shown[:, :2], 5) > 0.999).float(), shown)


def test_top_down_input_alone_leads_a_replay() -> None:
    """With the exponent of lateral support at 0, only the code above at the frame before says what comes next."""
    low = SparseyLayer(144, 9, 16, lateral=True, above=9 * 16, powers=(1.0, 0.0, 1.0), ramp=RAMP)
    network = SparseyNetwork([low, SparseyLayer(low.code_size, 9, 16, lateral=True, ramp=RAMP)])
    shown = frames(2, 6)
    network.store(shown, generator=generator(1))
    assert torch.equal((network.generate(shown[:, :1], 6) > 0.999).float(), shown)


def test_a_batch_is_its_sequences_one_by_one() -> None:
    network, shown = two_layers(), frames(4, 5)
    network.store(shown, generator=generator(1))
    cues = frames(3, 4, seed=7) * shown[:3, :4] + frames(3, 4, seed=8)
    cues = cues.clamp_max(1)
    together = network(cues)
    for index in range(3):
        assert torch.equal(network(cues[index : index + 1])[0], together[index])


def test_a_persistent_layer_holds_its_code() -> None:
    network, shown = two_layers(persistence=(1, 2)), frames(2, 6)
    stored = network.store(shown, generator=generator(1))
    high = stored.winners[1]
    assert torch.equal(high[:, 0::2], high[:, 1::2])
    assert not torch.equal(high[:, 0], high[:, 2])
    found = network.recognise(shown)
    assert torch.equal(found.winners[1], high)
    # What is active below while the code is held is joined to it too.
    weights = network.layers[1].weights[0]
    low = network.layers[0].one_hot(stored.winners[0][0])
    units = high[0, 1, 0] + torch.arange(5) * 10
    assert bool((weights[low[1].bool()][:, units] == 1).all())


def test_state_dict_goes_round() -> None:
    network, shown = two_layers(), frames(2, 4)
    network.store(shown, generator=generator(1))
    fresh = two_layers()
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh(shown), network(shown))
    double = two_layers().double()
    double.load_state_dict(network.state_dict())
    assert torch.equal(double(shown.double()).float(), network(shown))


def test_labels_are_voted_for() -> None:
    field = LabelField(8, 3)
    codes = torch.tensor([[1, 0, 0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 1]]).float()
    field.store(codes, torch.tensor([0, 1, 2]))
    assert field(codes).tolist() == [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]
    assert field(torch.zeros(1, 8)).tolist() == [[0.0, 0.0, 0.0]]
    assert field.double()(codes.double()).dtype == torch.float64


def test_digits_are_classified_from_one_presentation() -> None:
    from replica.data import digits

    images = digits()
    pixels = torch.from_numpy(images.values > 0.5).flatten(1).float()
    labels = torch.from_numpy(images.labels)
    square = torch.arange(64).view(1, 1, 8, 8).float()
    fields = torch.nn.functional.unfold(square, 4, stride=2)[0].T.long()
    ramp = FamiliarityRamp(floor=0.5, midpoint=0.9, steepness=60.0, expansion=1.0)
    layer = SparseyLayer(64, 8, 60, receptive_fields=fields, ramp=ramp, saturation=0.15)
    field = LabelField(layer.code_size, 10)
    codes = layer.store(pixels[:500], generator=generator())
    field.store(layer.one_hot(codes.winners), labels[:500])
    right = (field(layer(pixels[500:1000])).argmax(1) == labels[500:1000]).double().mean()
    assert float(right) > 0.5


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: SparseyNetwork([]), "layers: got none"),
        (lambda: SparseyNetwork([SparseyLayer(4, 2, 2), SparseyLayer(5, 2, 2)]), "layers: got layer 1 with 5 inputs"),
        (lambda: SparseyNetwork([SparseyLayer(4, 2, 2, above=3)]), "layers: got layer 0 with above=3"),
        (lambda: SparseyNetwork([SparseyLayer(4, 2, 2)], persistence=[0]), "persistence: got [0]"),
        (lambda: SparseyNetwork([SparseyLayer(4, 2, 2)]).recognise(torch.zeros(1, 4)), "sequences: got shape (1, 4)"),
        (lambda: SparseyNetwork([SparseyLayer(4, 2, 2)]).store(torch.zeros(0, 1, 4)), "sequences: got shape (0, 1, 4)"),
        (lambda: SparseyNetwork([SparseyLayer(4, 2, 2)]).generate(torch.ones(1, 1, 4), 2), "lateral=False"),
        (lambda: LabelField(0, 2), "code_size: got 0"),
        (lambda: LabelField(3, 1), "classes: got 1"),
        (lambda: LabelField(3, 2)(torch.zeros(1, 4)), "codes: got shape (1, 4)"),
        (lambda: LabelField(3, 2).store(torch.zeros(1, 3), torch.tensor([2])), "labels: got values"),
        (lambda: LabelField(3, 2).store(torch.zeros(1, 3), torch.tensor([0, 1])), "labels: got shape (2,)"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(call, named: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # what it says is looked at
        call()
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
