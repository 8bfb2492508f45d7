"""Parallel tempering of binary neurons that interact in groups of P, and exact sums where they are few."""

import itertools
import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Tempered(NamedTuple):
    """What parallel tempering measured, temperatures in the order given; energies are per neuron.

    Attributes:
        energy: mean energy after the burn-in.
        lowest: lowest energy met by any copy.
        spins: last state at each temperature, entries ±1.
        swaps: share of accepted exchanges between neighbouring temperatures.
    """

    energy: Float[Tensor, "samples temperatures"]
    lowest: Float[Tensor, " samples"]
    spins: Float[Tensor, "samples temperatures dim"]
    swaps: Float[Tensor, " neighbours"]


def groups_of(order: int, dim: int, device: torch.device | str | None = None) -> Int[Tensor, "groups order"]:
    """All groups of P different neurons of N, each once, in lexicographic order.

    Raises:
        ValueError: if `order` is below 2 or above `dim`.

    Example:
        >>> groups_of(2, 3).tolist()
        [[0, 1], [0, 2], [1, 2]]
    """
    if not 2 <= order <= dim:
        raise ValueError(f"order is {order}; wanted an integer from 2 to dim = {dim}")
    return torch.combinations(torch.arange(dim, device=device), order)


def gaussian_couplings(
    order: int,
    dim: int,
    load: float,
    samples: int = 1,
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "samples groups"]:
    """Couplings of P-spin glasses: independent Gaussians with the variance that a dense network of this load has.

    The energy −Σ_G J_G Π_{i∈G} σ_i has the covariance N c q^P for large N, c = α(P−1)!/P (its variance is N c at any N).
    For order 2 this is the Sherrington-Kirkpatrick model with J² = α; for c = 1/2 the usual P-spin model with J = 1.

    Args:
        order: P.
        dim: N.
        load: α ≥ 0.
        samples: number of independent glasses.
        generator: source of the couplings, on its device.
        dtype: of the couplings.

    Raises:
        ValueError: if an argument is out of its range.

    Source: arXiv 2111.12997 (the hard spin glass to which dense networks reduce); Gardner 1985.
    """
    if not load >= 0:
        raise ValueError(f"load is {load}; wanted a number of at least 0")
    if not 2 <= order <= dim:
        raise ValueError(f"order is {order}; wanted an integer from 2 to dim = {dim}")
    count = math.comb(dim, order)
    scale = math.sqrt(dim * load * math.factorial(order - 1) / order / count)
    device = None if generator is None else generator.device
    return scale * torch.randn((samples, count), generator=generator, dtype=dtype, device=device)


def hebbian_couplings(patterns: Float[Tensor, "samples count dim"], order: int) -> Float[Tensor, "samples groups"]:
    """Couplings of the dense Hebbian network: J_G = (N/P)/C(N,P) Σ_μ Π_{i∈G} ξ_i^μ, so that E is `DenseHebbianMemory`'s.

    Args:
        patterns: K patterns of N neurons for each sample.
        order: P.

    Raises:
        ValueError: if `patterns` has no three dimensions or fewer neurons than `order`.

    Source: arXiv 2111.12997 (Hamiltonian), in the units of `DenseHebbianMemory`.

    Example:
        >>> hebbian_couplings(torch.tensor([[[1.0, -1.0, 1.0]]]), 2)
        tensor([[-0.5000,  0.5000, -0.5000]])
    """
    if patterns.ndim != 3:
        raise ValueError(f"patterns has shape {tuple(patterns.shape)}; wanted (samples, count, dim)")
    dim = patterns.shape[2]
    groups = groups_of(order, dim, patterns.device)
    # Products over all but the last neuron, then one matrix product with that: row by the group without its last.
    heads, row = groups[:, :-1].unique(dim=0, return_inverse=True)
    # Chunks of samples keep the products of all patterns and heads out of memory at once.
    chunk = max(1, 20_000_000 // (patterns.shape[1] * len(heads)))
    sums = []
    for some in patterns.split(chunk):
        product = some[:, :, heads[:, 0]]
        for k in range(1, order - 1):
            product = product * some[:, :, heads[:, k]]
        sums.append((product.transpose(1, 2) @ some)[:, row, groups[:, -1]])
    return torch.cat(sums) * (dim / order / len(groups))


def energies_of_all_states(
    couplings: Float[Tensor, "samples groups"], order: int, dim: int
) -> Float[Tensor, "samples states"]:
    """Energies −Σ_G J_G Π_{i∈G} σ_i of all 2^N states, in O(N 2^N), by the Walsh-Hadamard transform.

    Args:
        couplings: one number a group, in the order of `groups_of`.
        order: P.
        dim: N, at most 24 or so.

    Returns:
        Energies; state number b has σ_i = −1 where bit i of b is set.

    Raises:
        ValueError: if the number of couplings is not that of the groups.

    Example:
        >>> energies_of_all_states(torch.ones(1, 1), order=2, dim=2)
        tensor([[-1.,  1.,  1., -1.]])
    """
    groups = groups_of(order, dim, couplings.device)
    if couplings.shape[-1] != len(groups):
        raise ValueError(f"couplings has {couplings.shape[-1]} groups; wanted {len(groups)}, C({dim}, {order})")
    values = couplings.new_zeros(len(couplings), 2**dim)
    values[:, (2**groups).sum(1)] = -couplings
    for bit in range(dim):
        pairs = values.reshape(len(couplings), -1, 2, 2**bit)
        values = torch.stack((pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]), 2)
    return values.reshape(len(couplings), -1)


