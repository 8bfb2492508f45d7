"""SpikeGPT: a language model that mixes over time by decaying averages and speaks to its residual stream in spikes."""

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from .leaky_integrate_and_fire import LeakyIntegrateAndFire
from .surrogates import ArcTangent
from .weighted_key_value import WeightedState, weighted_key_value, weighted_key_value_step

_ALPHA = 2.0
"""α of the arc tangent surrogate, for neurons and the binary embedding."""


class BlockState(NamedTuple):
    """What a block remembers of the past: seven numbers for each of its units.

    Attributes:
        before_time_mixing: The input of time mixing at the step before.
        weighted: The sums of time mixing.
        before_channel_mixing: The input of channel mixing at the step before.
        potentials: Of the neurons behind time mixing and behind channel mixing; zeros in the twin without spikes.
    """

    before_time_mixing: Float[Tensor, "batch dim"]
    weighted: WeightedState
    before_channel_mixing: Float[Tensor, "batch dim"]
    potentials: tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]


class TimeMixing(nn.Module):
    """Spiking RWKV without its neurons: σ(r_t) times a decaying average of values (`weighted_key_value`), and a projection.

    Receptance r, key k and value v are linear in x mixed with the step before: M ⊙ x_t + (1 − M) ⊙ x_{t−1}.
    """

    def __init__(self, dim: int, layer: int, layers: int) -> None:
        super().__init__()
        self.layer, self.layers = layer, layers
        self.mix_key, self.mix_value, self.mix_receptance, self.log_decay, self.bonus = (
            nn.Parameter(torch.empty(dim)) for _ in range(5)
        )
        self.key, self.value, self.receptance, self.output = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def start(self) -> None:
        """Mixing and decays spread over units: faster decays in later units, less of the step before in later layers."""
        with torch.no_grad():
            dim = len(self.log_decay)
            unit = torch.arange(dim, dtype=self.bonus.dtype, device=self.bonus.device)
            depth = self.layer / max(1, self.layers - 1)
            left = 1 - self.layer / self.layers
            self.mix_key.copy_((unit / dim) ** left)
            self.mix_value.copy_((unit / dim) ** left + 0.3 * depth)
            self.mix_receptance.copy_((unit / dim) ** (0.5 * left))
            self.log_decay.copy_(-5 + 8 * (unit / (dim - 1)) ** (0.7 + 1.3 * depth))
            self.bonus.copy_(math.log(0.3) + 0.5 * ((unit + 1) % 3 - 1))

    def project(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """σ(r), k and v."""
        receptance = self.receptance(torch.lerp(before, x, self.mix_receptance))
        key = self.key(torch.lerp(before, x, self.mix_key))
        return receptance.sigmoid(), key, self.value(torch.lerp(before, x, self.mix_value))

    def forward(self, x: Float[Tensor, "time batch dim"]) -> Float[Tensor, "time batch dim"]:
        """All steps at once."""
        receptance, key, value = self.project(x, _shifted(x))
        return self.output(receptance * weighted_key_value(key, value, self.log_decay.exp(), self.bonus))

    def step(
        self, x: Float[Tensor, "batch dim"], before: Float[Tensor, "batch dim"], state: WeightedState | None
    ) -> tuple[Float[Tensor, "batch dim"], WeightedState]:
        """One step."""
        receptance, key, value = self.project(x, before)
        average, state = weighted_key_value_step(key, value, self.log_decay.exp(), self.bonus, state)
        return self.output(receptance * average), state


class ChannelMixing(nn.Module):
    """Spiking RFFN without its neurons: σ(W_r r_t) ⊙ W_v max(0, W_k k_t)², with k and r mixed as in `TimeMixing`."""

    def __init__(self, dim: int, hidden: int, layer: int, layers: int) -> None:
        super().__init__()
        self.layer, self.layers = layer, layers
        self.mix_key, self.mix_receptance = (nn.Parameter(torch.empty(dim)) for _ in range(2))
        self.key, self.value = nn.Linear(dim, hidden, bias=False), nn.Linear(hidden, dim, bias=False)
        self.receptance = nn.Linear(dim, dim, bias=False)

    def start(self) -> None:
        """Mixing spread over units."""
        with torch.no_grad():
            dim = len(self.mix_key)
            unit = torch.arange(dim, dtype=self.mix_key.dtype, device=self.mix_key.device)
            for mix in (self.mix_key, self.mix_receptance):
                mix.copy_((unit / dim) ** (1 - self.layer / self.layers))

    def forward(
        self, x: Float[Tensor, "*steps dim"], before: Float[Tensor, "*steps dim"] | None = None
    ) -> Float[Tensor, "*steps dim"]:
        """All steps at once, or one step given the one before."""
        before = _shifted(x) if before is None else before
        hidden = self.key(torch.lerp(before, x, self.mix_key)).relu().square()
        return self.receptance(torch.lerp(before, x, self.mix_receptance)).sigmoid() * self.value(hidden)


class SpikeGPTBlock(nn.Module):
    """Time mixing and channel mixing, each after layer normalisation, and each adding spikes to what came in.

        x ← x + LIF(TimeMixing(LN(x))),   x ← x + LIF(ChannelMixing(LN(x)))

    The neurons are leaky integrate-and-fire with membrane constant 2 (v_t = (v_{t−1} + x_t) / 2), threshold 1, reset to 0 and
    the arc tangent as surrogate. They live through the sequence: a step of the sequence is a step of theirs.

    Args:
        dim: Units of the stream, 2 or more.
        layer: Which layer it is, from 0; with `layers` it sets the start of decays and mixing.
        layers: How many there are.
        hidden: Units of channel mixing. Default 4 · dim.
        spiking: Whether outputs become spikes. Without, the same weights make a block of RWKV.
        generator: Source of the initial weights: uniform in ±1/√inputs.
        device: Where it lives. Default the generator's device.
        dtype: Its floating-point type.

    Shapes: (time, batch, dim) to the same.

    Raises:
        ValueError: if a number is out of range.

    Source: Zhu et al. 2023, the section on model architecture, and the authors' code for neurons and initial values.

    Example:
        >>> block = SpikeGPTBlock(8, generator=torch.Generator().manual_seed(0))
        >>> block(torch.zeros(5, 3, 8)).shape
        torch.Size([5, 3, 8])
    """

    def __init__(
        self,
        dim: int,
        *,
        layer: int = 0,
        layers: int = 1,
        hidden: int | None = None,
        spiking: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        hidden = 4 * dim if hidden is None else hidden
        for name, value, least in (("dim", dim, 2), ("layers", layers, 1), ("hidden", hidden, 1)):
            if value < least:
                raise ValueError(f"{name}: got {value}, want {least} or more")
        if not 0 <= layer < layers:
            raise ValueError(f"layer: got {layer}, want from 0 to {layers - 1}")
        self.spiking = spiking
        # Built without numbers first: PyTorch's own start would draw from its global random state.
        with torch.device("meta"):
            self.time_norm, self.channel_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
            self.time_mixing = TimeMixing(dim, layer, layers)
            self.channel_mixing = ChannelMixing(dim, hidden, layer, layers)
        if device is None:
            device = torch.get_default_device() if generator is None else generator.device
        self.to(dtype=dtype).to_empty(device=device)
        # v = (v + x) / 2 is a decay of one half and half of the input. They are there in the twin too, for its state_dict.
        self.time_neurons, self.channel_neurons = (
            LeakyIntegrateAndFire(decay=0.5, threshold=1.0, reset="zero", surrogate=ArcTangent(_ALPHA)).to(device)
            for _ in range(2)
        )
        _start(self, generator)
        self.time_mixing.start()
        self.channel_mixing.start()

    def forward(self, stream: Float[Tensor, "time batch dim"]) -> Float[Tensor, "time batch dim"]:
        """The stream after the block, all steps at once."""
        for added in (self.time_output, self.channel_output):
            stream = stream + added(stream)
        return stream

    def time_output(self, stream: Float[Tensor, "time batch dim"]) -> Float[Tensor, "time batch dim"]:
        """What time mixing adds to the stream."""
        mixed = self.time_mixing(self.time_norm(stream))
        return self.time_neurons(0.5 * mixed) if self.spiking else mixed

    def channel_output(self, stream: Float[Tensor, "time batch dim"]) -> Float[Tensor, "time batch dim"]:
        """What channel mixing adds to the stream."""
        mixed = self.channel_mixing(self.channel_norm(stream))
        return self.channel_neurons(0.5 * mixed) if self.spiking else mixed

    def step(
        self, stream: Float[Tensor, "batch dim"], state: BlockState | None = None
    ) -> tuple[Float[Tensor, "batch dim"], BlockState]:
        """One step, and the state after it. The same numbers as the whole sequence, to rounding."""
        none = torch.zeros_like(stream)
        before_time, weighted, before_channel, potentials = state or (none, None, none, (none, none))
        time_input = self.time_norm(stream)
        mixed, weighted = self.time_mixing.step(time_input, before_time, weighted)
        first, second = potentials
        if self.spiking:
            mixed, first = self.time_neurons.step(0.5 * mixed, first)
        stream = stream + mixed
        channel_input = self.channel_norm(stream)
        mixed = self.channel_mixing(channel_input, before_channel)
        if self.spiking:
            mixed, second = self.channel_neurons.step(0.5 * mixed, second)
        return stream + mixed, BlockState(time_input, weighted, channel_input, (first, second))


class SpikeGPT(nn.Module):
    """Language model of binary spikes with a recurrence in place of attention: logits of the next token at each position.

    Tokens are embedded and made binary (1 where the embedding is 0 or more), normalised, pass the blocks
    (`SpikeGPTBlock`), are normalised and read out. A sequence can be read at once, which takes time linear in its length,
    or token by token with a state of constant size (7 · layers · dim numbers). Both give the same numbers to rounding —
    but for a neuron so near its threshold that rounding decides whether it fires.

    What is binary: the embedding, and what each layer adds to the stream. The stream itself is a sum of spikes, and what the
    linear layers get is that sum normalised and mixed with the step before: real numbers.

    Args:
        vocabulary: Number of tokens.
        dim: Units of the stream.
        layers: Blocks.
        hidden: Units of channel mixing. Default 4 · dim.
        spiking: Without, the non-spiking twin of the same parameters: a real embedding, and layers that add real numbers
            (an RWKV of the same form). State dicts are exchangeable.
        generator: Source of the initial weights: normal with variance 1 for embeddings, uniform in ±1/√inputs for linear
            layers. Decays and mixing start at fixed values.
        device: Where it lives. Default the generator's device.
        dtype: Its floating-point type.

    Shapes: tokens (batch, length) give logits (batch, length, vocabulary).

    Raises:
        ValueError: if a number is out of range.

    Source: Zhu et al. 2023, "SpikeGPT: Generative Pre-trained Language Model with Spiking Neural Networks", and the
    authors' code.

    Example:
        >>> model = SpikeGPT(11, dim=16, layers=2, generator=torch.Generator().manual_seed(0))
        >>> model(torch.zeros(3, 5, dtype=torch.int64)).shape
        torch.Size([3, 5, 11])
        >>> model.generate(torch.zeros(3, 2, dtype=torch.int64), 4, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 6])
    """

    blocks: Sequence[SpikeGPTBlock]  # a ModuleList, which has no type for what it holds

    def __init__(
        self,
        vocabulary: int,
        *,
        dim: int,
        layers: int,
        hidden: int | None = None,
        spiking: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (("vocabulary", vocabulary, 1), ("dim", dim, 2), ("layers", layers, 1)):
            if value < least:
                raise ValueError(f"{name}: got {value}, want {least} or more")
        self.spiking = spiking
        with torch.device("meta"):
            self.tokens = nn.Embedding(vocabulary, dim)
            self.embedding_norm, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
            self.head = nn.Linear(dim, vocabulary, bias=False)
        if device is None:
            device = torch.get_default_device() if generator is None else generator.device
        self.to(dtype=dtype).to_empty(device=device)
        _start(self, generator)
        made = [
            SpikeGPTBlock(
                dim, layer=layer, layers=layers, hidden=hidden, spiking=spiking, generator=generator, device=device,
                dtype=dtype,
            )
            for layer in range(layers)
        ]  # fmt: skip
        self.blocks = cast(Sequence[SpikeGPTBlock], nn.ModuleList(made))

    def embed(self, tokens: Int[Tensor, "*tokens"]) -> Float[Tensor, "*tokens dim"]:
        """The embeddings, binary where spiking."""
        embedded = self.tokens(tokens)
        return ArcTangent(_ALPHA)(embedded) if self.spiking else embedded

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocabulary"]:
        """Logits of the token after each position, all positions at once."""
        stream = self.embedding_norm(self.embed(tokens.T))
        for block in self.blocks:
            stream = block(stream)
        return self.head(self.norm(stream)).transpose(0, 1)

    def step(
        self, tokens: Int[Tensor, " batch"], state: tuple[BlockState, ...] | None = None
    ) -> tuple[Float[Tensor, "batch vocabulary"], tuple[BlockState, ...]]:
        """Logits of the token after this one, and the state; None before the first token."""
        stream = self.embedding_norm(self.embed(tokens))
        after = []
        for block, each in zip(self.blocks, state or (None,) * len(self.blocks), strict=True):
            stream, kept = block.step(stream, each)
            after.append(kept)
        return self.head(self.norm(stream)), tuple(after)

    @torch.no_grad()
    def generate(
        self,
        prompt: Int[Tensor, "batch length"],
        steps: int,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "batch longer"]:
        """The prompt, followed by tokens drawn one by one; beside them only the state is kept.

        Args:
            prompt: At least one token a row.
            steps: Tokens to draw.
            temperature: What logits are divided by.
            generator: Source of the draws, on the model's device.

        Raises:
            ValueError: if the prompt is empty, `steps` negative or `temperature` not above 0.
        """
        if not prompt.shape[-1]:
            raise ValueError("prompt: got no positions, want 1 or more")
        if steps < 0:
            raise ValueError(f"steps: got {steps}, want 0 or more")
        if not temperature > 0:
            raise ValueError(f"temperature: got {temperature}, want more than 0")
        state: tuple[BlockState, ...] | None = None
        for token in prompt.T:
            logits, state = self.step(token, state)
        drawn = [prompt]
        for _ in range(steps):
            drawn.append(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))
            logits, state = self.step(drawn[-1][:, 0], state)
        return torch.cat(drawn, dim=1)


def _shifted(x: Tensor) -> Tensor:
    """The step before, zeros before the first."""
    return functional.pad(x[:-1], (0, 0) * (x.ndim - 1) + (1, 0))


def _start(module: nn.Module, generator: torch.Generator | None) -> None:
    for each in module.modules():
        if isinstance(each, nn.Embedding):
            nn.init.normal_(each.weight, generator=generator)
        elif isinstance(each, nn.LayerNorm):
            nn.init.ones_(each.weight)
            nn.init.zeros_(each.bias)
        elif isinstance(each, nn.Linear):
            reach = 1 / math.sqrt(each.in_features)
            nn.init.uniform_(each.weight, -reach, reach, generator=generator)
