"""What people train a network by, with and without global backpropagation: baselines of the problem credit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from replica.lab.claims import LogUniform, Trial
from replica.lab.problems.baseline import Baselines

baselines = Baselines()
RATES = {"learning_rate": LogUniform(1e-4, 1e-2)}

Loss = Callable[[Tensor, Tensor], Tensor]


class GradientRule:
    """A rule that gives every parameter a direction and leaves the step to Adam.

    Args:
        trial: Where randomness comes from.
        learning_rate: Adam's.
    """

    network: nn.Sequential
    loss: Loss

    def __init__(self, trial: Trial, learning_rate: float = 1e-3) -> None:
        self.generator = trial.generator("rule")
        self.learning_rate = learning_rate

    def build(self, network: nn.Sequential, loss: Loss, example: Tensor) -> None:
        """Take over a network."""
        self.network, self.loss = network, loss
        self.prepare(example)
        self.optimiser = torch.optim.Adam(self.trained(), self.learning_rate)

    def prepare(self, example: Tensor) -> None:
        """Draw what else the rule needs; nothing by default."""

    def trained(self) -> list[nn.Parameter]:
        """What the optimiser steps on."""
        return list(self.network.parameters())

    def assign(self, inputs: Tensor, labels: Tensor) -> None:
        """Put a direction into ``grad`` of all parameters, which are None before."""
        raise NotImplementedError

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        """One update on a batch."""
        self.optimiser.zero_grad(set_to_none=True)
        self.assign(inputs, labels)
        self.optimiser.step()

    def gradients(self, inputs: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """The directions alone, by the network's names of parameters."""
        self.optimiser.zero_grad(set_to_none=True)
        self.assign(inputs, labels)
        found = {name: p.grad for name, p in self.network.named_parameters() if p.grad is not None}
        self.optimiser.zero_grad(set_to_none=True)
        return found


@baselines.entry("head-only", "hidden layers as drawn, the head learns: the trivial rule", space=RATES)
class HeadOnly(GradientRule):
    """Hidden layers stay as drawn; the head learns: the trivial rule."""

    def assign(self, inputs: Tensor, labels: Tensor) -> None:
        """See `GradientRule.assign`."""
        *hidden, head = self.network.children()
        with torch.no_grad():
            for layer in hidden:
                inputs = layer(inputs)
        torch.autograd.backward(self.loss(head(inputs), labels))


@baselines.entry("backprop", "the gradient through the whole network: what people use today", space=RATES)
class Backpropagation(GradientRule):
    """The gradient of the loss through the whole network (Rumelhart, Hinton and Williams, 1986)."""

    def assign(self, inputs: Tensor, labels: Tensor) -> None:
        """See `GradientRule.assign`."""
        torch.autograd.backward(self.loss(self.network(inputs), labels))


class _FeedbackLinear(torch.autograd.Function):
    """x Wᵀ + b forward; backward the error goes through fixed random weights B in place of W."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, feedback)
        ctx.has_bias = bias is not None
        return nn.functional.linear(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor | None, ...]:
        inputs, feedback = ctx.saved_tensors
        flat = error.flatten(0, -2)
        bias = flat.sum(0) if ctx.has_bias else None
        back = error @ feedback if ctx.needs_input_grad[0] else None
        return back, flat.T @ inputs.flatten(0, -2), bias, None


class _FeedbackConvolution(torch.autograd.Function):
    """A convolution forward; backward the error goes through fixed random kernels in place of its own."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor, layer: Any) -> Tensor:
        ctx.save_for_backward(inputs, feedback)
        ctx.layer, ctx.has_bias = layer, bias is not None
        return cast(Tensor, layer._conv_forward(inputs, weight, bias))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor | None, ...]:
        inputs, feedback = ctx.saved_tensors
        layer = ctx.layer
        back, kernel, bias = torch.ops.aten.convolution_backward(
            error, inputs, feedback, [layer.out_channels], list(layer.stride), list(layer.padding), list(layer.dilation),
            False, [0], layer.groups, [ctx.needs_input_grad[0], True, ctx.has_bias],
        )  # fmt: skip
        return back, kernel, bias, None, None


@baselines.entry("feedback-alignment", "fixed random weights on the way back (Lillicrap et al., 2016)", space=RATES)
class FeedbackAlignment(GradientRule):
    """Backpropagation with fixed random weights on the way back (Lillicrap et al., 2016).

    Every linear layer and convolution, also one from state to state of a recurrent layer, has feedback weights of its
    own, drawn as its weights were. The weights' own update is the outer product of the error so received and the inputs.
    """

    def prepare(self, example: Tensor) -> None:
        """Draw the feedback weights, and let the layers send errors through them."""
        for module in self.network.modules():
            if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                spread = float(module.weight.detach().std()) if module.weight.numel() > 1 else 1.0
                feedback = torch.empty_like(module.weight).normal_(0.0, spread, generator=self.generator)
                # The network keeps its class, names and weights; only this instance's way back is another.
                setattr(module, "forward", _through(module, feedback))  # noqa: B010  mypy knows no methods of instances

    def assign(self, inputs: Tensor, labels: Tensor) -> None:
        """See `GradientRule.assign`."""
        torch.autograd.backward(self.loss(self.network(inputs), labels))


