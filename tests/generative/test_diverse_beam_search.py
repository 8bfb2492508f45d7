"""Diverse beam search: against enumeration, the algorithm written out for one sequence, and its limits."""

import itertools

import pytest
import torch

from replica.generative import diverse_beam_search
from replica.training import CausalTransformer


class Recurrent:
    """A stepwise model whose next token depends on all that came before."""

    def __init__(self, vocabulary, seed=0, hidden=6):
        generator = torch.Generator().manual_seed(seed)
        self.inner, self.embedding, self.readout = (
            torch.randn(shape, generator=generator, dtype=torch.float64)
            for shape in ((hidden, hidden), (vocabulary, hidden), (hidden, vocabulary))
        )

    def state(self, batch):
        return {"hidden": torch.linspace(-1, 1, batch * 6, dtype=torch.float64).view(batch, 6), "kept": 3}

    def __call__(self, tokens, state):
        hidden = torch.tanh(state["hidden"] @ self.inner + self.embedding[tokens])
        return (hidden @ self.readout).log_softmax(-1), {"hidden": hidden, "kept": state["kept"]}

    def log_prob(self, start, state, sequence, end=None):
        total, last = 0.0, start
        for token in sequence:
            given, state = self(torch.tensor([last]), state)
            if end is None or last != end:
                total += float(given[0, token])
            last = token
        return total


def written_out(model, state, beams, groups, penalty, diversity, start, length, end):
    """The same for one entry: sequences as tuples, every candidate's model run from its beginning."""
    lists = [[((), 0.0)] for _ in range(groups)]
    for _ in range(length):
        earlier = []
        for group, sequences in enumerate(lists):
            candidates = []
            for done, score in sequences:
                if end in done:
                    candidates.append(((*done, end), score))
                    continue
                hidden = state
                for token in (start, *done):
                    given, hidden = model(torch.tensor([token]), hidden)
                for token in range(given.shape[-1]):
                    last = (start, *done)[-1]
                    if diversity == "hamming":
                        met = sum(other[-1] == token and end not in other[:-1] for other in earlier)
                    else:
                        pairs = [pair for other in earlier for pair in itertools.pairwise(other) if pair[0] != end]
                        met = pairs.count((last, token))
                    candidates.append(((*done, token), score + float(given[0, token]) - penalty * met))
            lists[group] = sorted(candidates, key=lambda each: -each[1])[: beams // groups]
            earlier += [done for done, _ in lists[group]]
    return [each for sequences in lists for each in sequences]


@pytest.mark.parametrize("end", [None, 2])
@pytest.mark.parametrize("diversity", ["hamming", "bigram"])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_it_is_the_algorithm_written_out(groups, diversity, end):
    model, batch = Recurrent(5), 3
    state, start = model.state(batch), torch.tensor([0, 3, 1])
    found = diverse_beam_search(model, state, 6, groups, 0.7, diversity, start=start, length=4, end=end)
    for entry in range(batch):
        own = {"hidden": state["hidden"][entry : entry + 1], "kept": 3}
        wanted = written_out(model, own, 6, groups, 0.7, diversity, int(start[entry]), 4, end)
        assert found.tokens[entry].tolist() == [list(done) for done, _ in wanted]
        assert found.scores[entry].tolist() == pytest.approx([score for _, score in wanted])
        exact = [model.log_prob(int(start[entry]), own, done, end) for done, _ in wanted]
        assert found.log_probs[entry].tolist() == pytest.approx(exact)


def test_with_room_for_all_sequences_it_finds_the_best():
    model = Recurrent(3, seed=1)
    state = model.state(1)
    found = diverse_beam_search(model, state, 27, start=torch.tensor([0]), length=3)
    every = sorted(itertools.product(range(3), repeat=3), key=lambda each: -model.log_prob(0, state, each))
    assert [tuple(each) for each in found.tokens[0].tolist()] == every
    assert float(found.log_probs.exp().sum()) == pytest.approx(1)


def test_without_penalty_all_groups_are_the_first():
    model = Recurrent(7)
    options = {"start": torch.tensor([0, 1]), "length": 5}
    found = diverse_beam_search(model, model.state(2), 8, 4, 0.0, **options)
    first = diverse_beam_search(model, model.state(2), 2, **options)
    assert torch.equal(found.tokens, first.tokens.repeat(1, 4, 1))
    # The first group is plain beam search, whatever the penalty.
    assert torch.equal(diverse_beam_search(model, model.state(2), 8, 4, 0.9, **options).tokens[:, :2], first.tokens)


def test_a_large_penalty_parts_groups_at_every_step():
    model = Recurrent(12)
    tokens = diverse_beam_search(
        model, model.state(3), 6, 6, 1e4, start=torch.zeros(3, dtype=torch.long), length=5
    ).tokens
    assert all(len(set(step)) == 6 for entry in tokens.transpose(1, 2).tolist() for step in entry)


def test_a_model_of_prefixes_takes_them_as_its_state():
    net = CausalTransformer(9, dim=8, layers=1, heads=2, context=8, generator=torch.Generator().manual_seed(0)).eval()

    def step(tokens, prefix):
        prefix = torch.cat([prefix, tokens[:, None]], 1)
        return net(prefix)[:, -1].log_softmax(-1), prefix

    start = torch.tensor([4, 2])
    found = diverse_beam_search(step, start.new_zeros(2, 0), 4, 2, 0.5, start=start, length=4)
    with torch.no_grad():
        whole = torch.cat([start[:, None, None].expand(-1, 4, 1), found.tokens], 2).flatten(0, 1)
        given = net(whole[:, :-1]).log_softmax(-1).gather(2, whole[:, 1:, None]).sum((1, 2))
    assert torch.allclose(found.log_probs.flatten(), given, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"groups": 3}, "beams, groups: got 4 and 3"),
        ({"penalty": -1.0}, "penalty"),
        ({"length": 0}, "length"),
        ({"diversity": "edit"}, "diversity: got 'edit'"),
        ({"state": torch.zeros(3, 6)}, "state: got a tensor of shape"),
        ({"step": lambda tokens, state: (torch.zeros(2, 5), state)}, "step: got"),
    ],
)
def test_what_does_not_fit_is_named(changed, named):
    model = Recurrent(5)
    given = {"step": model, "state": model.state(1), "beams": 4, "groups": 2, "start": torch.tensor([0]), "length": 2}
    with pytest.raises(ValueError, match=named):
        diverse_beam_search(**given | changed)
