"""Products with curvature matrices and the sharpness, beside curvlinops and its matrix in SciPy's eigsh.

Without curvlinops the peer is forward over reverse by `torch.func`, with the same eigsh. Operations of a product that no way
can do without, where the forward pass is kept: six matrix products of all weights with all rows (Pearlmutter 1994).
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp

from replica.training import GaussNewton, Hessian, mlp, sharpness

from .case import Case

SIZES = {"tiny net, 100 rows": ((64, 32, 32, 10), 100), "small net, 500 rows": ((196, 128, 128, 128, 10), 500)}


def cases(device: str = "cpu") -> Iterator[Case]:
    """Hessian and Gauss–Newton products, and the top eigenvalue to a thousandth, of two nets."""
    for name, (sizes, count) in SIZES.items():
        yield from _of_net(name, sizes, count, device)


def _of_net(name: str, sizes: tuple[int, ...], count: int, device: str) -> Iterator[Case]:
    criterion = nn.CrossEntropyLoss()
    generator = torch.Generator(device).manual_seed(0)
    net = mlp(sizes, activation=nn.Tanh, generator=generator)
    inputs = torch.randn(count, sizes[0], generator=generator, device=device)
    labels = torch.randint(sizes[-1], (count,), generator=generator, device=device)

    def loss(model: nn.Module, *batch: Tensor) -> Tensor:
        return criterion(model(batch[0]), batch[1])

    hessian, bent = (make.of(net, how, [(inputs, labels)]) for make, how in ((Hessian, loss), (GaussNewton, criterion)))
    vector = hessian.random(generator)
    peer, product, its_gauss_newton, operator = _peer(net, criterion, inputs, labels, vector)
    work = 12.0 * count * sum(weight.numel() for weight in net.parameters() if weight.dim() == 2)
    torch.testing.assert_close(hessian(vector), product(), rtol=1e-3, atol=1e-5)
    yield Case(f"Hessian product, {name}, {peer}", lambda: hessian(vector), product, work, 1.0)
    if its_gauss_newton is not None:
        yield Case(
            f"Gauss–Newton product, {name}, {peer}",
            lambda: bent(vector),
            its_gauss_newton,
            work * 2 / 3,
            1.0,
        )
    start = vector.cpu().numpy()

    def ours() -> Tensor:
        return sharpness(net, loss, [(inputs, labels)], start=vector).values

    def eigenvalue() -> np.ndarray:
        return eigsh(operator(), 1, which="LA", tol=1e-3, v0=start, return_eigenvectors=False)

    products = hessian.top(start=vector).products
    np.testing.assert_allclose(ours().cpu().numpy(), eigenvalue(), rtol=2e-3)
    yield Case(f"sharpness, {name}, {peer} and eigsh", ours, eigenvalue, products * work, 1.0)


def _peer(
    net: nn.Module, criterion: nn.Module, inputs: Tensor, labels: Tensor, vector: Tensor
) -> tuple[str, Callable[[], Tensor], Callable[[], Tensor] | None, Callable[[], LinearOperator]]:
    try:
        from curvlinops import GGNLinearOperator, HessianLinearOperator
    except ImportError:
        return _forward_over_reverse(net, criterion, inputs, labels, vector)

    def make(kind: type) -> object:
        return kind(net, criterion, list(net.parameters()), [(inputs, labels)], check_deterministic=False)

    hessian, bent = make(HessianLinearOperator), make(GGNLinearOperator)
    return "curvlinops", lambda: hessian @ vector, lambda: bent @ vector, lambda: make(HessianLinearOperator).to_scipy()


def _forward_over_reverse(
    net: nn.Module, criterion: nn.Module, inputs: Tensor, labels: Tensor, vector: Tensor
) -> tuple[str, Callable[[], Tensor], None, Callable[[], LinearOperator]]:
    weights = {name: tensor.detach() for name, tensor in net.named_parameters()}
    slope = grad(lambda own: criterion(functional_call(net, own, (inputs,)), labels))

    def product(of: Tensor = vector) -> Tensor:
        parts = of.split([tensor.numel() for tensor in weights.values()])
        tangent = {name: part.view_as(tensor) for (name, tensor), part in zip(weights.items(), parts, strict=True)}
        return torch.cat([part.flatten() for part in jvp(slope, (weights,), (tangent,))[1].values()])

    def operator() -> LinearOperator:
        def matvec(array: np.ndarray) -> np.ndarray:
            return product(torch.from_numpy(array.reshape(-1)).to(vector)).cpu().numpy()

        return LinearOperator((len(vector), len(vector)), matvec=matvec, dtype=np.float32)

    return "forward over reverse", product, None, operator