def _through(module: Any, feedback: Tensor) -> Callable[[Tensor], Tensor]:
    linear: Any = _FeedbackLinear.apply
    convolution: Any = _FeedbackConvolution.apply
    if isinstance(module, nn.Linear):
        return lambda inputs: linear(inputs, module.weight, module.bias, feedback)
    return lambda inputs: convolution(inputs, module.weight, module.bias, feedback, module)


@baselines.entry(
    "direct-feedback-alignment",
    "the error sent straight to each layer by a random matrix (Nøkland, 2016)",
    space=RATES,
)
class DirectFeedbackAlignment(GradientRule):
    """The output's error goes to every hidden layer at once, through a fixed random matrix each (Nøkland, 2016).

    A layer's output of any shape is fed the error projected to that shape (for a recurrent layer: at every step the same);
    within the layer the chain rule holds.
    """

    def prepare(self, example: Tensor) -> None:
        """Draw one matrix a hidden layer, from the scores to one output of the layer."""
        self.feedback: list[Tensor] = []
        with torch.no_grad():
            *hidden, head = self.network.children()
            outputs = []
            for layer in hidden:
                example = layer(example)
                outputs.append(example)
            scores = head(example).shape[-1]
        for layer, output in zip(hidden, outputs, strict=True):
            shape = _one_output(layer, output)
            drawn = torch.empty(scores, math.prod(shape), device=output.device)
            self.feedback.append(drawn.normal_(0.0, 1 / math.sqrt(scores), generator=self.generator))

    def assign(self, inputs: Tensor, labels: Tensor) -> None:
        """See `GradientRule.assign`."""
        *hidden, head = self.network.children()
        outputs = []
        for layer in hidden:
            outputs.append(layer(inputs))
            inputs = outputs[-1].detach()
        scores = head(inputs)
        (error,) = torch.autograd.grad(self.loss(scores, labels), scores, retain_graph=True)
        torch.autograd.backward(scores, error)
        for layer, output, feedback in zip(hidden, outputs, self.feedback, strict=True):
            shape = _one_output(layer, output)
            sent = (error @ feedback).view(len(output), *shape)
            sent = sent if shape == output.shape[1:] else sent[:, None]
            torch.autograd.backward(output, sent.expand_as(output))


def _one_output(layer: nn.Module, output: Tensor) -> tuple[int, ...]:
    """The shape of an output that gets its own feedback: of a sequence, one step's."""
    recurrent = any(name == "recurrent" for name, _ in layer.named_children())
    return tuple(output.shape[2:] if recurrent else output.shape[1:])


class LocalRule(GradientRule):
    """A rule whose layers learn one after the other, each by a loss of its own, and free their memory before the next."""

    def losses(self, inputs: Tensor, labels: Tensor) -> Iterator[Tensor]:
        """The loss of each layer in turn; its graph reaches into this layer alone."""
        raise NotImplementedError

    def build(self, network: nn.Sequential, loss: Loss, example: Tensor) -> None:
        """Take over a network."""
        super().build(network, loss, example)
        self.optimisers = [torch.optim.Adam(piece, self.learning_rate) for piece in self.pieces()]

    def pieces(self) -> list[list[nn.Parameter]]:
        """What each loss trains."""
        return [list(layer.parameters()) for layer in self.network.children()]

    def trained(self) -> list[nn.Parameter]:
        """All that some loss trains."""
        return [parameter for piece in self.pieces() for parameter in piece]

    def assign(self, inputs: Tensor, labels: Tensor) -> None:
        """See `GradientRule.assign`."""
        for loss in self.losses(inputs, labels):
            torch.autograd.backward(loss)

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        """One update on a batch, layer after layer."""
        for loss, optimiser in zip(self.losses(inputs, labels), self.optimisers, strict=False):
            torch.autograd.backward(loss)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)


