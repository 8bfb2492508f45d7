"""Subramaniam, Mayo, Conwell, Poggio, Cheung, Barbu 2024: Training the Untrainable.

Fully connected networks that see few photographs overfit: does a convolutional guide, trained or as drawn, keep them from it?
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from replica.data.sets.cifar10 import cifar10
from replica.data.sets.digits import digits
from replica.lab.claims import Paper, Trial
from replica.lab.studies import lines
from replica.representations import captured_activations, guidance_loss
from replica.training import Minibatches, Replicas, conv_net, fit, mlp

paper = Paper("guidance")
UNGUIDED, TRAINED, UNTRAINED, OWN = METHODS = ("unguided", "trained guide", "untrained guide", "guide of its own kind")
FORMS = {"plain": (0.0, 0.0), "dropout": (0.1, 0.0), "decay": (0.0, 1.0)}  # dropout, and decoupled weight decay
NETS = [*((method, form) for method in METHODS[:-1] for form in FORMS), (OWN, "plain")]
HIDDEN, RATE = 4, 0.001
GUIDING = ("pool1", "pool2", "act3", "act4")
Part = tuple[Tensor, Tensor]  # images, (count, channels, side, side), and their classes
Seen = dict[str, list[Tensor]]  # activations of a guide's layers, by method


def parts(trial: Trial) -> list[Part]:
    """Images to train on, to validate and to test, standardised by the first. Small digits at smoke scale."""
    sizes = trial.pick(smoke=(60, 40, 40), laptop=(2000, 1000, 2000), full=(16_000, 4000, 5000))
    rows, tested = trial.rng("rows"), trial.rng("test rows")
    if trial.scale == "smoke":
        data, some = digits(), rows.permutation(1797)[: sum(sizes)]
        both = [(data.values[some][:, None], data.labels[some])]
    else:
        known = cifar10("train", rows.permutation(20_000)[: sizes[0] + sizes[1]], side=16)
        both = [known, cifar10("test", tested.permutation(5000)[: sizes[2]], side=16)]
    images, labels = (torch.from_numpy(np.concatenate(each)).to(trial.device) for each in zip(*both, strict=True))
    spread, mean = torch.std_mean(images[: sizes[0]], (0, 2, 3), keepdim=True)
    return list(zip(((images - mean) / spread).split(sizes), labels.split(sizes), strict=True))


class Layers(nn.Module):
    """A perceptron that gives its hidden layers along with the logits; factors of their units drop some."""

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.layers = nn.ModuleList(module for module in net if isinstance(module, nn.Linear))

    def forward(self, images: Tensor, factors: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Logits, and what the hidden layers are before any unit is dropped."""
        stream, hidden = images.flatten(1), []
        for place, layer in enumerate(self.layers[:-1]):
            hidden.append(layer(stream).relu())
            stream = hidden[-1] if factors is None else hidden[-1] * factors[place]
        return self.layers[-1](stream), hidden


losses = torch.vmap(cross_entropy, (0, None))  # of each net


def share_right(logits: Tensor, labels: Tensor) -> Tensor:
    """Accuracy of each net."""
    return (logits.argmax(-1) == labels).double().mean(-1)


def guides(trial: Trial, train: Part, held: Part, epochs: int, own: nn.Sequential) -> tuple[nn.Module, Seen]:
    """A network trained as long as those that it will guide, at its best by validation; and the layers of all guides."""
    wide = trial.pick(smoke=(4,) * HIDDEN, laptop=(16, 32, 32, 32), full=(32, 64, 64, 64))
    shape: dict[str, Any] = {"size": tuple(train[0].shape[2:]), "pool_after": (1, 2)}
    channels, names = (train[0].shape[1], *wide), ("guide", "drawn guide")
    trained, drawn = (conv_net(channels, 10, generator=trial.generator(name), **shape) for name in names)
    batches = Minibatches(*train, size=100, generator=trial.generator("guide's batches"))
    fit(
        trained, lambda net, images, labels: cross_entropy(net(images), labels), batches, steps=epochs * len(batches),
        optimiser=torch.optim.Adam(trained.parameters(), 3 * RATE), every=len(batches),
        validate=lambda: -float(share_right(trained(held[0]), held[1])),
    )  # fmt: skip
    like, seen = nn.Sequential(nn.Flatten(), *own), {}
    rectifiers = [str(2 * layer + 2) for layer in range(HIDDEN)]
    for method, guide, layers in ((TRAINED, trained, GUIDING), (UNTRAINED, drawn, GUIDING), (OWN, like, rectifiers)):
        with torch.no_grad(), captured_activations(guide, layers) as kept:
            guide(train[0])
        seen[method] = [kept[layer].flatten(1) for layer in layers]
    return trained, seen


