"""Activation patching: a layer, a set of its units or a subspace of it takes the activations of another run.

The tool of causal analyses (Vig et al. 2020; Geiger et al. 2021, "interchange interventions"); along a subspace as Makelov, Lange
& Nanda 2024 have it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .activations import captured_activations

Subspace = Float[Tensor, " units"] | Float[Tensor, "units directions"]
"""A direction, or a basis with a column a direction, of any length and not necessarily orthogonal: its span counts."""
Units = Sequence[int] | Int[Tensor, " chosen"] | Bool[Tensor, " units"]


def patch_subspace(
    activations: Float[Tensor, "... units"], source: Float[Tensor, "... units"], subspace: Subspace
) -> Float[Tensor, "... units"]:
    """Activations h that take the source's part in a subspace and keep their own elsewhere: h + (h_source − h) V Vᵀ.

    Args:
        activations: of the run to change (base).
        source: of the other run, of the same shape.
        subspace: one direction or a basis, see `Subspace`; gradients flow through it.

    Raises:
        ValueError: if shapes do not fit, or the basis is not of full rank.

    Example:
        >>> import torch
        >>> from replica.representations import patch_subspace
        >>> base, source = torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 8.0]])
        >>> patch_subspace(base, source, torch.tensor([1.0, 0.0]))
        tensor([[5., 2.]])
    """
    if source.shape != activations.shape:
        raise ValueError(f"source: got shape {tuple(source.shape)}, want {tuple(activations.shape)} as in activations")
    if subspace.dim() not in (1, 2) or len(subspace) != activations.shape[-1]:
        raise ValueError(
            f"subspace: got shape {tuple(subspace.shape)}, want ({activations.shape[-1]},) or "
            f"({activations.shape[-1]}, directions)"
        )
    columns = subspace.reshape(len(subspace), -1).to(activations.device)
    if columns.dtype not in (torch.float32, torch.float64):  # in which there is no QR decomposition
        columns = columns.float()
    basis, triangle = torch.linalg.qr(columns)
    size = triangle.detach().diagonal().abs()
    least = len(columns) * torch.finfo(columns.dtype).eps * columns.detach().norm(dim=0).max()
    if columns.shape[1] > len(columns) or not bool((size > least).all()):
        raise ValueError(f"subspace: got {columns.shape[1]} dependent directions, want independent ones")
    basis = basis.to(activations)
    return activations + (source - activations) @ basis @ basis.T


@contextmanager
def patched_activations(
    model: nn.Module,
    sources: Mapping[str, Tensor],
    *,
    units: Units | None = None,
    subspace: Subspace | None = None,
    unit_axis: int = 1,
) -> Iterator[dict[str, Tensor]]:
    """While the context lasts, the named modules give out the sources' activations: whole, in some units, or in a subspace.

    Gradients flow through the run's own activations, the sources and the subspace. The hooks are removed at the end,
    however it comes.

    Args:
        model: any network.
        sources: activations to put in, by the dotted name of their module, in the shape that it gives out; most often
            what `captured_activations` kept from another run.
        units: which units to replace, by number or mask. Default all.
        subspace: the part to replace, see `patch_subspace`. Not together with `units`.
        unit_axis: the axis of the units: 1 for convolutions and plain layers, −1 for (batch, token, unit).

    Yields:
        What the modules gave out before the patch, in the last forward pass.

    Raises:
        ValueError: if a name is no submodule's, units and subspace are both given, or (in the forward pass) shapes do
            not fit.

    Example:
        >>> import torch
        >>> from replica.representations import captured_activations, patched_activations
        >>> model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Flatten())
        >>> with captured_activations(model, ["0"]) as source:
        ...     _ = model(torch.tensor([[5.0, 8.0]]))
        >>> with patched_activations(model, source, units=[1]):
        ...     model(torch.tensor([[1.0, 2.0]]))
        tensor([[1., 8.]])
    """
    if units is not None and subspace is not None:
        raise ValueError("units: got units and a subspace, want one of them or neither")

    def put_in(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            source = sources[name]
            if source.shape != output.shape:
                raise ValueError(
                    f"sources: got shape {tuple(source.shape)} for {name!r}, want {tuple(output.shape)} as it gives out"
                )
            if subspace is not None:
                own, other = output.movedim(unit_axis, -1), source.movedim(unit_axis, -1)
                return patch_subspace(own, other, subspace).movedim(-1, unit_axis)
            if units is None:
                return source
            mask = torch.zeros(output.shape[unit_axis], dtype=torch.bool, device=output.device)
            mask[torch.as_tensor(units, device=output.device)] = True
            return torch.where(mask, source.movedim(unit_axis, -1), output.movedim(unit_axis, -1)).movedim(
                -1, unit_axis
            )

        return hook

    # Its hooks come first, so they keep what is not patched yet; it also tells of wrong names.
    with captured_activations(model, list(sources)) as before:
        modules = dict(model.named_modules())
        handles = [modules[name].register_forward_hook(put_in(name)) for name in sources]
        try:
            yield before
        finally:
            for handle in handles:
                handle.remove()


def interchange(
    model: nn.Module,
    layer: str,
    base: Any,
    source: Any,
    *,
    units: Units | None = None,
    subspace: Subspace | None = None,
    unit_axis: int = 1,
) -> Any:
    """What the model gives for the base inputs when a layer, or a part of it, does as it does for the source inputs.

    Args:
        model: any network, run as it is (evaluation mode is the caller's to set).
        layer: dotted name of the module that is patched.
        base: inputs of the run to change.
        source: inputs, one for each of the base's, of the run whose activations come in.
        units: See `patched_activations`.
        subspace: See `patched_activations`.
        unit_axis: See `patched_activations`.

    Raises:
        ValueError: See `patched_activations`.

    Example:
        >>> import torch
        >>> from replica.representations import interchange
        >>> model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Flatten())
        >>> interchange(model, "0", torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 8.0]]), subspace=torch.tensor([1.0, 0.0]))
        tensor([[5., 2.]])
    """
    with torch.no_grad(), captured_activations(model, [layer]) as kept:
        model(source)
    with patched_activations(model, dict(kept), units=units, subspace=subspace, unit_axis=unit_axis):
        return model(base)
