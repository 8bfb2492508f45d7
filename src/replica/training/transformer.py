"""Small causal transformer: the language model that papers on representations and memory share."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class CausalAttention(nn.Module):
    """Causal self-attention with rotary positions (Su et al. 2021).

    Its child `heads` passes the heads' outputs on, side by side, before the projection.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.count = heads
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.heads = nn.Identity()
        self.project = nn.Linear(dim, dim)

    def forward(self, states: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length dim"]:
        """What each position reads from itself and those before."""
        query, key, value = self.query_key_value(states).unflatten(-1, (3, self.count, -1)).permute(2, 0, 3, 1, 4)
        turn = _turns(states.shape[-2], query.shape[-1], states)
        query, key = _rotate(query, *turn), _rotate(key, *turn)
        read = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.project(self.heads(read.transpose(1, 2).flatten(-2)))


class TransformerBlock(nn.Module):
    """Attention, then a multilayer perceptron, each after layer normalisation and added to what came in."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = CausalAttention(dim, heads)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, states: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length dim"]:
        """States after the block."""
        states = states + self.attention(self.attention_norm(states))
        return states + self.mlp(self.mlp_norm(states))


class CausalTransformer(nn.Module):
    """Decoder-only transformer: logits of the next token at each position.

    Positions are known in two ways: by a learned embedding, and relative to each other in attention (rotary).

    Its modules are named: blocks.0.attention.heads (an identity through which the heads' outputs pass, side by side),
    blocks.0.attention, blocks.0.mlp, blocks.1…, norm and head, so that each can be watched or wrapped.

    Args:
        vocabulary: number of tokens.
        dim: width of the residual stream.
        layers: blocks.
        heads: attention heads a block; dim / heads is a whole even number.
        context: most positions.
        hidden: units in a block's perceptron. Default 4 · dim.
        generator: source of the initial weights: normal with variance 1 / inputs for linear layers, divided by
            √(2 · layers) where they add to the residual stream; 0.3 for embeddings. Biases start at 0.
        device: where the net lives. Default the generator's device.
        dtype: its floating-point type.

    Shapes: tokens (batch, length) give logits (batch, length, vocabulary).

    Raises:
        ValueError: if a number is below 1 or dim / heads is no whole even number.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2), Section 2.3; Su et al.
    2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding", Eq. 34.

    Example:
        >>> import torch
        >>> from replica.training import CausalTransformer
        >>> model = CausalTransformer(11, dim=16, layers=2, heads=2, context=8, generator=torch.Generator().manual_seed(0))
        >>> model(torch.zeros(3, 5, dtype=torch.int64)).shape
        torch.Size([3, 5, 11])
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        dim: int,
        layers: int,
        heads: int,
        context: int,
        hidden: int | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        hidden = 4 * dim if hidden is None else hidden
        sizes = {"vocabulary": vocabulary, "dim": dim, "layers": layers, "heads": heads, "context": context}
        for name, value in (*sizes.items(), ("hidden", hidden)):
            if value < 1:
                raise ValueError(f"{name}: got {value}, want 1 or more")
        if dim % (2 * heads):
            raise ValueError(f"heads: got {heads}, want a number by which half of dim {dim} can be divided")
        self.context = context
        # Built without numbers first: PyTorch's own start would draw from its global random state.
        with torch.device("meta"):
            self.tokens = nn.Embedding(vocabulary, dim)
            self.positions = nn.Embedding(context, dim)
            self.blocks = nn.ModuleList(TransformerBlock(dim, heads, hidden) for _ in range(layers))
            self.norm = nn.LayerNorm(dim)
            self.head = nn.Linear(dim, vocabulary)
        if device is None:
            device = torch.get_default_device() if generator is None else generator.device
        self.to(dtype=dtype).to_empty(device=device)
        self._start(layers, generator)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocabulary"]:
        """Logits of the token after each position.

        Raises:
            ValueError: if there are more positions than `context`.
        """
        length = tokens.shape[-1]
        if length > self.context:
            raise ValueError(f"tokens: got {length} positions, want at most {self.context}")
        states = self.tokens(tokens) + self.positions.weight[:length]
        for block in self.blocks:
            states = block(states)
        return self.head(self.norm(states))

    @torch.no_grad()
    def sample(
        self, prompt: Int[Tensor, "batch length"], steps: int, *, generator: torch.Generator | None = None
    ) -> Int[Tensor, "batch longer"]:
        """The prompt, followed by tokens drawn one by one from the model's own distribution.

        Args:
            prompt: at least one token a row; the last `context` positions are looked at.
            steps: tokens to draw.
            generator: source of the draws, on the model's device.

        Raises:
            ValueError: if the prompt is empty or `steps` negative.
        """
        if not prompt.shape[-1]:
            raise ValueError("prompt: got no positions, want 1 or more")
        if steps < 0:
            raise ValueError(f"steps: got {steps}, want 0 or more")
        tokens = prompt
        for _ in range(steps):
            probability = self(tokens[:, -self.context :])[:, -1].softmax(-1)
            tokens = torch.cat([tokens, torch.multinomial(probability, 1, generator=generator)], dim=-1)
        return tokens

    def _start(self, layers: int, generator: torch.Generator | None) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, 0.0, 0.3, generator=generator)
            elif isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                into_stream = name.endswith(("attention.project", "mlp.2"))
                scale = 1 / math.sqrt(module.in_features * (2 * layers if into_stream else 1))
                nn.init.normal_(module.weight, 0.0, scale, generator=generator)
                nn.init.zeros_(module.bias)


def _turns(length: int, part: int, like: Tensor) -> tuple[Tensor, Tensor]:
    # Single precision whatever the states have: in half precision the angles of far positions would be wrong.
    pairs = torch.arange(part // 2, device=like.device, dtype=torch.float32)
    frequency = 10_000.0 ** (-2 * pairs / part)
    angle = torch.arange(length, device=like.device, dtype=torch.float32).unsqueeze(-1) * frequency
    return angle.cos().to(like.dtype), angle.sin().to(like.dtype)


def _rotate(
    vectors: Float[Tensor, "... length part"], cosine: Tensor, sine: Tensor
) -> Float[Tensor, "... length part"]:
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
