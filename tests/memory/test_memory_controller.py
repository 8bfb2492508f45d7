import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from replica.memory import ControllerState, MemoryController


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def network(seed=0, dtype=torch.float64, **options):
    sizes = {"hidden": 5, "slots": 4, "key_dim": 6, "value_dim": 5, **options}
    return MemoryController(4, 3, **sizes, dtype=dtype, generator=seeded(seed))


def stream(batch=3, length=9, seed=1, dtype=torch.float64):
    labels = torch.randint(3, (batch, length), generator=seeded(seed + 1))
    return normal(batch, length, 4, seed=seed, dtype=dtype), one_hot(labels, 3).to(dtype)


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def lstm(module, suffix, x, h, c):
    weights = {name.removesuffix(suffix): value for name, value in module.named_parameters()}
    gates = weights["weight_ih"] @ x + weights["bias_ih"] + weights["weight_hh"] @ h + weights["bias_hh"]
    i, f, g, o = gates.chunk(4)
    c = sigmoid(f) * c + sigmoid(i) * torch.tanh(g)
    return sigmoid(o) * torch.tanh(c), c


@torch.no_grad()
def one_example(model, inputs, targets):
    """The equations of the docstring, slot by slot, with numbers of one example."""
    h = c = writing = cell = torch.zeros(model.hidden, dtype=inputs.dtype)
    keys = [torch.zeros(model.key_dim, dtype=inputs.dtype) for _ in range(model.slots)]
    values = [torch.zeros(model.value_dim, dtype=inputs.dtype) for _ in range(model.slots)]
    usage = [1e-4 * slot for slot in range(model.slots)]
    answers = []
    for x, y in zip(inputs.detach(), targets, strict=True):
        h, c = lstm(model.read_controller, "_l0", x, h, c)
        query = model.shortcut.weight @ x + model.query.weight @ h + model.query.bias
        cosine = [key @ query / query.norm() for key in keys]
        found = torch.stack([torch.exp(model.log_sharpness.exp() * each) for each in cosine])
        found = found / found.sum()
        read = sum(found[slot] * values[slot] for slot in range(model.slots))
        composed = model.output_controller.weight @ torch.cat([query, read]) + model.output_controller.bias
        composed = composed.clamp_min(0)
        answers.append(model.answer.weight @ torch.cat([composed, read]) + model.answer.bias)
        writing, cell = lstm(model.write_controller, "", torch.cat([composed, y]), writing, cell)
        amend, strength = sigmoid(model.gates.weight @ writing + model.gates.bias)
        key = query + model.key_shift.weight @ writing + model.key_shift.bias
        value = torch.tanh(model.value.weight @ torch.cat([writing, y]) + model.value.bias)
        free = min(range(model.slots), key=lambda slot: float(usage[slot]))
        for slot in range(model.slots):
            weight = strength * (amend * found[slot] + (1 - amend) * (slot == free))
            keys[slot] = (1 - weight) * keys[slot] + weight * key / key.norm()
            values[slot] = (1 - weight) * values[slot] + weight * value
            usage[slot] = float(model.usage_decay * usage[slot] + found[slot] + weight)
    memory = torch.stack([torch.cat(row) for row in zip(keys, values, strict=True)])
    return torch.stack(answers), torch.cat([h, c]), torch.cat([writing, cell]), memory, torch.tensor(usage)


@pytest.mark.parametrize("batch", [1, 4])
def test_it_is_its_equations_written_out(batch):
    model = network()
    inputs, targets = stream(batch)
    answers, state = model(inputs, targets)
    assert answers.shape == (batch, 9, 3)
    for row in range(batch):
        expected = one_example(model, inputs[row], targets[row])
        found = (answers[row], state.read[row], state.write[row], state.memory[row], state.usage[row])
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other.to(one.dtype))


def test_parts_of_a_stream_make_the_whole():
    model, (inputs, targets) = network(), stream()
    whole, last = model(inputs, targets)
    state, parts = None, []
    for begin, end in ((0, 1), (1, 5), (5, 9)):
        answers, state = model(inputs[:, begin:end], targets[:, begin:end], state)
        parts.append(answers)
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other)


def test_an_answer_knows_no_target_that_is_not_revealed_yet_and_no_later_input():
    model, (inputs, targets) = network(), stream()
    inputs.requires_grad_()
    targets.requires_grad_()
    answers, _ = model(inputs, targets)
    by_input, by_target = torch.autograd.grad(answers[:, 4].sum(), (inputs, targets))
    assert by_input[:, :5].abs().amax((0, 2)).min() > 0
    assert by_input[:, 5:].abs().max() == 0
    assert by_target[:, :4].abs().amax((0, 2)).min() > 0
    assert by_target[:, 4:].abs().max() == 0


