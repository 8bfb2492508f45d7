import pytest
import torch
from torch import nn

from replica.memory import (
    ControllerState,
    MemoryController,
    StateFeedback,
    SyntheticGradient,
    cut,
    decoupled_backward,
    substitute_gradient,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def network(**options):
    return MemoryController(
        4, 3, hidden=5, slots=4, key_dim=6, value_dim=5, dtype=torch.float64, generator=seeded(), **options
    )


def stream(batch=3, length=12):
    labels = torch.randint(3, (batch, length), generator=seeded(2))
    return normal(batch, length, 4, seed=1), nn.functional.one_hot(labels, 3).double(), labels


def losses_of(answers, labels):
    return nn.functional.cross_entropy(answers.transpose(1, 2), labels, reduction="none").sum(1)


def gradients(model):
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def by_chunks(model, chunk, feedback):
    """Chunked updates with what `feedback(number of steps done)` gives at the end of each chunk; targets by start."""
    inputs, told, labels = stream()
    model.zero_grad()
    state, targets = model.initial_state(3), {}
    for begin in range(0, 12, chunk):
        end = begin + chunk
        start = cut(state[:3])
        answers, state = model(inputs[:, begin:end], told[:, begin:end], ControllerState(*start, state.usage))
        losses = losses_of(answers, labels[:, begin:end])
        targets[begin] = decoupled_backward(losses, start, state[:3], None if end == 12 else feedback(end))
        state = ControllerState(*(part.detach() for part in state))
    return gradients(model), targets


def whole_stream(model):
    """Backpropagation through the whole stream, and its gradients of an example's later loss at every fourth step."""
    inputs, told, labels = stream()
    model.zero_grad()
    state, losses, kept = model.initial_state(3), torch.zeros(3, dtype=torch.float64), {}
    for begin in range(0, 12, 2):
        for part in state[:3]:
            if part.requires_grad:
                part.retain_grad()
        kept[begin] = state[:3]
        answers, state = model(inputs[:, begin : begin + 2], told[:, begin : begin + 2], state)
        losses = losses + losses_of(answers, labels[:, begin : begin + 2])
    losses.mean().backward()
    return gradients(model), {begin: [3 * part.grad for part in parts] for begin, parts in kept.items() if begin}


@pytest.mark.parametrize("chunk", [2, 4, 6])
def test_true_gradients_in_place_of_synthetic_ones_give_backpropagation(chunk):
    model = network()
    expected, true = whole_stream(model)
    found, targets = by_chunks(model, chunk, lambda end: true[end])
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-12, rtol=1e-9)
    for begin in range(chunk, 12, chunk):  # and the targets are then the true gradients
        for target, value in zip(targets[begin], true[begin], strict=True):
            torch.testing.assert_close(target, value, atol=1e-12, rtol=1e-9)


def test_without_feedback_it_is_truncated_backpropagation():
    model = network()
    expected, _ = whole_stream(model)
    found, _ = by_chunks(model, 4, lambda end: None)
    one, _ = by_chunks(model, 12, lambda end: None)
    inputs, told, labels = stream()
    model.zero_grad()
    state = model.initial_state(3)
    for begin in (0, 4, 8):
        answers, state = model(inputs[:, begin : begin + 4], told[:, begin : begin + 4], state)
        losses_of(answers, labels[:, begin : begin + 4]).mean().backward()
        state = ControllerState(*(part.detach() for part in state))
    for name, value in gradients(model).items():
        torch.testing.assert_close(found[name], value)
        torch.testing.assert_close(one[name], expected[name])
    assert any(not torch.allclose(found[name], value) for name, value in expected.items())


def test_an_untrained_feedback_cuts_the_gradient_as_truncation_does():
    model = network()
    feedback = StateFeedback((10, 10, 11), dtype=torch.float64, generator=seeded())
    state = [normal(3, 10), normal(3, 10), normal(3, 4, 11)]
    assert all(float(part.detach().abs().max()) == 0 for part in feedback(state))
    found, _ = by_chunks(model, 4, lambda end: [part.detach() for part in feedback(state)])
    expected, _ = by_chunks(model, 4, lambda end: None)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])


