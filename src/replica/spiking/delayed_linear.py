"""Linear layers whose every synapse has a delay of its own, learned beside its weight."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.training.mixed_precision import at_least_single, autocast_off, cast_operands

# Width of a kernel that counts as one step: its other taps are zero in any precision.
_SHARP = 1e-3


class DelayedLinear(nn.Module):
    """A linear layer over sequences that hears each input some steps late: each synapse has a weight and a delay.

    With weights w, delays d in [0, D] (steps, any real number) and a width σ in steps:

        y_t,o = b_o + Σ_i w_oi Σ_{k=0…D} g_k(d_oi) x_{t−k,i},   g_k(d) = exp(−(k − d)²/2σ²) / Σ_l exp(−(l − d)²/2σ²),

    x before the start being 0: a convolution along time with one wide tap a synapse, whose position has a gradient. A wide
    tap feels the events around it, a narrow one is a delay: σ is to fall while the layer learns (`NarrowingSchedule`). In
    evaluation the delays are rounded to whole steps, y_t,o = b_o + Σ_i w_oi x_{t−round(d_oi),i}, unless `rounds` is False.
    Names in the paper: `delay` is d, `max_delay` is T_d, `sigma` is σ.

    A call in training first brings delays back into [0, D] that a step of the optimiser has taken out of it. The layer is
    computed by whichever needs less arithmetic: D + 1 matrix products on shifted views of the input, or one product for each
    frequency of a Fourier transform along time that is itself a matrix product; in evaluation always the former, since there a
    rounding error could move a spike.

    Args:
        in_features: Inputs.
        out_features: Outputs.
        max_delay: D, in whole steps, 0 or more; with 0 it is a linear layer.
        sigma: Width to start with, in steps; half of D by default.
        bias: Whether outputs have an offset.
        learn_delays: Whether the delays are parameters. If not, they are whole random steps in a buffer, and have no width.
        rounds: Whether evaluation rounds them.
        generator: Of weights (uniform, variance 2 / in_features) and delays (uniform in [0, D]).

    Raises:
        ValueError: if a number is out of range.

    Source: Hammouamri, Khalfaoui-Hassani and Masquelier 2024; Khalfaoui-Hassani et al. 2023 for the Gaussian taps.

    Example:
        >>> layer = DelayedLinear(1, 1, max_delay=3)
        >>> with torch.no_grad():
        ...     layer.weight.fill_(2.0), layer.delay.fill_(1.8)
        (Parameter containing:
        tensor([[2.]], requires_grad=True), Parameter containing:
        tensor([[1.8000]], requires_grad=True))
        >>> layer.eval()(torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0]).reshape(5, 1, 1)).flatten()
        tensor([0., 0., 2., 0., 0.], grad_fn=<ViewBackward0>)
    """

    sigma: Tensor
    delay: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        max_delay: int,
        *,
        sigma: float | None = None,
        bias: bool = False,
        learn_delays: bool = True,
        rounds: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("in_features", in_features, 1), ("out_features", out_features, 1), ("max_delay", max_delay, 0),
        ):  # fmt: skip
            if value < least:
                raise ValueError(f"{name}: got {value}, want {least} or more")
        if sigma is not None and not sigma >= 0:
            raise ValueError(f"sigma: got {sigma}, want 0 or more")
        self.in_features, self.out_features, self.max_delay, self.rounds = in_features, out_features, max_delay, rounds
        bound = math.sqrt(6 / in_features)
        shape = (out_features, in_features)
        self.weight = nn.Parameter((2 * torch.rand(shape, generator=generator) - 1) * bound)
        delay = torch.rand(shape, generator=generator) * max_delay
        if learn_delays and max_delay:
            self.delay = nn.Parameter(delay)
        else:
            self.register_buffer("delay", delay.round())
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.register_buffer("sigma", torch.tensor(max_delay / 2 if sigma is None else float(sigma)))

    @property
    def learns_delays(self) -> bool:
        """Whether the delays are parameters."""
        return isinstance(self.delay, nn.Parameter)

    @property
    def _heard_rounded(self) -> bool:
        return not self.learns_delays or (self.rounds and not self.training)

    def rounded_delays(self) -> Float[Tensor, "out_features in_features"]:
        """The delays in whole steps, as evaluation uses them."""
        return self.delay.detach().round().clamp(0, self.max_delay)

    def kernel(self, *, rounded: bool = False) -> Float[Tensor, "out_features in_features taps"]:
        """The weights at each of the delays 0 … D: w_oi g_k(d_oi), or w_oi at the nearest of them.

        Args:
            rounded: Which of the two.
        """
        return self._taps(rounded).permute(2, 1, 0)

    def forward(self, inputs: Float[Tensor, "time batch in_features"]) -> Float[Tensor, "time batch out_features"]:
        """Outputs of a sequence, of the same length.

        Raises:
            ValueError: if the inputs have another form.
        """
        if inputs.ndim != 3 or inputs.shape[-1] != self.in_features:
            raise ValueError(
                f"inputs: got shape {tuple(inputs.shape)}, want time, batch and {self.in_features} features"
            )
        if self.training and self.learns_delays:
            with torch.no_grad():
                self.delay.clamp_(0, self.max_delay)
        if self.max_delay == 0:
            return nn.functional.linear(inputs, self.weight, self.bias)
        taps = self._taps(self._heard_rounded)
        if self.training and spectral_is_cheaper(len(inputs), inputs.shape[1], *taps.shape):
            outputs = convolve_spectrum(inputs, taps)
        else:
            outputs = convolve_taps(inputs, taps)
        return outputs if self.bias is None else outputs + self.bias.to(outputs.dtype)

    def step(
        self,
        current: Float[Tensor, "batch in_features"],
        past: Float[Tensor, "max_delay batch in_features"] | None = None,
    ) -> tuple[Float[Tensor, "batch out_features"], Float[Tensor, "max_delay batch in_features"]]:
        """One step of a stream: the outputs, and the last D inputs (the newest first) that the next step needs.

        Raises:
            ValueError: if the inputs have another form.
        """
        if current.ndim != 2 or current.shape[-1] != self.in_features:
            raise ValueError(f"current: got shape {tuple(current.shape)}, want batch and {self.in_features} features")
        if past is None:
            past = current.new_zeros(self.max_delay, *current.shape)
        window = torch.cat([current[None], past])
        outputs = torch.einsum("kbi,kio->bo", window, self._taps(self._heard_rounded))
        return (outputs if self.bias is None else outputs + self.bias.to(outputs.dtype)), window[: self.max_delay]

    def discretise(self) -> None:
        """Make every delay the nearest whole number of steps, for good, with no width."""
        with torch.no_grad():
            self.delay.copy_(self.rounded_delays())
            self.sigma.zero_()

    def _taps(self, rounded: bool) -> Float[Tensor, "taps in_features out_features"]:
        # Taps first, so that each is a matrix whole; transposing two small matrices is cheaper than one large.
        steps = torch.arange(self.max_delay + 1, device=self.weight.device, dtype=self.weight.dtype)[:, None, None]
        if rounded:
            return (steps == self.rounded_delays().T).to(self.weight.dtype) * self.weight.T
        away = (steps - self.delay.T) / self.sigma.clamp(min=_SHARP)
        return torch.softmax(away.square() * -0.5, dim=0) * self.weight.T

    def extra_repr(self) -> str:
        """What is shown of it."""
        kind = "learned" if self.learns_delays else "fixed"
        return f"{self.in_features}, {self.out_features}, max_delay={self.max_delay}, delays {kind}"


@dataclass(frozen=True)
class NarrowingSchedule:
    """The width of taps in the course of training: σ(p) = σ_0 (σ_1/σ_0)^min(1, p/f), geometric from wide to narrow.

    Args:
        start: σ_0, in steps.
        end: σ_1, in steps.
        share: f, the share of the training after which it stays.

    Raises:
        ValueError: if a number is out of range.

    Source: Hammouamri et al. 2024: from half the longest delay to 0.5 within a quarter of the epochs.

    Example:
        >>> [round(NarrowingSchedule(8.0)(progress), 3) for progress in (0, 0.125, 0.25, 1)]
        [8.0, 2.0, 0.5, 0.5]
    """

    start: float
    end: float = 0.5
    share: float = 0.25

    def __post_init__(self) -> None:
        for name in ("start", "end", "share"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, want more than 0")

    def __call__(self, progress: float) -> float:
        """The width at a progress from 0 to 1."""
        return self.start * (self.end / self.start) ** min(1.0, progress / self.share)

    def apply(self, module: nn.Module, progress: float) -> None:
        """Set the width of every `DelayedLinear` within a module; those of fixed delays do not hear it."""
        for layer in module.modules():
            if isinstance(layer, DelayedLinear):
                layer.sigma.fill_(self(progress))


def spectral_is_cheaper(time: int, batch: int, taps: int, inputs: int, outputs: int) -> bool:
    """Whether `convolve_spectrum` needs less arithmetic than `convolve_taps`, its own transforms counted.

    Example:
        >>> spectral_is_cheaper(80, 50, 21, 64, 64), spectral_is_cheaper(80, 50, 2, 64, 64)
        (True, False)
    """
    numbers = 2 * ((time + taps - 1) // 2 + 1)
    spectrum = numbers * (time * batch * (inputs + outputs) + taps * inputs * outputs + 2 * batch * inputs * outputs)
    return spectrum < taps * time * batch * inputs * outputs


def convolve_taps(
    inputs: Float[Tensor, "time batch in_features"], taps: Float[Tensor, "taps in_features out_features"]
) -> Float[Tensor, "time batch out_features"]:
    """y_t = Σ_k x_{t−k} W_k, x being 0 before the start, as one matrix product a tap on views of the padded inputs.

    Example:
        >>> convolve_taps(torch.tensor([1.0, 2.0, 0.0]).reshape(3, 1, 1), torch.tensor([10.0, 1.0]).reshape(2, 1, 1)).flatten()
        tensor([10., 21.,  2.])
    """
    return _Taps.apply(*cast_operands(inputs, taps))


class _Taps(torch.autograd.Function):
    """Sums in place, so that memory is that of inputs and outputs whatever the number of taps."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, taps: Tensor) -> Tensor:
        time, batch, features = inputs.shape
        before = len(taps) - 1
        padded = torch.cat([inputs.new_zeros(before, batch, features), inputs]).view(-1, features)
        ctx.save_for_backward(padded, taps)
        ctx.shape = inputs.shape
        outputs = torch.mm(_late(padded, 0, ctx.shape, before), taps[0])
        for k in range(1, before + 1):
            outputs.addmm_(_late(padded, k, ctx.shape, before), taps[k])
        return outputs.view(time, batch, taps.shape[-1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        padded, taps = ctx.saved_tensors
        before = len(taps) - 1
        flat = grad.reshape(-1, grad.shape[-1])
        grad_inputs = grad_taps = None
        if ctx.needs_input_grad[1]:
            grad_taps = torch.empty_like(taps, memory_format=torch.contiguous_format)
            for k in range(before + 1):
                torch.mm(_late(padded, k, ctx.shape, before).T, flat, out=grad_taps[k])
        if ctx.needs_input_grad[0]:
            reached = torch.zeros_like(padded)
            for k in range(before + 1):
                _late(reached, k, ctx.shape, before).addmm_(flat, taps[k].T)
            grad_inputs = _late(reached, 0, ctx.shape, before).view(ctx.shape)
        return grad_inputs, grad_taps


def _late(padded: Tensor, k: int, shape: tuple[int, int, int], before: int) -> Tensor:
    """The rows of all steps and samples, k steps late: a view."""
    time, batch, _ = shape
    return padded[(before - k) * batch : (before - k + time) * batch]


def convolve_spectrum(
    inputs: Float[Tensor, "time batch in_features"], taps: Float[Tensor, "taps in_features out_features"]
) -> Float[Tensor, "time batch out_features"]:
    """The same, as one product for each frequency of the sequence padded to time + taps − 1 steps.

    The transforms along time are matrix products too: at the lengths of interest they are faster than the fast transform, and
    the layout stays time first. Half precision, and autocast's, is transformed in float32: in its own it would lose the steps.

    Example:
        >>> inputs, taps = torch.rand(9, 2, 3), torch.rand(4, 3, 5)
        >>> torch.testing.assert_close(convolve_spectrum(inputs, taps), convolve_taps(inputs, taps))
    """
    given, taps = cast_operands(inputs, taps)
    inputs, taps = at_least_single(given), at_least_single(taps)
    with autocast_off(inputs.device):
        return _convolve_spectrum(inputs, taps).to(given.dtype)


def _convolve_spectrum(inputs: Tensor, taps: Tensor) -> Tensor:
    (time, batch, features), (count, _, outputs) = inputs.shape, taps.shape
    length = time + count - 1
    frequencies = length // 2 + 1
    # Whole turns are taken off before the cosine: angles of many turns have no precision left.
    places = torch.arange(length, device=inputs.device)
    turns = (places[:frequencies, None] * places) % length
    angles = turns.to(torch.float64) * (2 * math.pi / length)
    cosine, sine = angles.cos(), -angles.sin()
    transform = torch.cat([cosine, sine]).to(inputs.dtype)
    heard = (transform[:, :time] @ inputs.reshape(time, batch * features)).view(2, frequencies, batch, features)
    kernel = (transform[:, :count] @ taps.reshape(count, features * outputs)).view(2, frequencies, features, outputs)
    # Complex products as real ones: (a + ib)(c + id) is [a b] [[c, d], [−d, c]].
    wide = torch.cat([torch.cat([kernel[0], kernel[1]], 2), torch.cat([-kernel[1], kernel[0]], 2)], 1)
    product = torch.bmm(torch.cat([heard[0], heard[1]], 2), wide).view(frequencies, batch, 2, outputs)
    # All frequencies but the first and, in even lengths, the last stand for their mirror images too.
    counted = torch.full((frequencies, 1), 2 / length, dtype=torch.float64, device=inputs.device)
    counted[0] = 1 / length
    if length % 2 == 0:
        counted[-1] = 1 / length
    back = torch.stack([cosine * counted, sine * counted], 2)[:, :time].to(inputs.dtype)
    return torch.einsum("ftc,fbco->tbo", back, product)
