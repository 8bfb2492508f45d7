"""One multigrid operator layer beside a Fourier layer of neuraloperator at equal parameters, and beside itself written plainly.

A call is a training step's worth: forward and backward. The floating-point operations are those of the multigrid
layer's convolutions, three times (forward, and both gradients). The Fourier layer does other work, far less arithmetic
for its parameters: at the processor's best rate our convolutions alone take 1.4 to 2 times as long as that whole layer, so
that this ratio is the cost of a multigrid layer and no fusion of its passes brings it to one. Written plainly,
each smoothing step is the formula as it stands, A ∗ 0 of the first one included, in PyTorch's default memory layout.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from replica.physics import OperatorLayer

from .case import Case

FIVE_LEVELS = ((1, 0),) * 4 + ((2, 0),)


def cases(device: str = "cpu") -> Iterator[Case]:
    """Layers of 24 and of 16 functions on batches of 8 grids of 64 × 64 points."""
    from neuralop.layers.fno_block import FNOBlocks

    for channels, modes in ((24, 14), (16, 14)):
        size = 64
        generator = torch.Generator(device).manual_seed(0)
        values = torch.randn(8, channels, size, size, generator=generator, device=device)
        layer = OperatorLayer(channels, channels, smoothing=FIVE_LEVELS, generator=generator)
        peer = FNOBlocks(channels, channels, n_modes=(modes, modes), use_channel_mlp=False).to(device)
        ours, work = _step(layer, list(layer.parameters()), values), _work(layer, values)
        count, other = (
            sum(weight.numel() * (2 if weight.is_complex() else 1) for weight in part.parameters())
            for part in (layer, peer)
        )
        name = f"operator layer, 8 × {channels} functions on {size} × {size}"
        fourier = _step(peer, list(peer.parameters()), values)
        yield Case(
            f"{name}, Fourier layer ({count:,} and {other:,} weights)",
            ours,
            fourier,
            work,
            1.0,
            memory=True,
            other_work=True,
        )
        plain, weights = _plain(layer)
        yield Case(f"{name}, written plainly", ours, _step(plain, weights, values), work, 1.0, memory=True)


def _step(apply: Callable[[Tensor], Tensor], weights: list[Tensor], values: Tensor) -> Callable[[], object]:
    def step() -> object:
        return torch.autograd.grad(apply(values).square().sum(), weights, allow_unused=True)

    return step


def _plain(layer: OperatorLayer) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    """The layer by its formulas, with weights of its own, and these weights."""
    weights: list[Tensor] = []

    def own(weight: Tensor) -> Tensor:
        weights.append(weight.detach().clone(memory_format=torch.contiguous_format).requires_grad_())
        return weights[-1]

    levels = []
    for level in layer.operator.levels:
        smoothing = [(own(step.smoother.weight), own((step.system or step.smoother).weight)) for step in level.before]
        last = level.prolong is None
        down = None if last else (own(level.restrict_state.weight), own(level.restrict_source.weight))
        levels.append((smoothing, down, None if last else own(level.prolong.weight)))
    bias = own(layer.bias.weight), own(layer.bias.bias)

    def cycle(number: int, source: Tensor, state: Tensor) -> Tensor:
        smoothing, down, up = levels[number]
        for smoother, system in smoothing:
            residual = source - functional.conv2d(state, system, padding=1)
            state = state + functional.conv2d(residual, smoother, padding=1)
        if down is None or up is None:
            return state
        coarse_state, coarse_source = (
            functional.conv2d(part, weight, stride=2, padding=1)
            for part, weight in zip((state, source), down, strict=True)
        )
        correction = cycle(number + 1, coarse_source, coarse_state)
        return state + functional.conv_transpose2d(correction, up, stride=2, padding=1)

    def apply(values: Tensor) -> Tensor:
        return functional.gelu(cycle(0, values, torch.zeros_like(values)) + functional.conv2d(values, *bias))

    torch.testing.assert_close(apply(_probe(layer)), layer(_probe(layer)), atol=1e-4, rtol=1e-4)
    return apply, weights


def _probe(layer: OperatorLayer) -> Tensor:
    weight = layer.bias.weight
    return torch.linspace(-1, 1, weight.shape[1] * 32 * 32, device=weight.device).reshape(1, -1, 32, 32)


def _work(layer: nn.Module, values: Tensor) -> float:
    operations = 0.0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal operations
        weight = module.weight
        # A transposed convolution of stride 2 meets a quarter of its kernel at each point.
        share = 0.25 if weight.shape[-1] == 4 else 1.0
        operations += 2 * output.numel() / output.shape[1] * weight.numel() * share

    parts = [part for part in layer.modules() if getattr(part, "weight", None) is not None]
    hooks = [part.register_forward_hook(count) for part in parts]
    with torch.no_grad():
        layer(values)
    for hook in hooks:
        hook.remove()
    return 3 * operations