def symmetric_tensor(couplings: Float[Tensor, "samples groups"], order: int, dim: int) -> Tensor:
    """Couplings as a tensor J[sample, i1, ..., iP], symmetric, zero where an index repeats."""
    groups = groups_of(order, dim, couplings.device)
    if couplings.shape[-1] != len(groups):
        raise ValueError(f"couplings has {couplings.shape[-1]} groups; wanted {len(groups)}, C({dim}, {order})")
    tensor = couplings.new_zeros((len(couplings), *([dim] * order)))
    for permutation in itertools.permutations(range(order)):
        tensor[(slice(None), *(groups[:, k] for k in permutation))] = couplings  # type: ignore[index]
    return tensor


@torch.no_grad()
def parallel_tempering(
    couplings: Float[Tensor, "samples groups"],
    order: int,
    dim: int,
    temperatures: Float[Tensor, " temperatures"],
    sweeps: int,
    *,
    burn_in: int = 0,
    start: Float[Tensor, "samples temperatures dim"] | None = None,
    generator: torch.Generator | None = None,
) -> Tempered:
    r"""Sample exp(−E/T) at a ladder of temperatures at once; copies exchange their temperatures as they go.

    A sweep updates every neuron once by the heat bath, in a random order, then offers each pair of neighbouring
    temperatures an exchange, accepted with probability min(1, exp((1/T_a − 1/T_b)(E_a − E_b))). Copies that are stuck
    in a valley at low temperature so leave it at a high one. The stationary law is exact. All samples and
    temperatures are updated together; a sweep costs O(N^P) for each.

    Args:
        couplings: one number a group, in the order of `groups_of`, for each sample (see `gaussian_couplings`,
            `hebbian_couplings`).
        order: P.
        dim: N.
        temperatures: the ladder, above 0, ascending or descending.
        sweeps: number of sweeps, burn-in included.
        burn_in: first sweeps that are not measured.
        start: start states ±1; random ones if None.
        generator: source of states, order and noise.

    Raises:
        ValueError: if a shape is wrong, a temperature is not above 0, or `burn_in` is not below `sweeps`.

    Source: Hukushima and Nemoto 1996 (exchange Monte Carlo); for the glassy phase of arXiv 2111.12997.

    Example:
        >>> draw = torch.Generator().manual_seed(0)
        >>> couplings = gaussian_couplings(3, 10, load=0.75, samples=2, generator=draw)
        >>> found = parallel_tempering(couplings, 3, 10, torch.tensor([0.2, 0.4, 0.8, 1.6]), 200, generator=draw)
        >>> exact = energies_of_all_states(couplings, 3, 10).amin(1) / 10
        >>> bool((found.lowest - exact).abs().max() < 1e-9)
        True
    """
    if temperatures.ndim != 1 or not bool((temperatures > 0).all()):
        raise ValueError(f"temperatures is {temperatures}; wanted one row of numbers above 0")
    if not 0 <= burn_in < sweeps:
        raise ValueError(f"burn_in is {burn_in}; wanted 0 <= burn_in < sweeps = {sweeps}")
    spins = _first_states((len(couplings), len(temperatures), dim), start, couplings, generator)
    tensor = symmetric_tensor(couplings, order, dim).reshape(len(couplings), dim, dim, -1)
    beta = 1 / temperatures.to(couplings)
    energy = -(spins * _fields(tensor, spins, order)).sum(-1) / order
    # Which copy has each temperature: temperatures move, states stay.
    place = torch.arange(len(beta), device=couplings.device).expand(energy.shape).clone()
    total, lowest, accepted = torch.zeros_like(energy), energy.amin(1), couplings.new_zeros(len(beta) - 1)
    for sweep in range(sweeps):
        _heat_bath(spins, energy, tensor, beta[place.argsort(1)], order, generator)
        lowest = torch.minimum(lowest, energy.amin(1))
        _exchange(place, energy, beta, accepted, generator)
        total += energy.gather(1, place) if sweep >= burn_in else 0
    last = spins.gather(1, place.unsqueeze(2).expand_as(spins))
    return Tempered(total / ((sweeps - burn_in) * dim), lowest / dim, last, accepted / sweeps)


