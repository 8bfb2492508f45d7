"""Edges between the nodes of two layers, and what a network does with some of them only.

Bushnaq, Heimersheim, Goldowsky-Dill et al. 2024, Sections 3 and 4: edges by squared gradients, ablated by mean.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .activations import captured_activations
from .interaction_basis import LayerBasis, run_section, section_gradients
from .patching import patched_activations


def interaction_edges(
    model: nn.Module, start: LayerBasis, end: LayerBasis, inputs: Tensor, *, chunk: int = 256
) -> Float[Tensor, "end_nodes start_nodes"]:
    """How much each node of a layer does to each of the next: E[(Σ ∂f̂'_i/∂f̂_j f̂_j)²], the sum over positions.

    Args:
        model: as the bases were made of.
        start: basis of a layer.
        end: basis of a layer that runs later.
        inputs: of the model, samples first; the mean is over them.
        chunk: samples at a time.

    Returns:
        In double precision. Means (the constant) have no edge: they are always there.

    Example:
        >>> import torch
        >>> from replica.representations import interaction_edges, local_interaction_basis
        >>> net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(2, 2))
        >>> _ = net[1].weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        >>> bases = local_interaction_basis(net, ["0", ""], torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]))
        >>> interaction_edges(net, *bases, torch.ones(1, 2)).abs().round(decimals=4)
        tensor([[9., 0.],
                [0., 1.]], dtype=torch.float64)
    """
    with torch.no_grad(), captured_activations(model, [start.layer]) as kept:
        model(inputs)
    nodes, before = len(end.decoder), kept[start.layer]
    edges = torch.zeros(nodes, len(start.decoder), dtype=torch.float64, device=before.device)
    for gradients, given in section_gradients(model, start.layer, end, inputs, dict(kept)[start.layer], chunk):
        slopes = gradients.double() @ start.decoder.T
        effects = (slopes * start.coordinates(given.double())).sum(2)
        edges += effects.square().sum(1).unflatten(0, (-1, nodes)).sum(0)
    return edges / before[..., 0].numel()


def strongest_edges(edges: Float[Tensor, "end_nodes start_nodes"], count: int) -> Bool[Tensor, "end_nodes start_nodes"]:
    """A mask of as many edges as are asked for, the largest.

    Args:
        edges: of `interaction_edges`.
        count: how many to keep.

    Raises:
        ValueError: with a negative count, or more than there are.

    Example:
        >>> import torch
        >>> from replica.representations import strongest_edges
        >>> strongest_edges(torch.tensor([[3.0, 1.0], [0.5, 2.0]]), 2)
        tensor([[ True, False],
                [False,  True]])
    """
    if not 0 <= count <= edges.numel():
        raise ValueError(f"count: got {count}, want 0 to {edges.numel()} edges")
    kept = torch.zeros(edges.numel(), dtype=torch.bool, device=edges.device)
    kept[edges.flatten().topk(count).indices] = True
    return kept.view_as(edges)


@torch.no_grad()
def ablate_edges(
    model: nn.Module,
    start: LayerBasis,
    end: LayerBasis,
    kept: Bool[Tensor, "end_nodes start_nodes"],
    inputs: Tensor,
    *,
    rows: int = 4096,
) -> Tensor:
    """What the model gives when every node of a layer sees only those nodes of an earlier one from which an edge is kept.

    Nodes whose edge is cut are at their mean for it. The rest of the model runs on what the later layer's nodes then are.

    Args:
        model: as the bases were made of.
        start: basis of the earlier layer.
        end: of the later one.
        kept: which edges remain; with all of them the model does as always, but for nodes that the bases dropped.
        inputs: of the model, samples first.
        rows: samples that run at a time; nodes that see the same nodes share a run.

    Raises:
        ValueError: if the mask has not a row an end node and a column a start node.

    Example:
        >>> import torch
        >>> from replica.representations import ablate_edges, local_interaction_basis
        >>> net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(2, 1, bias=False))
        >>> data = torch.tensor([[1.0, 1.0], [2.0, 5.0]])
        >>> bases = local_interaction_basis(net, ["0", ""], data)
        >>> cut = ablate_edges(net, *bases, torch.tensor([[False]]), data)
        >>> torch.allclose(cut, net(data).mean(0).expand(2, 1))
        True
    """
    if kept.shape != (shape := (len(end.decoder), len(start.decoder))):
        raise ValueError(f"kept: got shape {tuple(kept.shape)}, want {shape}: a row an end node, a column a start node")
    with captured_activations(model, [start.layer]) as before:
        model(inputs)
    nodes = start.coordinates(before[start.layer])
    seen, shared = kept.unique(dim=0, return_inverse=True)
    found: list[Tensor] = []
    for some in seen.to(nodes).split(max(1, rows // len(inputs))):
        given = start.activations((nodes * some.view(len(some), *[1] * (nodes.dim() - 1), -1)).flatten(0, 1))
        repeated = inputs.repeat(len(some), *[1] * (inputs.dim() - 1))
        after = end.coordinates(run_section(model, start.layer, end.layer, repeated, given))
        found += after.unflatten(0, (len(some), -1))
    each = torch.arange(len(kept), device=kept.device)
    ablated = end.activations(torch.stack(found).movedim(-1, 0)[each, shared].movedim(0, -1))
    with patched_activations(model, {end.layer: ablated}):
        return model(inputs)


@torch.no_grad()
def ablate_nodes(model: nn.Module, basis: LayerBasis, count: int, inputs: Tensor) -> Tensor:
    """What the model gives with the most important nodes of a layer alone, the others at their mean.

    Args:
        model: as the basis was made of.
        basis: of the layer.
        count: how many nodes remain.
        inputs: of the model, samples first.

    Raises:
        ValueError: See `LayerBasis.first`.

    Example:
        >>> import torch
        >>> from replica.representations import ablate_nodes, principal_basis
        >>> net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Flatten())
        >>> data = torch.tensor([[1.0, 1.0], [2.0, 2.0]])
        >>> ablate_nodes(net, principal_basis(net, ["0", ""], data)[0], 0, data)
        tensor([[1.5000, 1.5000],
                [1.5000, 1.5000]])
    """
    few = basis.first(count)
    with captured_activations(model, [basis.layer]) as kept:
        model(inputs)
    with patched_activations(model, {basis.layer: few.activations(few.coordinates(kept[basis.layer]))}):
        return model(inputs)