def test_bootstrapped_targets_follow_the_chain_rule():
    """For s' = A s and losses ½|s'|², the target at s is Aᵀ(s' + δ̂) whatever δ̂ is predicted."""
    matrix = normal(4, 4, seed=1).requires_grad_()
    (start,) = cut([normal(7, 4, seed=2)])
    guess = normal(7, 4, seed=3)
    end = start @ matrix.T
    (target,) = decoupled_backward(end.square().sum(-1) / 2, [start], [end], [guess])
    torch.testing.assert_close(target, (end.detach() + guess) @ matrix.detach())
    torch.testing.assert_close(matrix.grad, (end.detach() + guess).T @ start.detach() / 7)
    assert start.grad is None


def test_a_linear_case_converges_to_the_true_gradient():
    """For s' = A s with loss ½|s' − goal|² a step, the gradient of what is to come is affine in s at every step."""
    matrix, goal, steps = 0.8 * torch.linalg.qr(normal(3, 3))[0], normal(3, seed=1), 3
    predict = [SyntheticGradient(3, hidden=0, dtype=torch.float64, generator=seeded(n)) for n in range(steps)]
    descent = torch.optim.Adam([parameter for part in predict for parameter in part.parameters()], 0.05)
    fading = torch.optim.lr_scheduler.ExponentialLR(descent, 0.985)
    draw = seeded(5)
    for _ in range(400):
        state = torch.randn(16, 3, generator=draw, dtype=torch.float64)
        for done in range(steps):
            (start,) = cut([state])
            end = start @ matrix.T
            after = None if done + 1 == steps else [predict[done + 1](end.detach())]
            (target,) = decoupled_backward((end - goal).square().sum(-1) / 2, [start], [end], after)
            predict[done].error(start, target).backward()
            state = end.detach()
        descent.step()
        descent.zero_grad()
        fading.step()
    state = normal(50, 3, seed=9)
    for done in range(steps):
        power, true = torch.eye(3, dtype=torch.float64), torch.zeros_like(state)
        for _ in range(done, steps):
            power = matrix @ power
            true = true + (state @ power.T - goal) @ power
        assert float((predict[done](state).detach() - true).norm() / true.norm()) < 0.03, done


def test_the_graph_of_a_long_stream_is_not_kept():
    """At any time no more is held than a chunk needs: a stream of 30 chunks peaks as one of 3 does."""
    model = network()

    def saved(chunks):
        alive, peak = 0, 0

        class Held:
            def __init__(self, value):
                nonlocal alive, peak
                self.value = value
                alive += value.numel()
                peak = max(peak, alive)

            def __del__(self):
                nonlocal alive
                alive -= self.value.numel()

        state = model.initial_state(2)
        with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.value):
            for number in range(chunks):
                start = cut(state[:3])
                inputs, told = normal(2, 3, 4, seed=number), normal(2, 3, 3, seed=number)
                answers, state = model(inputs, told, ControllerState(*start, state.usage))
                guess = [torch.ones_like(part) for part in state[:3]]
                decoupled_backward(answers.square().mean((1, 2)), start, state[:3], guess)
                del answers
                state = ControllerState(*(part.detach() for part in state))
        return peak

    assert 0 < saved(30) <= 1.01 * saved(3)