def _first_states(
    wanted: tuple[int, int, int], start: Tensor | None, like: Tensor, generator: torch.Generator | None
) -> Float[Tensor, "samples copies dim"]:
    if start is None:
        return torch.randint(0, 2, wanted, generator=generator, device=like.device).to(like) * 2 - 1
    if start.shape != wanted:
        raise ValueError(f"start has shape {tuple(start.shape)}; wanted {wanted}")
    return start.to(like).clone()


def _heat_bath(
    spins: Float[Tensor, "samples copies dim"],
    energy: Float[Tensor, "samples copies"],
    tensor: Float[Tensor, "samples dim dim rest"],
    beta: Float[Tensor, "samples copies"],
    order: int,
    generator: torch.Generator | None,
) -> None:
    """Update every neuron of every copy once, in a random order; states and energies change in place."""
    noise = torch.rand(spins.shape, generator=generator, dtype=spins.dtype, device=spins.device)
    for i in torch.randperm(spins.shape[2], generator=generator, device=spins.device).tolist():
        field = _contracted(torch.bmm(spins, tensor[:, i]), spins, order)
        new = torch.where(noise[:, :, i] < torch.sigmoid(2 * beta * field), 1.0, -1.0).to(spins)
        energy -= (new - spins[:, :, i]) * field
        spins[:, :, i] = new


def _exchange(
    place: Int[Tensor, "samples temperatures"],
    energy: Float[Tensor, "samples copies"],
    beta: Float[Tensor, " temperatures"],
    accepted: Float[Tensor, " neighbours"],
    generator: torch.Generator | None,
) -> None:
    """Offer all even, then all odd pairs of neighbouring temperatures an exchange of their copies.

    Which copy has each temperature, `place`, and the share of samples that accepted, summed, change in place.
    """
    for parity in (0, 1):
        low = torch.arange(len(beta) - 1, device=beta.device)[parity::2]
        if len(low) == 0:
            continue
        ordered = energy.gather(1, place)
        gain = (beta[low] - beta[low + 1]) * (ordered[:, low] - ordered[:, low + 1])
        drawn = torch.rand(gain.shape, generator=generator, dtype=gain.dtype, device=gain.device)
        swap = drawn < gain.exp()
        first, second = place[:, low], place[:, low + 1]
        place[:, low], place[:, low + 1] = torch.where(swap, second, first), torch.where(swap, first, second)
        accepted[low] += swap.to(beta).mean(0)


def _contracted(partial: Tensor, spins: Tensor, order: int) -> Tensor:
    """Contract what is left of a tensor's row, (…, N^{P−2}), with the spins, and divide by (P−1)!."""
    for left in range(order - 2, 0, -1):
        partial = partial.reshape(*spins.shape[:2], -1, spins.shape[2]) @ spins.unsqueeze(-1)
        partial = partial.squeeze(-1) if left > 1 else partial.reshape(*spins.shape[:2])
    return partial.reshape(*spins.shape[:2]) / math.factorial(order - 1)


def _fields(tensor: Tensor, spins: Tensor, order: int) -> Tensor:
    return torch.stack([_contracted(torch.bmm(spins, tensor[:, i]), spins, order) for i in range(spins.shape[2])], -1)
