"""The tangent kernel of any network as it stands, by automatic differentiation."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap


def empirical_tangent_kernel(
    network: nn.Module,
    first: Float[Tensor, "n *inputs"],
    second: Float[Tensor, "m *inputs"] | None = None,
    *,
    outputs: "int | Literal['mean', 'all'] | None" = None,
    block: int | None = None,
) -> Float[Tensor, "n m *outputs"]:
    """Σ_p ∂f(x)/∂p · ∂f(z)/∂p over all parameters p of a network.

    Args:
        network: takes (batch, ...) to (batch,) or (batch, outputs).
        first: inputs x.
        second: inputs z. Default the same as `first`.
        outputs: which, where there are several: the number of one; "all" for the products of every two of them, shape
            (n, m, outputs, outputs); or "mean" for the mean of each with itself, which is what a kernel of Θ ⊗ I means.
        block: inputs whose gradients are held at once on each side, each as many numbers as parameters times outputs; those
            of `second` are then found anew for each block of `first`. Default all.

    Raises:
        ValueError: if there are several outputs and `outputs` says nothing, or it names none of them, or `block` is below 1.

    Example:
        >>> import torch
        >>> from replica.kernels import empirical_tangent_kernel
        >>> empirical_tangent_kernel(torch.nn.Linear(2, 1, bias=False), torch.eye(2))
        tensor([[1., 0.],
                [0., 1.]])
    """
    if block is not None and block < 1:
        raise ValueError(f"block: got {block}, want 1 or more, or None")
    parameters = {name: p.detach() for name, p in network.named_parameters()}
    buffers = dict(network.named_buffers())

    def output(values: dict[str, Tensor], single: Tensor) -> Tensor:
        return _chosen(functional_call(network, {**values, **buffers}, (single[None],)), outputs)

    def gradients(inputs: Tensor) -> Tensor:
        each = vmap(jacrev(output), in_dims=(None, 0))(parameters, inputs)
        return torch.cat([part.flatten(2) for part in each.values()], dim=2)

    def product(left: Tensor, right: Tensor) -> Tensor:
        if outputs == "all":
            return torch.einsum("iap,jbp->ijab", left, right)
        if outputs == "mean":
            return torch.einsum("iap,jap->ij", left, right) / left.shape[1]
        return left[:, 0] @ right[:, 0].T

    if block is None:
        left = gradients(first)
        return product(left, left if second is None else gradients(second))
    others = (first if second is None else second).split(block)
    rows = []
    for part in first.split(block):
        left = gradients(part)
        rows.append(torch.cat([product(left, gradients(other)) for other in others], dim=1))
    return torch.cat(rows)


def _chosen(out: Tensor, outputs: "int | Literal['mean', 'all'] | None") -> Tensor:
    """The outputs of one input that are asked for, as a vector."""
    out = out.reshape(-1)
    if outputs is None:
        if out.numel() != 1:
            raise ValueError(f"network: got {out.numel()} outputs for one input, want 1, or `outputs` to say which")
        return out
    if isinstance(outputs, str):
        if outputs not in ("mean", "all"):
            raise ValueError(f"outputs: got {outputs!r}, want a number, 'mean' or 'all'")
        return out
    if not 0 <= outputs < out.numel():
        raise ValueError(f"outputs: got {outputs}, want a number from 0 to {out.numel() - 1}")
    return out[outputs : outputs + 1]
