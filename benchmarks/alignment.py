"""Linear CKA beside the matrix products that it needs, and all pairs of layers beside a loop over pairs."""

from collections.abc import Iterator

import torch

from replica.kernels import linear_cka, pairwise_linear_cka

from .case import Case

SAMPLES, UNITS, LAYERS = 10_000, 1_024, 32


def cases(device: str = "cpu") -> Iterator[Case]:
    """10,000 samples of 1,024 units: X'Y whole, X'X and Y'Y by half are two products. 32 layers of 16 to 512 units."""
    generator = torch.Generator().manual_seed(0)
    X, Y = (torch.randn(SAMPLES, UNITS, generator=generator).to(device) for _ in range(2))
    yield Case(
        f"linear CKA, {SAMPLES:,} × {UNITS:,}, two matrix products",
        lambda: linear_cka(X, Y),
        lambda: (X.T @ Y, X.T @ X),
        2 * 2.0 * SAMPLES * UNITS**2,
        1.1,
    )
    widths = [16 * 2 ** (layer % 6) for layer in range(LAYERS)]
    layers = [torch.randn(500, width, generator=generator).to(device) for width in widths]

    def loop() -> torch.Tensor:
        return torch.stack([torch.stack([linear_cka(one, other) for other in layers]) for one in layers])

    assert torch.allclose(pairwise_linear_cka(layers), loop(), atol=1e-5)
    # Every layer's kernel, and all products of two.
    operations = 2.0 * 500**2 * (sum(widths) + LAYERS**2)
    yield Case(
        f"linear CKA of {LAYERS} layers with each other, a loop",
        lambda: pairwise_linear_cka(layers),
        loop,
        operations,
        0.2,
    )
