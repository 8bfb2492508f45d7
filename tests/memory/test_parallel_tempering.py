import math

import pytest
import torch

from replica.memory.dense_hebbian import DenseHebbianMemory
from replica.memory.parallel_tempering import (
    energies_of_all_states,
    gaussian_couplings,
    groups_of,
    hebbian_couplings,
    parallel_tempering,
    symmetric_tensor,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def all_states(dim):
    return 1 - 2 * ((torch.arange(2**dim).unsqueeze(1) >> torch.arange(dim)) & 1).double()


@pytest.mark.parametrize("order", [2, 3, 4])
def test_energies_of_all_states_by_products(order):
    couplings = gaussian_couplings(order, 6, 0.5, 2, generator=seeded())
    products = all_states(6)[:, groups_of(order, 6)].prod(2)
    assert torch.allclose(energies_of_all_states(couplings, order, 6), -couplings @ products.T)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_hebbian_energy_is_that_of_the_memory(order):
    patterns = torch.randn(1, 7, 8, generator=seeded(), dtype=torch.float64).sign()
    memory = DenseHebbianMemory(order)
    memory.store(patterns[0])
    found = energies_of_all_states(hebbian_couplings(patterns, order), order, 8)[0]
    assert torch.allclose(found, memory.energy(all_states(8)))


@pytest.mark.parametrize("order", [2, 3])
def test_variances_of_gaussian_and_hebbian_energies_agree(order):
    dim, load = 8, 0.5
    count = round(load * math.perm(dim - 1, order - 1))
    patterns = torch.randint(0, 2, (2000, count, dim), generator=seeded()).double() * 2 - 1
    effective = count / math.perm(dim - 1, order - 1)
    wanted = dim * effective * math.factorial(order - 1) / order
    for couplings in (
        hebbian_couplings(patterns, order),
        gaussian_couplings(order, dim, effective, 2000, generator=seeded(1)),
    ):
        assert float(couplings.square().sum(1).mean()) == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_tensor_is_symmetric_without_repeats(order):
    couplings = gaussian_couplings(order, 5, 1.0, generator=seeded())
    tensor = symmetric_tensor(couplings, order, 5)
    assert torch.equal(tensor, tensor.transpose(1, 2))
    assert float(tensor.diagonal(dim1=1, dim2=2).abs().max()) == 0.0
    assert float(tensor.sum()) == pytest.approx(math.factorial(order) * float(couplings.sum()))


@pytest.mark.parametrize("order", [2, 3, 4])
def test_energies_are_those_of_the_gibbs_law(order):
    dim, temperatures = 8, torch.tensor([0.4, 0.55, 0.75, 1.0, 1.4, 2.0], dtype=torch.float64)
    load = order / (2 * math.factorial(order - 1))
    couplings = gaussian_couplings(order, dim, load, 48, generator=seeded())
    energies = energies_of_all_states(couplings, order, dim).unsqueeze(1)
    exact = (torch.softmax(-energies / temperatures.unsqueeze(1), -1) * energies).sum(-1) / dim
    found = parallel_tempering(couplings, order, dim, temperatures, 400, burn_in=100, generator=seeded())
    assert torch.allclose(found.energy.mean(0), exact.mean(0), atol=0.01)
    assert torch.allclose(found.lowest, energies.amin(-1).squeeze(1) / dim)
    assert found.swaps.shape == (5,)
    assert bool(((found.swaps > 0) & (found.swaps <= 1)).all())


def test_exchanges_find_ground_states_that_cooling_alone_misses():
    couplings = gaussian_couplings(3, 16, 0.75, 24, generator=seeded())
    exact = energies_of_all_states(couplings, 3, 16).amin(1) / 16
    ladder = torch.tensor([0.1, 0.25, 0.45, 0.7, 1.0])
    together = parallel_tempering(couplings, 3, 16, ladder, 120, generator=seeded()).lowest
    alone = parallel_tempering(couplings, 3, 16, ladder[:1], 120, generator=seeded()).lowest
    assert float((together - exact).mean()) < 0.2 * float((alone - exact).mean())


def test_last_states_have_the_order_of_the_ladder():
    couplings = gaussian_couplings(2, 24, 1.0, 32, generator=seeded())
    found = parallel_tempering(couplings, 2, 24, torch.tensor([3.0, 1.0, 0.3]), 60, generator=seeded())
    tensor = symmetric_tensor(couplings, 2, 24)
    energy = -(torch.einsum("sij,sti,stj->st", tensor, found.spins, found.spins) / 2).mean(0)
    assert energy[0] > energy[1] > energy[2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_generator_decides_everything(dtype):
    couplings = gaussian_couplings(3, 10, 0.5, 3, generator=seeded(), dtype=dtype)
    ladder = torch.tensor([0.3, 0.6])
    first, again, other = (
        parallel_tempering(couplings, 3, 10, ladder, 10, generator=seeded(seed)).energy for seed in (1, 1, 2)
    )
    assert first.dtype == dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_start_is_kept_as_it_was():
    couplings = gaussian_couplings(2, 6, 1.0, generator=seeded())
    start = torch.ones(1, 2, 6)
    parallel_tempering(couplings, 2, 6, torch.tensor([0.5, 1.0]), 3, start=start, generator=seeded())
    assert torch.equal(start, torch.ones(1, 2, 6))


def test_bad_arguments_are_named():
    couplings = gaussian_couplings(2, 6, 1.0, generator=seeded())
    ladder = torch.tensor([0.5, 1.0])
    with pytest.raises(ValueError, match="order"):
        groups_of(1, 5)
    with pytest.raises(ValueError, match="order"):
        gaussian_couplings(7, 6, 1.0)
    with pytest.raises(ValueError, match="load"):
        gaussian_couplings(2, 6, -1.0)
    with pytest.raises(ValueError, match="patterns"):
        hebbian_couplings(torch.ones(3, 4), 2)
    with pytest.raises(ValueError, match="couplings"):
        energies_of_all_states(couplings, 3, 6)
    with pytest.raises(ValueError, match="couplings"):
        parallel_tempering(couplings, 2, 7, ladder, 5)
    with pytest.raises(ValueError, match="temperatures"):
        parallel_tempering(couplings, 2, 6, torch.tensor([0.0, 1.0]), 5)
    with pytest.raises(ValueError, match="burn_in"):
        parallel_tempering(couplings, 2, 6, ladder, 5, burn_in=5)
    with pytest.raises(ValueError, match="start"):
        parallel_tempering(couplings, 2, 6, ladder, 5, start=torch.ones(1, 3, 6))
