"""The local interaction basis (LIB) of layers: directions ordered by what the next layer makes of them; principal components.

Bushnaq, Heimersheim, Goldowsky-Dill et al. 2024. Biases and means need no constant unit of their own: coordinates are affine,
f̂ = (f − μ) C and f = μ + f̂ C⁺, which is what folding them into one comes to when the constant direction is kept apart.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .activations import captured_activations
from .patching import patched_activations


@dataclass(frozen=True)
class LayerBasis:
    """Coordinates of a layer's activations: nodes, the first of them the most important.

    Attributes:
        layer: dotted name of the module that gives out the activations, units on their last axis.
        mean: of the activations (μ).
        encoder: a column a node (C in the paper).
        decoder: a row a node (C⁺).
        importance: of each node, falling: Λ of the local interaction basis, which is the variance of its coordinate; of
            principal components their variance; of a layer left as it is 1.
    """

    layer: str
    mean: Float[Tensor, " units"]
    encoder: Float[Tensor, "units nodes"]
    decoder: Float[Tensor, "nodes units"]
    importance: Float[Tensor, " nodes"]

    def coordinates(self, activations: Float[Tensor, "... units"]) -> Float[Tensor, "... nodes"]:
        """What the nodes are for given activations: f̂ = (f − μ) C."""
        return (activations - self.mean.to(activations)) @ self.encoder.to(activations)

    def activations(self, coordinates: Float[Tensor, "... nodes"]) -> Float[Tensor, "... units"]:
        """Activations of given nodes: f = μ + f̂ C⁺."""
        return self.mean.to(coordinates) + coordinates @ self.decoder.to(coordinates)

    def first(self, count: int) -> "LayerBasis":
        """The most important nodes alone; the others stay at their mean.

        Raises:
            ValueError: with a negative count, or more than there are.
        """
        if not 0 <= count <= len(self.decoder):
            raise ValueError(f"count: got {count}, want 0 to {len(self.decoder)} nodes")
        encoder, decoder, importance = self.encoder[:, :count], self.decoder[:count], self.importance[:count]
        return replace(self, encoder=encoder, decoder=decoder, importance=importance)


def local_interaction_basis(
    model: nn.Module, layers: Sequence[str], inputs: Tensor, *, tolerance: float | None = None, chunk: int = 256
) -> list[LayerBasis]:
    """Bases of some layers in which nodes that do not vary, or on which the next layer does not depend, are dropped.

    From the last layer back (Section 3; Algorithm 1): with the covariance G = U D Uᵀ of the activations and
    M = E[Jᵀ C' C'ᵀ J], J the Jacobian of the next layer and C' its basis, V Λ Vᵀ = D^½ Uᵀ M U D^½, and C = U D^−½ V Λ^½.
    The basis does not change, but for signs, when the layer is mixed by any invertible matrix that the next one undoes.

    Args:
        model: any network; it is run as it is (evaluation mode is the caller's to set), and not changed.
        layers: dotted names of its submodules in the order in which they run, ``""`` for the output. Their activations
            have units on the last axis, samples on the first; axes between are positions, which share a basis.
        inputs: of the model, samples first.
        tolerance: eigenvalues of G and of the whitened M up to this share of the largest are dropped. Default: what
            rounding leaves in the activations' precision.
        chunk: samples at a time; memory goes by chunk · positions · units · nodes of the next layer.

    Returns:
        One basis a layer, in double precision. The last layer is left as it is, uncentred.

    Raises:
        ValueError: with fewer than two layers, a wrong name, or a layer that does not vary.

    Example:
        >>> import torch
        >>> from replica.representations import local_interaction_basis
        >>> from replica.training import mlp
        >>> net = mlp((3, 8, 2), generator=torch.Generator().manual_seed(0)).double()
        >>> data = torch.randn(50, 3, generator=torch.Generator().manual_seed(1)).double()
        >>> hidden, output = local_interaction_basis(net, ["1", ""], data)  # after the rectifiers, and the output
        >>> hidden.encoder.shape  # two outputs depend on two directions of eight
        torch.Size([8, 2])
    """
    kept = _activations(model, layers, inputs)
    bases = [_as_it_is(layers[-1], kept[layers[-1]])]
    for layer in reversed(layers[:-1]):
        basis = _principal(layer, kept[layer], tolerance)
        # Whitened coordinates: rows of R⁺ = D^½ Uᵀ.
        roots = basis.importance.sqrt()
        spread = roots[:, None] * basis.decoder
        inner = torch.zeros(len(roots), len(roots), dtype=torch.float64, device=spread.device)
        for gradients, _ in section_gradients(model, layer, bases[0], inputs, kept[layer], chunk):
            whitened = (gradients.double() @ spread.T).flatten(0, -2)
            inner += whitened.T @ whitened
        inner /= kept[layer][..., 0].numel()
        values, vectors = _eigen(inner, tolerance, kept[layer].dtype)
        scale = values.sqrt()
        encoder = basis.encoder / roots @ vectors * scale
        bases.insert(0, replace(basis, encoder=encoder, decoder=vectors.T @ spread / scale[:, None], importance=values))
    return bases


def principal_basis(
    model: nn.Module, layers: Sequence[str], inputs: Tensor, *, tolerance: float | None = None
) -> list[LayerBasis]:
    """Principal components of the same layers, the last one left as it is: what the local interaction basis is compared with.

    Args:
        model: See `local_interaction_basis`.
        layers: See `local_interaction_basis`.
        inputs: See `local_interaction_basis`.
        tolerance: See `local_interaction_basis`.

    Raises:
        ValueError: See `local_interaction_basis`.

    Example:
        >>> import torch
        >>> from replica.representations import principal_basis
        >>> net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Flatten())
        >>> first, _ = principal_basis(net, ["0", ""], torch.tensor([[1.0, 1.0], [2.0, 2.0]]))
        >>> first.importance.round(decimals=4)
        tensor([0.5000], dtype=torch.float64)
    """
    kept = _activations(model, layers, inputs)
    return [_principal(layer, kept[layer], tolerance) for layer in layers[:-1]] + [
        _as_it_is(layers[-1], kept[layers[-1]])
    ]


def run_section(model: nn.Module, start: str, end: str, inputs: Tensor, activations: Tensor) -> Tensor:
    """What one module gives out when another is made to give out given activations; gradients flow."""
    found: list[Tensor] = []
    hook: Callable[..., None] = lambda module, arguments, output: found.append(output)  # noqa: E731
    with patched_activations(model, {start: activations}):
        handle = dict(model.named_modules())[end].register_forward_hook(hook)
        try:
            model(inputs)
        finally:
            handle.remove()
    return found[-1]


def section_gradients(
    model: nn.Module, start: str, end: LayerBasis, inputs: Tensor, activations: Tensor, chunk: int
) -> Iterator[tuple[Float[Tensor, "outputs samples positions units"], Float[Tensor, "samples positions units"]]]:
    """Of every node of the next layer, at each of its positions: its gradient by the activations, which come along; by chunks."""
    for some, given in zip(inputs.split(chunk), activations.split(chunk), strict=True):
        leaf = given.clone().requires_grad_()
        with torch.enable_grad():
            nodes = end.coordinates(run_section(model, start, end.layer, some, leaf)).flatten(1)
        each = torch.eye(nodes.shape[1], dtype=nodes.dtype, device=nodes.device)[:, None].expand(-1, len(nodes), -1)
        (gradients,) = torch.autograd.grad(nodes, leaf, each, is_grads_batched=True)
        units = given.shape[-1]
        yield gradients.reshape(len(each), len(given), -1, units), given.reshape(len(given), -1, units)


def _activations(model: nn.Module, layers: Sequence[str], inputs: Tensor) -> dict[str, Tensor]:
    if len(layers) < 2:
        raise ValueError(f"layers: got {len(layers)}, want two or more, the last of which is left as it is")
    with torch.no_grad(), captured_activations(model, layers) as kept:
        model(inputs)
    return dict(kept)


def _as_it_is(layer: str, activations: Tensor) -> LayerBasis:
    units = activations.shape[-1]
    eye = torch.eye(units, dtype=torch.float64, device=activations.device)
    return LayerBasis(layer, eye.new_zeros(units), eye, eye, eye.new_ones(units))


def _principal(layer: str, activations: Tensor, tolerance: float | None) -> LayerBasis:
    rows = activations.reshape(-1, activations.shape[-1]).double()
    mean = rows.mean(0)
    centred = rows - mean
    values, vectors = _eigen(centred.T @ centred / len(rows), tolerance, activations.dtype)
    if not len(values) or values[0] <= (10 * torch.finfo(activations.dtype).eps * mean.abs().max()) ** 2:
        raise ValueError(f"layers: got {layer!r}, whose activations are constant, want one that varies")
    return LayerBasis(layer, mean, vectors, vectors.T, values)


def _eigen(matrix: Tensor, tolerance: float | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Eigenvalues, falling, and vectors, without those that are rounding: of the matrix, or of what it was made from."""
    values, vectors = (part.flip(-1) for part in torch.linalg.eigh(matrix))
    if tolerance is None:
        size = len(matrix)
        tolerance = max(size * torch.finfo(torch.float64).eps, (size * torch.finfo(dtype).eps) ** 2)
    keep = values > tolerance * values[0]
    return values[keep], vectors[:, keep]
