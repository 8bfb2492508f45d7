"""Permutations of hidden units that bring one net near another: weight matching and activation matching (Git Re-Basin)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_UNIT_BY_UNIT = (
    nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid,
    nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid, nn.Dropout, nn.Dropout1d, nn.Dropout2d,
    nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d,
)  # fmt: skip
"""Modules that act on each unit alone, and on all units alike."""


class Alignment(NamedTuple):
    """A net with its hidden units in another order, which computes the same.

    Attributes:
        model: a copy of the second net whose units stand in the order of the first's.
        order: of each hidden layer, by its name: the unit of the second net that stands at each place.
    """

    model: nn.Sequential
    order: dict[str, Int[Tensor, " units"]]


def weight_matching(model_a: nn.Sequential, model_b: nn.Sequential, *, most: int = 100) -> Alignment:
    """Orders the hidden units of one net so that its weights are near those of another.

    Maximises Σ ⟨A, P(B)⟩ over the permutations P of hidden units, A and B the weights, biases and norms' scales and
    shifts of the two nets: coordinate ascent, which solves one layer's linear assignment given its neighbours', until
    nothing changes. It starts from a pass in which layers see only their inputs' weights: this finds the copy of a net
    with permuted units exactly. A layer is solved again only where a neighbour has changed since.

    Args:
        model_a: a chain of Linear and convolutional layers; batch and layer normalisation, activations, poolings, dropout
            and Flatten may stand between.
        model_b: of the same architecture. Both are left as they are.
        most: passes over the layers, after which it stops.

    Raises:
        ValueError: if the nets differ in architecture, or are no such chain with one hidden layer or more.

    Source: Ainsworth, Hayase, Srinivasa 2023, Section 3.2 and Algorithm 1.

    Example:
        >>> import torch
        >>> from replica.landscapes import permute_units, weight_matching
        >>> from replica.training import mlp
        >>> net = mlp((3, 4, 2), generator=torch.Generator().manual_seed(0))
        >>> other = permute_units(net, {"0": torch.tensor([2, 0, 3, 1])})
        >>> weight_matching(net, other).order
        {'0': tensor([1, 3, 0, 2])}
    """
    units, states = _hidden(model_a, model_b)
    sides = [[layer.matrices(state) for state in states] for layer in units]
    orders = [torch.arange(layer.count, device=layer.device) for layer in units]
    for index, layer in enumerate(units):
        before = orders[index - 1] if index else None
        orders[index] = _assigned(_product(layer, sides[index], before, None, inputs_only=True))
    due, passes = set(range(len(units))), 0
    while due and passes < most:
        passes += 1
        for index, layer in enumerate(units):
            if index not in due:
                continue
            due.discard(index)
            before = orders[index - 1] if index else None
            after = orders[index + 1] if index + 1 < len(units) else None
            gains = _product(layer, sides[index], before, after)
            found, places = _assigned(gains), torch.arange(layer.count, device=gains.device)
            had, has = (float(gains[places, order].sum(dtype=torch.float64)) for order in (orders[index], found))
            # Ties and rounding must not make it go round in circles.
            if has > had + 1e-6 * float(gains.abs().max()):
                orders[index] = found
                due |= {near for near in (index - 1, index + 1) if 0 <= near < len(units)}
    order = {layer.name: found for layer, found in zip(units, orders, strict=True)}
    return Alignment(permute_units(model_b, order), order)


def activation_matching(
    model_a: nn.Sequential, model_b: nn.Sequential, inputs: Float[Tensor, "batch ..."]
) -> Alignment:
    """Orders the hidden units of one net so that their activations are near those of another's on the same inputs.

    Each layer alone: max over permutations of Σ over samples and positions of z_A[i] z_B[π(i)], which is least squared
    distance; z are the activations that the next layer of weights reads.

    Args:
        model_a: See `weight_matching`, as for `model_b`. Nets are called in the mode that they are in.
        model_b: of the same architecture.
        inputs: a batch.

    Raises:
        ValueError: as `weight_matching`.

    Source: Ainsworth, Hayase, Srinivasa 2023, Section 3.1; with correlations Li et al. 2015.

    Example:
        >>> import torch
        >>> from replica.landscapes import activation_matching, permute_units
        >>> from replica.training import mlp
        >>> generator = torch.Generator().manual_seed(0)
        >>> net = mlp((3, 4, 2), generator=generator)
        >>> other = permute_units(net, {"0": torch.tensor([2, 0, 3, 1])})
        >>> activation_matching(net, other, torch.randn(50, 3, generator=generator)).order
        {'0': tensor([1, 3, 0, 2])}
    """
    units, _ = _hidden(model_a, model_b)
    seen = [_read(model, units, inputs) for model in (model_a, model_b)]
    order = {
        layer.name: _assigned(ours @ theirs.T) for layer, ours, theirs in zip(units, seen[0], seen[1], strict=True)
    }
    return Alignment(permute_units(model_b, order), order)


def permute_units(model: nn.Sequential, order: Mapping[str, Int[Tensor, " units"]]) -> nn.Sequential:
    """A copy of a net with its hidden units in another order: the same function.

    Args:
        model: a chain, see `weight_matching`.
        order: for some hidden layers, by name: which unit is to stand at each place.

    Raises:
        ValueError: if the net is no such chain, a name is not one of a hidden layer, or an order is no permutation.

    Example:
        >>> import torch
        >>> from replica.landscapes import permute_units
        >>> from replica.training import mlp
        >>> net = mlp((1, 2, 1), generator=torch.Generator().manual_seed(0))
        >>> permute_units(net, {"0": [1, 0]})[0].bias.equal(net[0].bias.flip(0))
        True
    """
    units = {layer.name: layer for layer in _units(model)}
    net = copy.deepcopy(model)
    state = net.state_dict()
    for name, given in order.items():
        if name not in units:
            raise ValueError(f"order: got {name!r}, want the name of a hidden layer, of {', '.join(units)}")
        layer = units[name]
        places = torch.as_tensor(given, device=layer.device)
        if places.shape != (layer.count,) or not places.sort().values.equal(
            torch.arange(layer.count, device=layer.device).to(places)
        ):
            raise ValueError(
                f"order: got {tuple(places.shape)} numbers for {name!r}, want 0 to {layer.count - 1}, each once"
            )
        for key, axis in layer.tensors:
            tensor = state[key]
            moved = tensor.unflatten(axis, (layer.count, -1)).index_select(axis, places).flatten(axis, axis + 1)
            tensor.copy_(moved)  # the state's tensors are the net's own
    return net


@dataclass
class _Units:
    """A hidden layer's units, and where they stand: tensors by name, and of each the axis that runs over them."""

    name: str
    count: int
    device: torch.device
    tensors: list[tuple[str, int]] = field(default_factory=list)
    learned: list[tuple[str, int]] = field(default_factory=list)
    reader: str = ""

    def matrices(self, state: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
        """What is compared: the writer's weight ``(units, 1, inputs, …)``, the reader's ``(units, others, …)``, the rest."""
        kinds = {f"{self.name}.weight": "writer", self.reader: "reader"}
        return [
            (kinds.get(key, "own"), state[key].unflatten(axis, (self.count, -1)).movedim(axis, 0).contiguous())
            for key, axis in self.learned
        ]


def _product(
    layer: _Units,
    sides: list[list[tuple[str, Tensor]]],
    before: Tensor | None,
    after: Tensor | None,
    *,
    inputs_only: bool = False,
) -> Float[Tensor, "units units"]:
    """Inner products of the first net's units with the second's, whose neighbouring layers are put in order."""
    total: Tensor | None = None
    for (kind, ours), (_, theirs) in zip(*sides, strict=True):
        if kind == "reader" and inputs_only:
            continue
        if kind == "reader" and after is not None:
            theirs = theirs.index_select(1, after)
        if kind == "writer" and before is not None:
            # Inputs come in blocks of positions where a Flatten stands between.
            blocks = theirs.unflatten(2, (len(before), -1))
            theirs = blocks.index_select(2, before).flatten(2, 3)
        found = ours.flatten(1) @ theirs.flatten(1).T
        total = found if total is None else total + found
    assert total is not None
    return total


def _assigned(gains: Float[Tensor, "units units"]) -> Int[Tensor, " units"]:
    _, order = linear_sum_assignment(gains.detach().cpu().double().numpy(), maximize=True)
    return torch.from_numpy(order).to(gains.device)


def _hidden(model_a: nn.Sequential, model_b: nn.Sequential) -> tuple[list[_Units], list[dict[str, Tensor]]]:
    units = _units(model_a)
    states = [{name: tensor.detach() for name, tensor in model.state_dict().items()} for model in (model_a, model_b)]
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in states]
    if shapes[0] != shapes[1] or [(layer.name, layer.tensors) for layer in units] != [
        (layer.name, layer.tensors) for layer in _units(model_b)
    ]:
        odd = next(
            (name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name)), "layers"
        )
        raise ValueError(f"model_b: got other {odd} than model_a, want the same architecture")
    return units, states


