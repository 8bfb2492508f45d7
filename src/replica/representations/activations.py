"""Activations of named layers, captured with forward hooks, and two networks compared over a data set in one pass."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .unit_statistics import UnitStatistics


@contextmanager
def captured_activations(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """While the context lasts, keeps what the named modules gave out in the last forward pass.

    The copies carry no gradient and outlive in-place changes by later modules. A module called twice in a pass
    keeps its last output. The hooks are removed at the end, however it comes.

    Args:
        model: any network.
        layers: dotted names of its submodules, as `named_modules` gives them; ``""`` is the model itself.

    Raises:
        ValueError: if a name is no submodule's, or (in the forward pass) a module gives out no tensor.

    Example:
        >>> import torch
        >>> from replica.representations import captured_activations
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> with captured_activations(model, ["0"]) as outputs:
        ...     _ = model(torch.zeros(2, 4))
        >>> outputs["0"].shape
        torch.Size([2, 3])
    """
    modules = dict(model.named_modules())
    for name in layers:
        if name not in modules:
            near = get_close_matches(name, modules, n=3) or list(modules)[1:6]
            raise ValueError(f"layers: got {name!r}, want the name of a submodule, such as {', '.join(near)}")
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                raise ValueError(
                    f"layers: got {name!r}, which gives out {type(output).__name__}, want a module that gives a tensor"
                )
            outputs[name] = output.detach().clone()

        return hook

    handles = [modules[name].register_forward_hook(keep(name)) for name in dict.fromkeys(layers)]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def unit_samples(activations: Float[Tensor, "..."], unit_axis: int = 1) -> Float[Tensor, "samples units"]:
    """Activations as one row a sample and one column a unit: every position of every image is a sample.

    A convolution's channels are its units, as in the paper (Section 2): (batch, units, height, width) becomes
    (batch · height · width, units).

    Args:
        activations: two axes or more.
        unit_axis: the axis of the units: 1 for convolutions and plain layers, −1 for (batch, token, unit).

    Raises:
        ValueError: with fewer than two axes, or if `unit_axis` is the batch's or none of them.

    Example:
        >>> import torch
        >>> from replica.representations import unit_samples
        >>> unit_samples(torch.zeros(5, 3, 4, 4)).shape
        torch.Size([80, 3])
    """
    axes = activations.dim()
    if axes < 2:
        raise ValueError(f"activations: got shape {tuple(activations.shape)}, want two axes or more")
    if not -axes < unit_axis < axes or unit_axis == 0:
        raise ValueError(f"unit_axis: got {unit_axis}, want one of the {axes} axes other than the first")
    return activations.movedim(unit_axis, -1).reshape(-1, activations.shape[unit_axis])


def compare_layers(
    first: nn.Module,
    second: nn.Module,
    batches: Iterable[Any],
    layers: Sequence[str | tuple[str, str]],
    *,
    unit_axis: int = 1,
    shuffle: torch.Generator | None = None,
) -> list[UnitStatistics]:
    """Joint unit statistics of pairs of layers of two networks on the same data, in one pass over it.

    Holds one batch of activations at a time, and (units + units)² numbers a pair. Both networks run in evaluation
    mode without gradients; afterwards every module is in the mode that it was in.

    Args:
        first: one network (Net1).
        second: the other (Net2); the same object compares a network with itself.
        batches: inputs for both: tensors, or tuples whose first member is the input.
        layers: pairs of layers, by dotted name; one name stands for the same in both.
        unit_axis: see `unit_samples`.
        shuffle: permutes the second network's samples within each batch: what is left is the level of chance.

    Returns:
        Statistics of each pair, in the order of `layers`.

    Raises:
        ValueError: if there are no batches or no layers, a name is wrong, or two layers differ in samples a batch.

    Example:
        >>> import torch
        >>> from replica.representations import compare_layers, match_units
        >>> from replica.training import mlp
        >>> nets = [mlp((8, 16, 2), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
        >>> data = torch.randn(100, 8, generator=torch.Generator().manual_seed(2)).split(25)
        >>> (hidden,) = compare_layers(*nets, data, ["1"])
        >>> match_units(hidden.between).partner.shape
        torch.Size([16])
    """
    pairs = [(layer, layer) if isinstance(layer, str) else tuple(layer) for layer in layers]
    if not pairs:
        raise ValueError("layers: got none, want at least one")
    found: list[UnitStatistics] = []
    with (
        _in_evaluation(first, second),
        captured_activations(first, [pair[0] for pair in pairs]) as ours,
        captured_activations(second, [pair[1] for pair in pairs]) as theirs,
    ):
        for batch in batches:
            for model in (first,) if second is first else (first, second):
                model(batch[0] if isinstance(batch, tuple | list) else batch)
            for place, (one, other) in enumerate(pairs):
                rows, others = unit_samples(ours[one], unit_axis), unit_samples(theirs[other], unit_axis)
                if shuffle is not None:
                    others = _shuffled(others, shuffle)
                if place == len(found):
                    found.append(UnitStatistics(rows.shape[1], others.shape[1], device=rows.device))
                found[place].update(rows, others)
    if not found:
        raise ValueError("batches: got none, want at least one")
    return found


def _shuffled(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator, device=generator.device).to(rows.device)]


@contextmanager
def _in_evaluation(*models: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module is in the mode that it was in."""
    # A module that two models share is listed twice with the same mode.
    modes = [(module, module.training) for model in models for module in model.modules()]
    try:
        for model in models:
            model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
