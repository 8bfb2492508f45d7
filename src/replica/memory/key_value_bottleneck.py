"""A discrete key-value bottleneck: frozen keys choose which few values an input reads and trains."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class DiscreteKeyValueBottleneck(nn.Module):
    """Reads, for each of C codebooks, the value of the key nearest to a random projection of the features; gives their mean.

    With features z of an encoder, codebook c projects them to the head P_c z, finds its nearest keys among K, and fetches
    their values; the output is the mean of all that is fetched. With one value entry a class and a softmax behind it, that
    is the paper's decoder without parameters: codebooks vote with logits. Keys are set once, by `initialise_keys` on data
    without labels, and then stay: training changes only the C · k values that an input fetches, so that what other inputs
    fetch is not forgotten. A training step costs the same however many pairs there are (`sparse`).

    Args:
        features: Dimension of the encoder's output.
        outputs: Dimension of a value, such as the number of classes.
        codebooks: C.
        pairs: Keys (and values) a codebook, K.
        key_dim: Dimension of a head and of a key.
        nearest: Keys fetched a codebook, k.
        sparse: Whether gradients of values are sparse tensors, for `torch.optim.SGD` without momentum or `SparseAdam`:
            other optimisers go on moving values that are not fetched.
        encoder: Runs first, without gradients; by default inputs are features already.
        generator: Source of projections and of the keys' start.

    Attributes:
        keys: Shape ``(codebooks, pairs, key_dim)``, a buffer.
        values: Shape ``(codebooks · pairs, outputs)``, the parameter; starts at 0.

    Raises:
        ValueError: if a number is out of range.

    Source: Träuble et al. 2022, section 3; values at 0, the mean of values as decoder, and SGD from the authors' settings.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> bottleneck = DiscreteKeyValueBottleneck(8, 3, codebooks=4, pairs=16, key_dim=2, generator=generator)
        >>> features = torch.randn(100, 8, generator=generator)
        >>> bottleneck.initialise_keys(features, generator=generator)
        >>> bottleneck(features).shape
        torch.Size([100, 3])
    """

    keys: Tensor
    projection: Tensor

    def __init__(
        self,
        features: int,
        outputs: int,
        *,
        codebooks: int = 64,
        pairs: int = 256,
        key_dim: int = 14,
        nearest: int = 1,
        sparse: bool = False,
        encoder: Callable[[Tensor], Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {"features": features, "outputs": outputs, "codebooks": codebooks, "pairs": pairs, "key_dim": key_dim}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}: got {size}, want 1 or more")
        if not 1 <= nearest <= pairs:
            raise ValueError(f"nearest: got {nearest}, want from 1 to the number of pairs, {pairs}")
        self.features, self.outputs, self.nearest, self.sparse = features, outputs, nearest, sparse
        self.encoder = encoder
        if isinstance(encoder, nn.Module):
            encoder.requires_grad_(False)
        device = generator.device if generator is not None else None
        drawn = torch.empty(codebooks, features, key_dim, device=device).normal_(
            0, 1 / math.sqrt(features), generator=generator
        )
        self.register_buffer("projection", drawn)
        self.register_buffer("keys", torch.empty(codebooks, pairs, key_dim, device=device).normal_(generator=generator))
        self.values = nn.Parameter(torch.zeros(codebooks * pairs, outputs, device=device))
        self.register_buffer("_rows", torch.arange(codebooks, device=device)[:, None] * pairs, persistent=False)

    def encode(self, inputs: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch features"]:
        """The features, without gradients.

        Raises:
            ValueError: if they have another dimension.
        """
        with torch.no_grad():
            features = inputs if self.encoder is None else self.encoder(inputs)
        if features.ndim != 2 or features.shape[1] != self.features:
            raise ValueError(f"inputs: got features of shape {tuple(features.shape)}, want (batch, {self.features})")
        return features

    def heads(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "codebooks batch key_dim"]:
        """Every codebook's projection of the features."""
        return torch.einsum("bf,cfd->cbd", features, self.projection.to(features.dtype))

    @torch.no_grad()
    def lookup(self, inputs: Float[Tensor, "batch *shape"]) -> Int[Tensor, "batch codebooks nearest"]:
        """Which pairs of each codebook are fetched, the nearest first."""
        chosen = _nearest(self.heads(self.encode(inputs)), self.keys, self.nearest)
        return chosen.transpose(0, 1)

    def forward(self, inputs: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch outputs"]:
        """The mean of the fetched values."""
        return self.read(self.lookup(inputs))

    def read(self, chosen: Int[Tensor, "batch codebooks nearest"]) -> Float[Tensor, "batch outputs"]:
        """The mean of the values of these pairs; `lookup` gives them, and they stay while keys do."""
        rows = (chosen + self._rows).flatten(1)  # type: ignore[operator]
        return nn.functional.embedding_bag(rows, self.values, mode="mean", sparse=self.sparse)

    @torch.no_grad()
    def initialise_keys(
        self,
        inputs: Float[Tensor, "count *shape"],
        *,
        epochs: int = 10,
        batch: int = 256,
        decay: float = 0.95,
        revive_below: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        """Move the keys to where the heads of unlabelled data lie, by exponential moving averages of what each key attracts.

        Keys start at heads drawn from the data. After each minibatch key k becomes the quotient of the running sums of the
        heads nearest to it and of their number; a key whose running number falls below ``revive_below`` is put on a head
        of the minibatch.

        Args:
            inputs: Data like those to come; labels are not needed.
            epochs: Passes over them.
            batch: Rows a step.
            decay: Of the running sums, a step.
            revive_below: Expected heads a step, below which a key counts as dead; 0 to leave them.
            generator: Source of starts, order and revivals.

        Raises:
            ValueError: if there are no inputs, or a number is out of range.

        Source: Träuble et al. 2022, section 3 and appendix; van den Oord et al. 2017, equations 6 to 8, for the averages.
        """
        if not len(inputs):
            raise ValueError("inputs: got none, want one row or more")
        if not 0 <= decay < 1:
            raise ValueError(f"decay: got {decay}, want 0 or more and less than 1")
        if epochs < 1 or batch < 1:
            raise ValueError(f"epochs, batch: got {epochs}, {batch}, want 1 or more of each")
        heads = self.heads(torch.cat([self.encode(part) for part in inputs.split(1024)]))
        codebooks, pairs, _ = self.keys.shape
        self.keys.copy_(_draw(heads, pairs, generator))
        sums = self.keys * 1.0
        counts = torch.ones(codebooks, pairs, device=heads.device, dtype=heads.dtype)
        for _ in range(epochs):
            order = torch.randperm(heads.shape[1], generator=generator, device=_device(generator)).to(heads.device)
            for rows in order.split(batch):
                here = heads[:, rows]
                won = _nearest(here, self.keys, 1)[..., 0]
                hits = torch.zeros_like(counts).scatter_add_(1, won, torch.ones_like(here[..., 0]))
                moved = torch.zeros_like(sums).scatter_add_(1, won[..., None].expand_as(here), here)
                counts.mul_(decay).add_(hits, alpha=1 - decay)
                sums.mul_(decay).add_(moved, alpha=1 - decay)
                dead = counts < revive_below
                if revive_below > 0 and dead.any():
                    fresh = _draw(here, pairs, generator)
                    sums[dead], counts[dead] = fresh[dead], 1.0
                torch.div(sums, counts[..., None].clamp_min(1e-8), out=self.keys)

    def extra_repr(self) -> str:
        """What is shown of it."""
        codebooks, pairs, key_dim = self.keys.shape
        return (
            f"features={self.features}, outputs={self.outputs}, codebooks={codebooks}, pairs={pairs}, key_dim={key_dim}"
        )


def _nearest(
    heads: Float[Tensor, "codebooks batch key_dim"], keys: Float[Tensor, "codebooks pairs key_dim"], count: int
) -> Int[Tensor, "codebooks batch count"]:
    """The keys of least Euclidean distance, by one product for all codebooks; the heads' own squares change no order."""
    keys = keys.to(heads.dtype)
    scores = torch.baddbmm(-0.5 * keys.square().sum(2)[:, None], heads, keys.transpose(1, 2))
    return scores.argmax(2, keepdim=True) if count == 1 else scores.topk(count, dim=2).indices


def _draw(
    heads: Float[Tensor, "codebooks batch key_dim"], count: int, generator: torch.Generator | None
) -> Float[Tensor, "codebooks count key_dim"]:
    """Heads drawn at random for each codebook, with replacement."""
    shape = (heads.shape[0], count)
    rows = torch.randint(heads.shape[1], shape, generator=generator, device=_device(generator)).to(heads.device)
    return heads.gather(1, rows[..., None].expand(-1, -1, heads.shape[2]))


def _device(generator: torch.Generator | None) -> torch.device:
    return generator.device if generator is not None else torch.device("cpu")