def guided(trial: Trial) -> list[dict[str, Any]]:
    """By method, form and epoch: accuracies, validation loss, and how like the convolutional guides (CKA, mean of pairs)."""
    train, held, test = parts(trial)
    width, epochs = trial.pick(smoke=(8, 1), laptop=(96, 14), full=(512, 30))
    sizes = (train[0][0].numel(), *[width] * HIDDEN, 10)
    start, own = (mlp(sizes, generator=trial.generator(name)) for name in ("weights", "own kind"))
    for each in (*start.parameters(), *own.parameters()):
        each.data.mul_(6**0.5 if each.dim() > 1 else 0)  # of variance 2 / inputs, so that signals come through
    guide, seen = guides(trial, train, held, epochs, own)
    with torch.no_grad():
        of_guide = float(share_right(guide(test[0]), test[1]))
    nets = Replicas.of(Layers(start), len(NETS))
    dropout, decay = torch.tensor([FORMS[form] for _, form in NETS], device=trial.device).T
    keep, dropping = 1 - dropout[:, None, None, None], trial.generator("dropout")
    optimiser = torch.optim.Adam(list(nets.parameters.values()), RATE)
    order = Minibatches(torch.arange(len(train[1])), size=100, generator=trial.generator("batches"))
    rows = []
    for epoch in range(1, epochs + 1):
        for (some,) in order:
            drawn = torch.rand(HIDDEN, len(some), width, generator=dropping, device=trial.device)
            logits, hidden = nets(train[0][some], (drawn < keep) / keep, shared=(True, False))
            loss = losses(logits, train[1][some]).sum()
            for place, method in enumerate(METHODS[1:], 1):
                its = slice(place * len(FORMS), (place + 1) * len(FORMS))
                loss += guidance_loss([layer[its] for layer in hidden], [layer[some] for layer in seen[method]]).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                for weight in nets.parameters.values():
                    weight.mul_(1 - RATE * decay.view(-1, *[1] * (weight.dim() - 1)))
        rows += [{"epoch": epoch, "guide": of_guide, **row} for row in states(nets, train, held, test, seen)]
    return rows


@torch.no_grad()
def states(nets: Replicas, train: Part, held: Part, test: Part, seen: Seen) -> list[dict[str, Any]]:
    """How every net does by now."""
    logits, hidden = nets(held[0])[0], nets(train[0][:200])[1]
    found = {"validation": share_right(logits, held[1]), "loss": losses(logits, held[1])}
    found["test"] = share_right(nets(test[0])[0], test[1])
    for method in (TRAINED, UNTRAINED):
        found[f"like {method}"] = 1 - guidance_loss(hidden, [layer[:200] for layer in seen[method]]) / HIDDEN
    named = [{"method": method, "form": form} for method, form in NETS]
    return [name | {what: float(values[place]) for what, values in found.items()} for place, name in enumerate(named)]


def at_best(table):
    """Of each method the form and epoch that validate best; and by how much its plain form's loss rises from its lowest."""
    best = table.loc[table.groupby("method")["validation"].idxmax()].set_index("method")
    plain = table[table["form"] == "plain"].sort_values("epoch").groupby("method")["loss"]
    return best.assign(rise=plain.last() - plain.min())


def gains(table, method):
    """Of a guide on none, and gates."""
    best = at_best(table)
    test, alike = best["test"], best[f"like {method}"]
    found = {"gain": test[method] - test[UNGUIDED], "alignment_gained": alike[method] - alike[UNGUIDED]}
    return found | {"guide_ahead": best["guide"].iloc[0] - test[UNGUIDED], "accuracy_of_unguided": test[UNGUIDED]}


draw = lines("epoch", "loss", "method", xlabel="epoch", ylabel="validation loss")


@paper.claim(guided, figure=draw)
def overcomes_overfitting(table):
    """What a trained guide gives."""
    rise = at_best(table)["rise"]
    rises = {"rise_saved": rise[UNGUIDED] - rise[TRAINED], "rise_of_unguided": rise[UNGUIDED]}
    return gains(table, TRAINED) | rises


@paper.claim(guided, figure=draw)
def untrained_guide(table):
    """What a guide as drawn gives; in plain form against one of the target's own kind."""
    test, plain = at_best(table)["test"], at_best(table[table["form"] == "plain"])["test"]
    own = {"gain_over_own_kind": plain[UNTRAINED] - plain[OWN], "gain_of_own_kind": plain[OWN] - plain[UNGUIDED]}
    return gains(table, UNTRAINED) | own | {"short_of_trained": test[TRAINED] - test[UNTRAINED]}