def test_a_substituted_gradient_reaches_the_sender_and_the_true_one_is_seen():
    model, seen, received = network(), [], {}
    inputs, told, labels = stream()

    def backward(message=None):
        model.zero_grad()
        losses_of(model(inputs, told, message=message)[0], labels).mean().backward()
        return gradients(model)

    def zeros(name, value):
        return substitute_gradient(value, torch.zeros_like(value), lambda true: seen.append(name))

    def keep(name, value):
        value = value.view_as(value)
        value.register_hook(lambda true: received.setdefault(name, []).append(true))
        return value

    def given_back(name, value):
        # Backward runs from the last step to the first; what the last step hands on is never used.
        left = received[name]
        return substitute_gradient(value, left.pop() if left else torch.zeros_like(value))

    nothing_said = {name.split(".")[0] for name, value in backward(zeros).items() if not value.abs().max()}
    assert nothing_said == {"read_controller", "shortcut", "query", "key_shift", "value"}
    assert {name: seen.count(name) for name in set(seen)} == {"query": 1, "composition": 11, "record": 11}
    whole = backward(keep)
    for name, value in backward(given_back).items():
        torch.testing.assert_close(value, whole[name], atol=1e-12, rtol=1e-9)


def test_error_is_in_units_of_the_targets_seen():
    for unit in (1e-6, 1.0, 1e4):
        predict = SyntheticGradient(4, hidden=8, dtype=torch.float64, generator=seeded())
        activity, target = normal(200, 4, seed=1), unit * normal(200, 4, seed=2)
        assert float(predict.error(activity, target).detach()) == pytest.approx(1.0)
        descent = torch.optim.Adam(predict.parameters(), 0.01)
        for _ in range(200):
            descent.zero_grad()
            predict.error(activity, unit * activity.cumsum(-1)).backward()
            descent.step()
        assert float((predict(activity) / unit - activity.cumsum(-1)).square().mean().detach()) < 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_feedback_keeps_shapes_and_goes_round_a_state_dict(dtype):
    state = [normal(3, 10, dtype=dtype), normal(3, 4, 11, dtype=dtype)]
    context = normal(3, 2, dtype=dtype)
    source, target = (
        StateFeedback((10, 11), context_dim=2, hidden=6, dtype=dtype, generator=seeded(seed)) for seed in (0, 1)
    )
    for _ in range(3):
        source.error(state, [part * 0.01 for part in state], context).backward()
        with torch.no_grad():
            for parameter in source.parameters():
                parameter -= 0.1 * parameter.grad
    found = source(state, context)
    assert [part.shape for part in found] == [part.shape for part in state]
    assert all(part.dtype == dtype and float(part.detach().abs().max()) > 0 for part in found)
    target.load_state_dict(source.state_dict())
    for one, other in zip(found, target(state, context), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: SyntheticGradient(0), "dim: got 0"),
        (lambda: SyntheticGradient(3, hidden=-1), "hidden: got -1"),
        (lambda: SyntheticGradient(3, memory=1.0), r"memory: got 1\.0"),
        (lambda: SyntheticGradient(3)(torch.zeros(2, 4)), r"activity: got shape \(2, 4\), want \(\.\.\., 3\)"),
        (lambda: SyntheticGradient(3, context_dim=2)(torch.zeros(2, 3)), "context: got none"),
        (lambda: SyntheticGradient(3).error(torch.zeros(2, 3), torch.zeros(2, 1)), "target: got shape"),
        (lambda: StateFeedback(()), "dims: got none"),
        (lambda: StateFeedback((3,))([]), "state: got 0 tensors, want 1"),
        (lambda: StateFeedback((3,)).error([torch.zeros(2, 3)], []), "targets: got 0 tensors, want 1"),
        (lambda: decoupled_backward(torch.zeros(()), [], []), r"losses: got shape \(\), want \(batch,\)"),
        (lambda: decoupled_backward(torch.zeros(2), [torch.zeros(2, 1)], []), "start: tensor 0 takes no gradient"),
        (lambda: decoupled_backward(torch.zeros(2), [], [torch.zeros(2, 1)], []), "end_gradients: got shapes"),
        (lambda: substitute_gradient(torch.zeros(2), torch.zeros(3)), r"gradient: got shape \(3,\)"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()