def test_untrained_it_answers_with_what_was_said_of_the_nearest_input():
    """A memory of nearest neighbours: of inputs seen before, the labels come back; shuffled labels shuffle answers."""
    model = MemoryController(16, 5, hidden=8, slots=8, sharpness=50.0, generator=seeded())
    classes = 4 * torch.linalg.qr(normal(16, 16))[0][:5].float()
    for seed in range(3):
        labels = torch.stack([torch.randperm(5, generator=seeded(seed)) for _ in range(20)])
        answers, _ = model(classes.expand(20, -1, -1).repeat(1, 2, 1), one_hot(labels.repeat(1, 2), 5).float())
        right = (answers.argmax(-1) == labels.repeat(1, 2)).double()
        assert right[:, 5:].mean() > 0.9
        assert right[:, :5].mean() < 0.6


def test_memory_stays_bounded_and_a_closed_gate_writes_nothing():
    model = network()
    inputs, targets = stream(length=200)
    _, state = model(100 * inputs, targets)
    keys, values = state.memory.split([6, 5], -1)
    assert keys.norm(dim=-1).max() <= 1 + 1e-9
    assert values.abs().max() <= 1
    with torch.no_grad():
        model.gates.weight.zero_()
        model.gates.bias.copy_(torch.tensor([0.0, -1e4]))
    _, state = model(inputs, targets)
    assert state.memory.abs().max() == 0


def test_the_slot_used_least_is_taken_over():
    model = network(usage_decay=0.9)
    with torch.no_grad():
        model.gates.weight.zero_()
        model.gates.bias.copy_(torch.tensor([-1e4, 1e4]))  # all to the free slot, fully
    inputs, targets = stream(batch=2, length=1)
    start = model.initial_state(2)
    start = start._replace(
        memory=normal(2, 4, 11, seed=3), usage=torch.tensor([[3.0, 1.0, 0.2, 2.0], [0.1, 1.0, 2.0, 2.0]]).double()
    )
    _, state = model(inputs, targets, start)
    changed = (state.memory != start.memory).any(-1)
    assert changed.tolist() == [[False, False, True, False], [True, False, False, False]]


def test_gradients_agree_with_differences():
    model, (inputs, targets) = network(hidden=3, key_dim=3, value_dim=2, slots=3), stream(2, 4)
    inputs.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x, targets)[0], (inputs,))
    answers, _ = model(inputs, targets)
    answers.square().sum().backward()
    assert all(bool(parameter.grad.abs().max() > 0) for parameter in model.parameters())


def test_usage_takes_no_gradient():
    model, (inputs, targets) = network(), stream()
    _, state = model(inputs, targets)
    assert state.memory.requires_grad
    assert not state.usage.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_state_dict_and_generator_fix_everything(dtype):
    before = torch.random.get_rng_state()
    one, same, other = network(dtype=dtype), network(dtype=dtype), network(seed=5, dtype=dtype)
    assert torch.equal(before, torch.random.get_rng_state())
    inputs, targets = stream(dtype=dtype)
    answers, state = one(inputs, targets)
    assert answers.dtype == state.memory.dtype == dtype
    assert torch.equal(answers, same(inputs, targets)[0])
    assert not torch.equal(answers, other(inputs, targets)[0])
    other.load_state_dict(one.state_dict())
    assert torch.equal(answers, other(inputs, targets)[0])


def test_it_learns_numbers_as_well_as_classes():
    """A stream of pairs of a cue and a number: seen a second time, a cue brings its number back."""
    model = MemoryController(8, 1, hidden=8, slots=8, sharpness=50.0, generator=seeded())
    descent = torch.optim.Adam(model.parameters(), 1e-2)
    draw = seeded(1)

    def error():
        cues = torch.randn(16, 4, 8, generator=draw).repeat(1, 2, 1)
        numbers = torch.rand(16, 4, 1, generator=draw).repeat(1, 2, 1) * 2 - 1
        return (model(cues, numbers)[0] - numbers)[:, 4:].square().mean()

    for _ in range(40):
        descent.zero_grad()
        loss = error()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        descent.step()
    assert float(error().detach()) < 0.1 < 1 / 3  # variance of the numbers


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: MemoryController(0, 3), "in_dim: got 0"),
        (lambda: MemoryController(4, 3, slots=0), "slots: got 0"),
        (lambda: MemoryController(4, 3, sharpness=0.0), "sharpness: got 0"),
        (lambda: MemoryController(4, 3, usage_decay=1.0), "usage_decay: got 1"),
        (
            lambda: network()(normal(2, 9, 5), normal(2, 9, 3)),
            r"inputs: got shape \(2, 9, 5\), want \(batch, time, 4\)",
        ),
        (lambda: network()(normal(2, 9, 4), normal(2, 8, 3)), r"targets: got shape \(2, 8, 3\), want \(2, 9, 3\)"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()


def test_the_state_is_a_plain_tuple_of_tensors():
    state = network().initial_state(2)
    assert isinstance(state, ControllerState)
    assert [tuple(part.shape) for part in state] == [(2, 10), (2, 10), (2, 4, 11), (2, 4)]
