"""Replicas trained side by side against each trained alone."""

import pytest
import torch
from torch import nn

from replica.training import Hessian, Minibatches, ReplicaMinibatches, Replicas, fit, mlp, train_replicas

RATES = (0.02, 0.1, 0.4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def nets(count=3):
    return [mlp((4, 6, 2), activation=nn.Tanh, generator=seeded(seed), dtype=torch.float64) for seed in range(count)]


def rows(count=20):
    inputs = torch.randn(count, 4, generator=seeded(9), dtype=torch.float64)
    return inputs, (inputs.sum(1) > 0).long()


def loss(model, inputs, labels):
    return nn.functional.cross_entropy(model(inputs), labels)


OPTIMISERS = {
    "sgd": (lambda params, rate: torch.optim.SGD(params, rate), {}),
    "momentum": (lambda params, rate: torch.optim.SGD(params, rate, momentum=0.9), {"momentum": 0.9}),
    "adam": (torch.optim.Adam, {"optimiser": "adam"}),
}


@pytest.mark.parametrize("kind", OPTIMISERS)
@pytest.mark.parametrize("shared", [True, False])
def test_each_replica_trains_as_alone(kind, shared):
    make, options = OPTIMISERS[kind]
    seeds = [5] * 3 if shared else [5, 6, 7]
    batches = (
        Minibatches(*rows(), size=6, generator=seeded(5))
        if shared
        else ReplicaMinibatches(*rows(), size=6, generators=list(map(seeded, seeds)))
    )
    replicas = Replicas(nets())
    found = train_replicas(
        replicas, loss, batches, steps=11, rates=RATES, shared=shared, clip_norm=0.5,
        schedule=lambda step: 1 / (1 + step), **options,
    )  # fmt: skip
    assert found.shape == (11, 3)
    for index, (model, rate, seed) in enumerate(zip(nets(), RATES, seeds, strict=True)):
        optimiser = make(model.parameters(), rate)
        history = fit(
            model, loss, Minibatches(*rows(), size=6, generator=seeded(seed)), optimiser=optimiser, steps=11,
            clip_norm=0.5, schedule=torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 / (1 + step)),
        )  # fmt: skip
        torch.testing.assert_close(found[:, index], torch.tensor(history.losses, dtype=torch.float64))
        for ours, alone in zip(replicas.model(index).parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(ours, alone)


def test_multiples_of_the_rate_by_parameter():
    model = nets()[0]
    replicas = Replicas.of(model, 2)
    multiples = {"0.weight": 0.0, "2.bias": 3.0}
    train_replicas(replicas, loss, [rows()], steps=4, rates=0.1, multiples=multiples)
    groups = [{"params": [p], "lr": 0.1 * multiples.get(name, 1.0)} for name, p in model.named_parameters()]
    fit(model, loss, [rows()], optimiser=torch.optim.SGD(groups), steps=4)
    for index in range(2):
        for ours, alone in zip(replicas.model(index).parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(ours, alone)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_diverged_replica_keeps_to_itself(optimiser):
    def squared(model, inputs, labels):
        return model(inputs).pow(4).sum()

    alone, both = Replicas(nets(1)), Replicas(nets(2))
    both.parameters["0.weight"].data[1] = torch.inf
    options = {"steps": 5, "optimiser": optimiser, "clip_norm": 1.0}
    expected = train_replicas(alone, squared, [rows()], rates=1e-3, **options)
    found = train_replicas(both, squared, [rows()], rates=(1e-3, 1e9), **options)
    torch.testing.assert_close(found[:, :1], expected)
    assert not found[-1, 1].isfinite()
    for name, tensor in both.parameters.items():
        torch.testing.assert_close(tensor[:1], alone.parameters[name])


def test_the_models_are_left_alone_and_statistics_are_each_replicas_own():
    models = [nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).double() for _ in range(2)]
    before = [{name: tensor.clone() for name, tensor in model.state_dict().items()} for model in models]
    replicas = Replicas(models)
    train_replicas(replicas, loss, [rows()], steps=2, rates=0.1)
    for model, state in zip(models, before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    means = replicas.buffers["1.running_mean"]
    assert not torch.equal(means[0], means[1])
    assert torch.equal(replicas.model(1)[1].running_mean, means[1])


def test_outputs_and_curvature_of_each():
    models, (inputs, labels) = nets(2), rows()
    replicas = Replicas(models)
    torch.testing.assert_close(replicas(inputs), torch.stack([model(inputs) for model in models]))
    own = torch.stack([inputs, -inputs])
    torch.testing.assert_close(replicas(own, shared=False)[1], models[1](-inputs))
    hessian = replicas.hessian(loss, [(own[:, :15], labels[:15]), (own[:, 15:], labels[15:])], shared=(False, True))
    torch.testing.assert_close(hessian.dense()[1], Hessian.of(models[1], loss, [(-inputs, labels)]).dense())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps: got 0"),
        ({"rates": (1.0, 2.0)}, r"rates: got shape \(2,\), want one number or 3"),
        ({"optimiser": "lion"}, "optimiser: got 'lion'"),
        ({"multiples": {"head": 1.0}}, r"multiples: got \['head'\]"),
        ({"batches": []}, "batches: got none"),
        ({"shared": (True,)}, "shared: got 1 for a batch of 2"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        train_replicas(Replicas(nets()), **{"loss": loss, "batches": [rows()], "steps": 1, "rates": 0.1, **options})
    with pytest.raises(ValueError, match="models: got none"):
        Replicas([])
    with pytest.raises(ValueError, match="generators: got none"):
        ReplicaMinibatches(*rows(), size=2, generators=[])
