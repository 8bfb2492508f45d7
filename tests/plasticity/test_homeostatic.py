"""Homeostatic learners: the choice written out by hand, plain descent without regulation, replicas as lone learners."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from replica.plasticity import HomeostaticLearner

LOSS = nn.functional.cross_entropy


def perceptron(seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.ELU(), nn.Linear(7, 4)).to(dtype)


def stream(batches: int, size: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(size, 5, generator=generator, dtype=dtype), torch.randint(4, (size,), generator=generator))
        for _ in range(batches)
    ]


def by_hand(
    net: nn.Sequential, batches: list[tuple[Tensor, Tensor]], rate: float, *, effect: float, memory: int, simulate: str
) -> tuple[list[float], nn.Sequential]:
    """The authors' program in words: two copies of the network, each moved, each asked about the remembered rows."""
    amount, rows, path = effect * rate, [], []
    for inputs, labels in batches:
        guess = int(net(inputs)[0].argmax())
        if len(rows) >= memory:
            remembered = rows[-memory:]
            right = []
            for tried in (rate, max(rate + (amount if guess >= 2 else -amount), 0.0)):
                future = copy.deepcopy(net)
                shown = slice(None) if simulate == "batch" else slice(0, 1)
                part = 1.0 if simulate == "batch" else 1 / len(labels)
                (part * LOSS(future(inputs[shown]), labels[shown])).backward()
                with torch.no_grad():
                    for parameter in future.parameters():
                        parameter -= tried * parameter.grad
                    right.append(sum(int(future(x[None]).argmax()) == int(y) for x, y in remembered))
            if right[1] > right[0]:
                rate += amount if int(labels[0]) >= 2 else -amount
                rate = 1e-8 if rate < 0 else rate
        net.zero_grad()
        LOSS(net(inputs), labels).backward()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= rate * parameter.grad
        rows += list(zip(inputs, labels, strict=True))
        path.append(rate)
    return path, net


