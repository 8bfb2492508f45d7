"""A layer of delayed synapses, forward and backward, beside the authors' library and beside PyTorch's convolution.

All build the same Gaussian kernel of one tap a synapse; the library (``pip install dcls``) and the plain way convolve with it
by ``conv1d``. Rounded delays, forward alone, are beside the plain way too: both then do the same arithmetic, and ours keeps to
sums in which silence adds exactly nothing; one is the limit, for both are at the rate of the processor's best matrix product.
The arithmetic limit of the others is that of one product for each frequency, its transforms included, forward and twice
backward.
"""

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from replica.spiking import DelayedLinear

from .case import Case

SIZES = ((80, 50, 64, 20), (100, 32, 256, 24))


def plain(layer: DelayedLinear, inputs: Tensor, *, rounded: bool = False) -> Tensor:
    """The kernel, and a convolution along time."""
    padded = nn.functional.pad(inputs.permute(1, 2, 0), (layer.max_delay, 0))
    return nn.functional.conv1d(padded, layer.kernel(rounded=rounded).flip(2)).permute(2, 0, 1)


def library(layer: DelayedLinear) -> Callable[[Tensor], Tensor]:
    """The authors' one-dimensional layer with the same weights, positions and width, at its own layout and back."""
    from DCLS.construct.modules import Dcls1d

    taps = layer.max_delay + 1
    theirs = Dcls1d(
        layer.in_features, layer.out_features, kernel_count=1, dilated_kernel_size=taps, bias=False, version="gauss"
    ).to(layer.weight.device)
    with torch.no_grad():
        theirs.weight.copy_(layer.weight[..., None])
        # Their positions count from the middle, towards what is late.
        theirs.P.copy_((layer.max_delay - taps // 2 - layer.delay)[None, ..., None])
        theirs.SIG.fill_(float(layer.sigma) - 0.27)

    def run(inputs: Tensor) -> Tensor:
        return theirs(nn.functional.pad(inputs.permute(1, 2, 0), (layer.max_delay, 0))).permute(2, 0, 1)

    return run


def step(call: Callable[[Tensor], Tensor], inputs: Tensor) -> None:
    """Forward and backward, to inputs and parameters."""
    inputs.grad = None
    call(inputs).sum().backward()


@torch.no_grad()
def forward(call: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Forward alone."""
    return call(inputs)


def cases(device: str = "cpu") -> Iterator[Case]:
    """Two sizes: that of our claims, and a hidden layer of the paper's."""
    for time, batch, units, longest in SIZES:
        generator = torch.Generator().manual_seed(0)
        layer = DelayedLinear(units, units, longest, sigma=2.0, generator=generator).to(device)
        inputs = (torch.rand(time, batch, units, generator=generator) < 0.1).float().to(device).requires_grad_()
        numbers = 2 * ((time + longest) // 2 + 1)
        spectrum = 2 * numbers * (2 * time * batch * units + (longest + 1) * units**2 + 2 * batch * units**2)
        size = f"{time} steps × {batch} × {units}, {longest} steps late at most"
        ours = partial(step, layer, inputs)
        if importlib.util.find_spec("DCLS") is not None:
            peer = library(layer)
            torch.testing.assert_close(peer(inputs), layer(inputs), rtol=1e-3, atol=1e-3)
            yield Case(
                f"delays, beside dcls ({size})", ours, partial(step, peer, inputs), 3.0 * spectrum, 1.0, memory=True
            )
        written_out = partial(plain, layer)
        yield Case(
            f"delays, beside conv1d ({size})",
            ours,
            partial(step, written_out, inputs),
            3.0 * spectrum,
            1.0,
            memory=True,
        )
        rounded = DelayedLinear(units, units, longest, generator=generator).to(device).eval()
        yield Case(
            f"whole delays, forward, beside conv1d ({size})", partial(forward, rounded, inputs.detach()),
            partial(forward, partial(plain, rounded, rounded=True), inputs.detach()),
            2.0 * (longest + 1) * time * batch * units**2, 1.1,
        )  # fmt: skip
