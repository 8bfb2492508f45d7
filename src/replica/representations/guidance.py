"""Guidance: a network learns its task and to represent its inputs as another one does, which may have another architecture.

Subramaniam, Mayo, Conwell, Poggio, Cheung & Barbu 2024. The guide is not trained; where it is as drawn at the start, its
architecture alone guides.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.kernels import linear_cka

from .activations import captured_activations

Similarity = Callable[[Tensor, Tensor], Tensor]
Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")


class Guided(NamedTuple):
    """What a target gives for a batch, and the term to add to its loss."""

    output: Any
    term: Tensor


def pair_layers(target: Sequence[Ours], guide: Sequence[Theirs]) -> list[tuple[Ours, Theirs]]:
    """Layers of two networks at equal relative depth: every layer of the shallower one once, first with first, last with last.

    Layer i of m goes with layer round(i (n − 1) / (m − 1)) of n, counted from 0.

    Args:
        target: layers in the order in which they run: names, numbers or whatever stands for them.
        guide: of the other network.

    Raises:
        ValueError: if there are none of either.

    Example:
        >>> from replica.representations import pair_layers
        >>> pair_layers([1, 2, 3, 4, 5], ["conv1", "conv2", "conv3"])
        [(1, 'conv1'), (3, 'conv2'), (5, 'conv3')]
    """
    if not len(target) or not len(guide):
        raise ValueError(f"target: got {len(target)} layers and {len(guide)} of the guide, want one or more of each")
    few, many = sorted((len(target), len(guide)))
    # One layer goes with the last: that of the task.
    far = [round(i * (many - 1) / (few - 1)) if few > 1 else many - 1 for i in range(few)]
    ours, theirs = (range(few), far) if len(target) == few else (far, range(few))
    return [(target[i], guide[j]) for i, j in zip(ours, theirs, strict=True)]


def guidance_loss(
    activations: Sequence[Float[Tensor, "... samples units"]],
    guides: Sequence[Float[Tensor, "... samples others"]],
    *,
    similarity: Similarity = linear_cka,
) -> Float[Tensor, "..."]:
    """How far layers are from the guide's: the sum over pairs of 1 − similarity, of the same samples.

    Args:
        activations: of the target, a layer each; gradients flow to them. Axes in front are networks side by side.
        guides: of the guide, paired with them.
        similarity: 1 where two representations are the same; with networks side by side it must take axes in front.

    Raises:
        ValueError: if their numbers differ, or there are none; see also `linear_cka`.

    Example:
        >>> import torch
        >>> from replica.representations import guidance_loss
        >>> layer = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
        >>> guidance_loss([layer], [3 * layer.flip(1) + 1]).abs().round(decimals=4)  # the same but for a rotation
        tensor(0.)
    """
    if not len(activations) or len(activations) != len(guides):
        raise ValueError(f"guides: got {len(guides)} layers for {len(activations)}, want one each, and one or more")
    return torch.stack([1 - similarity(ours, theirs) for ours, theirs in zip(activations, guides, strict=True)]).sum(0)


class Guidance:
    """Guides one network by another: gives the target's output together with the term that its loss lacks.

    The loss is task + weight · Σ (1 − CKA(target's layer, guide's layer)) on the same minibatch (Section 3, eq. 1 and 2). The
    guide runs in evaluation mode without gradients and is left as it was. Activations are flattened but for the first axis.

    Args:
        target: the network that learns.
        guide: the network that guides, trained or as drawn.
        layers: pairs of dotted names of submodules, of the target and of the guide; see `pair_layers`.
        weight: of the term.
        similarity: See `guidance_loss`.

    Raises:
        ValueError: without pairs, or with a negative weight; in use, if a name is no submodule's or a layer is constant.

    Example:
        >>> import torch
        >>> from replica.representations import Guidance, pair_layers
        >>> from replica.training import conv_net, mlp
        >>> generator = torch.Generator().manual_seed(0)
        >>> target = torch.nn.Sequential(torch.nn.Flatten(), *mlp((64, 32, 32, 10), generator=generator))
        >>> guide = conv_net((1, 8, 8), 10, generator=generator)
        >>> guided = Guidance(target, guide, pair_layers(["2", "4"], ["act1", "act2"]))
        >>> images, labels = torch.rand(16, 1, 8, 8, generator=generator), torch.arange(16) % 10
        >>> output, term = guided(images)
        >>> (torch.nn.functional.cross_entropy(output, labels) + term).backward()
    """

    def __init__(
        self,
        target: nn.Module,
        guide: nn.Module,
        layers: Sequence[tuple[str, str]],
        *,
        weight: float = 1.0,
        similarity: Similarity = linear_cka,
    ) -> None:
        if not layers:
            raise ValueError("layers: got none, want one pair or more")
        if not weight >= 0:
            raise ValueError(f"weight: got {weight}, want 0 or more")
        self.target, self.guide, self.layers = target, guide, list(layers)
        self.weight, self.similarity = weight, similarity

    def __call__(self, inputs: Any, guide_inputs: Any = None) -> Guided:
        """The target's output for a batch, and the weighted term.

        Args:
            inputs: of the target, samples first.
            guide_inputs: of the guide, where it sees others, such as noise. Default the same.
        """
        with _watched(self.target, [ours for ours, _ in self.layers]) as found:
            output = self.target(inputs)
        with torch.no_grad(), captured_activations(self.guide, [theirs for _, theirs in self.layers]) as shown:
            modes = [(module, module.training) for module in self.guide.modules()]
            self.guide.eval()
            try:
                self.guide(inputs if guide_inputs is None else guide_inputs)
            finally:
                for module, mode in modes:
                    module.training = mode
        pairs = [(found[ours].flatten(1), shown[theirs].flatten(1)) for ours, theirs in self.layers]
        ours, theirs = zip(*pairs, strict=True)
        return Guided(output, self.weight * guidance_loss(ours, theirs, similarity=self.similarity))


@contextmanager
def _watched(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """As `captured_activations`, with gradients."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: Any, output: Tensor) -> None:
            # A copy: a rectifier that works in place would change it.
            found[name] = output.clone()

        return hook

    with captured_activations(model, layers):  # tells of wrong names
        handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in dict.fromkeys(layers)]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()