def _units(model: nn.Sequential) -> list[_Units]:
    """The hidden layers of a chain.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(model, nn.Sequential):
        raise ValueError(f"model: got {type(model).__name__}, want a Sequential")
    found: list[_Units] = []
    maps = False  # units are maps, that is, no Flatten stands after the last convolution
    for name, module in model.named_modules():
        if isinstance(module, (nn.Sequential, *_UNIT_BY_UNIT)):
            continue
        if isinstance(module, nn.Flatten) and module.start_dim == 1 and module.end_dim == -1:
            maps = False
            continue
        last = found[-1] if found else None
        if isinstance(module, (nn.Linear, *_CONVOLUTIONS)):
            _read_by(last, name, module, maps)
            maps = isinstance(module, _CONVOLUTIONS)
            weight = module.weight
            found.append(_Units(name, len(weight), weight.device))
            found[-1].learned += [(f"{name}.{key}", 0) for key, _ in module.named_parameters(recurse=False)]
            found[-1].tensors += found[-1].learned
        elif isinstance(module, (*_BATCH_NORMS, nn.LayerNorm, nn.PReLU)):
            if last is not None:
                _scaled_by(last, name, module)
        else:
            raise ValueError(
                f"model: got {type(module).__name__} at {name!r}, want a chain of Linear and convolutions with "
                "normalisation, activations, poolings, dropout and Flatten between"
            )
    if len(found) < 2:
        raise ValueError(f"model: got {len(found)} layers of weights, want 2 or more")
    return found[:-1]


def _read_by(last: _Units | None, name: str, module: Any, maps: bool) -> None:
    convolution = isinstance(module, _CONVOLUTIONS)
    if convolution and (module.groups != 1 or module.transposed):
        raise ValueError(f"model: got a convolution with {module.groups} groups at {name!r}, want one group")
    if last is None:
        return
    inputs = module.weight.shape[1]
    if maps != convolution or inputs % last.count or (convolution and inputs != last.count):
        wanted = (
            "a Flatten before it" if maps and not convolution else f"inputs that are the {last.count} units before it"
        )
        raise ValueError(f"model: got {type(module).__name__} with {inputs} inputs at {name!r}, want {wanted}")
    last.reader = f"{name}.weight"
    last.tensors.append((last.reader, 1))
    last.learned.append((last.reader, 1))


def _scaled_by(last: _Units, name: str, module: nn.Module) -> None:
    for key, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
        if not tensor.dim() or (isinstance(module, nn.PReLU) and len(tensor) == 1):
            continue
        if len(tensor) % last.count:
            raise ValueError(f"model: got {len(tensor)} numbers at {name!r}, want a multiple of {last.count} units")
        last.tensors.append((f"{name}.{key}", 0))
        if isinstance(tensor, nn.Parameter):
            last.learned.append((f"{name}.{key}", 0))


def _read(model: nn.Sequential, units: list[_Units], inputs: Tensor) -> list[Float[Tensor, "units samples"]]:
    """What the layer after each hidden layer reads, units in front."""
    seen: dict[str, Tensor] = {}
    readers = {layer.reader.removesuffix(".weight"): layer for layer in units}
    hooks = [
        model.get_submodule(name).register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
        for name in readers
    ]
    try:
        with torch.no_grad():
            model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for name, layer in readers.items():
        axis = 1 if isinstance(model.get_submodule(name), _CONVOLUTIONS) else seen[name].dim() - 1
        found.append(seen[name].unflatten(axis, (layer.count, -1)).movedim(axis, 0).flatten(1))
    return found