@pytest.mark.parametrize("simulate", ["batch", "sample"])
@pytest.mark.parametrize("size", [1, 3, 8])
def test_it_follows_the_choice_written_out_by_hand(simulate: Any, size: int) -> None:
    batches = stream(60, size)
    net = perceptron()
    wanted, trained = by_hand(copy.deepcopy(net), batches, 2.0, effect=0.5, memory=6, simulate=simulate)
    learner = HomeostaticLearner(net, LOSS, 2.0, effect=0.5, memory=6, simulate=simulate)
    found = []
    for inputs, labels in batches:
        learner.step(inputs, labels)
        found.append(float(learner.rate))
    assert len(set(found)) > 1, "the rate must move, or the test tests nothing"
    torch.testing.assert_close(found, wanted)
    for ours, theirs in zip(net.parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_regulation_it_is_plain_gradient_descent(dtype: torch.dtype) -> None:
    net = perceptron(dtype=dtype)
    other = copy.deepcopy(net)
    learner, peer = HomeostaticLearner(net, LOSS, 0.3, regulation="none"), torch.optim.SGD(other.parameters(), 0.3)
    for inputs, labels in stream(10, 8, dtype=dtype):
        direction = learner.gradients(inputs, labels)
        peer.zero_grad()
        LOSS(other(inputs), labels).backward()
        for name, parameter in other.named_parameters():
            torch.testing.assert_close(direction[name], parameter.grad)
        peer.step()
        before = net(inputs).detach()
        torch.testing.assert_close(learner.step(inputs, labels), before)
    for ours, theirs in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert float(learner.rate) == pytest.approx(0.3)


class Side(nn.Module):
    """Linear maps side by side."""

    def __init__(self, replicas: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(replicas, 5, 4, generator=generator, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.weight


def test_replicas_learn_as_they_would_alone() -> None:
    side = Side(3)
    rates = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    lone = []
    for replica in range(3):
        alone = Side(1)
        alone.weight.data = side.weight.data[replica : replica + 1].clone()
        lone.append(HomeostaticLearner(alone, LOSS, float(rates[replica]), replicas=1, effect=0.5, simulate="batch"))
    together = HomeostaticLearner(side, LOSS, rates, replicas=3, effect=0.5, simulate="batch")
    streams = [stream(80, 6, seed=replica) for replica in range(3)]
    for number in range(80):
        together.step(*(torch.stack(parts) for parts in zip(*(own[number] for own in streams), strict=True)))
        for learner, own in zip(lone, streams, strict=True):
            learner.step(*(part[None] for part in own[number]))
    assert int(together.taken.sum()) > 0
    torch.testing.assert_close(together.rate, torch.cat([learner.rate for learner in lone]))
    torch.testing.assert_close(side.weight.data, torch.cat([learner.network.weight.data for learner in lone]))  # type: ignore[operator,union-attr]


def test_the_true_class_acts_not_the_guess() -> None:
    """Everything is taken in under "random" half of the time; excitatory labels raise, inhibitory ones lower to the floor."""
    generator = torch.Generator().manual_seed(0)
    for label, check in ((3, lambda rate: rate > 1.0), (0, lambda rate: rate == pytest.approx(1e-8))):
        learner = HomeostaticLearner(
            perceptron(), lambda scores, _: 0 * scores.sum(), 1.0, regulation="random", generator=generator
        )
        for inputs, _ in stream(60, 2):
            learner.step(inputs, torch.full((2,), label))
        assert check(float(learner.rate))
        assert int(learner.taken) in range(15, 46)


def test_own_effects_of_classes() -> None:
    rates = []
    for excitatory in (torch.tensor([True] * 4), torch.tensor([False] * 4)):
        learner = HomeostaticLearner(
            perceptron(),
            LOSS,
            0.1,
            regulation="random",
            excitatory=excitatory,
            generator=torch.Generator().manual_seed(0),
        )
        for inputs, labels in stream(5, 2):
            learner.step(inputs, labels)
        rates.append(float(learner.rate))
    assert rates[0] > 0.1 > rates[1]


def test_a_look_into_the_future_leaves_running_statistics_alone() -> None:
    net = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 4)).double()
    learner = HomeostaticLearner(net, LOSS, 0.1, memory=4)
    for inputs, labels in stream(6, 4):
        learner.step(inputs, labels)
    assert int(net[1].num_batches_tracked) == 6  # type: ignore[arg-type]


def test_it_goes_on_from_its_state() -> None:
    batches = stream(40, 6)
    net = perceptron()
    learner = HomeostaticLearner(net, LOSS, 2.0, effect=0.5, simulate="batch")
    for batch in batches[:20]:
        learner.step(*batch)
    other = copy.deepcopy(net)
    resumed = HomeostaticLearner(other, LOSS, 2.0, effect=0.5, simulate="batch")
    resumed.load_state_dict(copy.deepcopy(learner.state_dict()))
    for batch in batches[20:]:
        learner.step(*batch)
        resumed.step(*batch)
    torch.testing.assert_close(resumed.rate, learner.rate)
    for ours, theirs in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    with pytest.raises(ValueError, match="state"):
        resumed.load_state_dict({**learner.state_dict(), "rate": torch.ones(2)})


def test_images_and_frozen_layers() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))
    net[0].requires_grad_(False)
    before = net[0].weight.clone()
    learner = HomeostaticLearner(net, LOSS, 0.1, memory=2, every=2)
    for _ in range(4):
        learner.step(torch.randn(3, 1, 4, 4), torch.tensor([0, 1, 3]))
    assert torch.equal(net[0].weight, before)
    assert set(learner.gradients(torch.randn(3, 1, 4, 4), torch.tensor([0, 1, 3]))) == {"3.weight", "3.bias"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("regulation", {"regulation": "always"}),
        ("simulate", {"simulate": "all"}),
        ("memory", {"memory": 0}),
        ("every", {"every": 0}),
        ("effect", {"effect": 1.5}),
        ("replicas", {"replicas": 0}),
        ("network", {"replicas": 3}),
        ("learning_rate", {"learning_rate": 0.0}),
        ("learning_rate", {"learning_rate": torch.ones(2)}),
    ],
)
def test_wrong_arguments_are_named(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: got"):
        HomeostaticLearner(perceptron(), LOSS, **options)


def test_wrong_batches_are_named() -> None:
    learner = HomeostaticLearner(perceptron(), LOSS, excitatory=torch.tensor([True, False]), regulation="random")
    inputs, labels = stream(1, 6)[0]
    with pytest.raises(ValueError, match=r"^labels: got"):
        learner.step(inputs, labels[:3])
    with pytest.raises(ValueError, match=r"^inputs: got"):
        learner.step(inputs[:0], labels[:0])
    with pytest.raises(ValueError, match=r"^excitatory: got"):
        learner.step(inputs, labels)
    with pytest.raises(ValueError, match=r"^network: got"):
        HomeostaticLearner(nn.ReLU(), LOSS)


def test_remembered_rows_are_renamed() -> None:
    learner = HomeostaticLearner(perceptron(), LOSS, 0.1, memory=3)
    learner.rename(torch.tensor([1, 0, 2, 3]))
    inputs, _ = stream(1, 4)[0]
    learner.step(inputs, torch.tensor([3, 0, 1, 2]))
    learner.rename(torch.tensor([1, 0, 2, 3]))
    assert learner.remembered is not None
    assert learner.remembered[1].tolist() == [1, 0, 2]
    assert torch.equal(learner.remembered[0], inputs[1:])