@baselines.entry("greedy-local", "a linear classifier on every layer (Belilovsky et al., 2019)", space=RATES)
class GreedyLocal(LocalRule):
    """Every hidden layer learns by a linear classifier of its own; no error leaves a layer (Belilovsky et al., 2019).

    The classifier sees the mean over positions of a convolution's output, and the last step of a recurrent layer's.
    """

    def prepare(self, example: Tensor) -> None:
        """Draw the classifiers."""
        self.classifiers: list[nn.Linear] = []
        with torch.no_grad():
            classes = self.network(example).shape[-1]
            for layer in list(self.network.children())[:-1]:
                example = layer(example)
                features = _summary(layer, example).shape[-1]
                classifier = nn.Linear(features, classes, device=example.device)
                bound = 1 / math.sqrt(features)
                classifier.weight.uniform_(-bound, bound, generator=self.generator)
                classifier.bias.zero_()
                self.classifiers.append(classifier)

    def pieces(self) -> list[list[nn.Parameter]]:
        """A layer and its classifier; the head."""
        *hidden, head = self.network.children()
        paired = zip(hidden, self.classifiers, strict=True)
        return [
            *([*layer.parameters(), *classifier.parameters()] for layer, classifier in paired),
            list(head.parameters()),
        ]

    def losses(self, inputs: Tensor, labels: Tensor) -> Iterator[Tensor]:
        """See `LocalRule.losses`."""
        *hidden, head = self.network.children()
        for layer, classifier in zip(hidden, self.classifiers, strict=True):
            outputs = layer(inputs)
            yield self.loss(classifier(_summary(layer, outputs)), labels)
            inputs = outputs.detach()
            del outputs  # and with it the layer's graph, before the next begins
        yield self.loss(head(inputs), labels)


def _summary(layer: nn.Module, outputs: Tensor) -> Tensor:
    """One vector a sample: the last step of a sequence, the mean over a convolution's positions."""
    if outputs.ndim == 2:
        return outputs
    if any(name == "recurrent" for name, _ in layer.named_children()):
        return outputs[:, -1]
    return outputs.flatten(2).mean(2)


@baselines.entry(
    "forward-forward",
    "goodness of right and wrong labels, layer by layer (Hinton, 2022)",
    space=RATES | {"threshold": LogUniform(0.3, 3.0)},
    network=("mlp", "conv"),
)
class ForwardForward(LocalRule):
    """Each layer tells inputs with their own label from inputs with a wrong one, by its goodness (Hinton, 2022).

    The label stands as a one-hot code in those input values that vary least over the example rows (blank corners of an
    image). Goodness is the mean square of a layer's outputs; each
    layer descends softplus of threshold − goodness (own label) and of goodness − threshold (wrong label), gets its
    inputs divided by their root mean square, and sends no error to others. The label with the most goodness, summed over
    all layers but the first (over all where there is one), is the answer. The head is not used.

    Args:
        trial: Where randomness comes from.
        learning_rate: Adam's.
        threshold: Goodness at which a layer is undecided.
    """

    def __init__(self, trial: Trial, learning_rate: float = 3e-3, threshold: float = 1.0) -> None:
        super().__init__(trial, learning_rate)
        self.threshold = threshold

    def prepare(self, example: Tensor) -> None:
        """See how many classes there are, where their marks go and how strong they must be."""
        with torch.no_grad():
            self.classes = self.network(example).shape[-1]
        if example[0].numel() < self.classes:
            raise ValueError(f"inputs: got {example[0].numel()} values, want at least one a class, {self.classes}")
        self.strength = float(example.abs().max())
        self.places = example.flatten(1).var(dim=0).argsort(stable=True)[: self.classes]

    def pieces(self) -> list[list[nn.Parameter]]:
        """The hidden layers alone."""
        return super().pieces()[:-1]

    def losses(self, inputs: Tensor, labels: Tensor) -> Iterator[Tensor]:
        """See `LocalRule.losses`."""
        offsets = torch.randint(1, self.classes, labels.shape, generator=self.generator, device=labels.device)
        states = torch.cat([self._marked(inputs, labels), self._marked(inputs, (labels + offsets) % self.classes)])
        for layer in list(self.network.children())[:-1]:
            outputs = layer(_scaled(states))
            own, wrong = (_goodness(outputs) - self.threshold).chunk(2)
            yield nn.functional.softplus(torch.cat([-own, wrong])).mean()
            states = outputs.detach()
            del outputs, own, wrong

    def predict(self, inputs: Tensor) -> Tensor:
        """Goodness of every label, shape ``(batch, classes)``."""
        labels = torch.arange(self.classes, device=inputs.device).repeat(len(inputs))
        states = self._marked(inputs.repeat_interleave(self.classes, dim=0), labels)
        found = []
        for layer in list(self.network.children())[:-1]:
            states = layer(_scaled(states))
            found.append(_goodness(states))
        return torch.stack(found[1:] or found).sum(0).view(-1, self.classes)

    def _marked(self, inputs: Tensor, labels: Tensor) -> Tensor:
        flat = inputs.flatten(1).clone()
        flat[:, self.places] = self.strength * nn.functional.one_hot(labels, self.classes).to(flat.dtype)
        return flat.view_as(inputs)


def _goodness(outputs: Tensor) -> Tensor:
    return outputs.flatten(1).square().mean(1)


def _scaled(states: Tensor) -> Tensor:
    size = states.flatten(1).square().mean(1).add(1e-8).sqrt()
    return states / size.view(-1, *[1] * (states.ndim - 1))
