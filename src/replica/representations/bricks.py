"""Operations on the bricks of a feed-forward layer: pruned, routed to, merged, grown.

Xiao et al. 2024, "Configurable Foundation Models", brick-oriented operations. A layer is Sequential(Linear, activation, Linear):
FFN(x) = Σ_i σ(k_i · x + b_i) v_i + c, with keys k_i as rows of the first weights and values v_i as columns of the second.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Units = Sequence[int] | Int[Tensor, " chosen"]


def prune_neurons(ffn: nn.Sequential, neurons: Units) -> nn.Sequential:
    """A smaller feed-forward layer, without some neurons; the rest is as it was.

    Args:
        ffn: Linear, activation, Linear; left alone.
        neurons: numbers of those to take out, not all.

    Raises:
        ValueError: if the layer has another form, a number is none of its neurons, or none would be left.

    Example:
        >>> import torch
        >>> from replica.representations import prune_neurons
        >>> from replica.training import mlp
        >>> prune_neurons(mlp((4, 8, 4), generator=torch.Generator().manual_seed(0)), [0, 5])[0].weight.shape
        torch.Size([6, 4])
    """
    first, activation, second = _parts(ffn)
    keep = torch.ones(first.out_features, dtype=torch.bool, device=first.weight.device)
    chosen = torch.as_tensor(neurons, dtype=torch.int64, device=keep.device)
    if len(chosen) and not 0 <= int(chosen.min()) <= int(chosen.max()) < len(keep):
        raise ValueError(f"neurons: got {int(chosen.min())} to {int(chosen.max())}, want from 0 to {len(keep) - 1}")
    keep[chosen] = False
    if not bool(keep.any()):
        raise ValueError(f"neurons: got all {len(keep)}, want one or more left")
    left = int(keep.sum())
    keys, values = _linear(first, first.in_features, left), _linear(second, left, second.out_features)
    with torch.no_grad():
        keys.weight.copy_(first.weight[keep])
        values.weight.copy_(second.weight[:, keep])
        if first.bias is not None:
            keys.bias.copy_(first.bias[keep])
        if second.bias is not None:
            values.bias.copy_(second.bias)
    return nn.Sequential(keys, copy.deepcopy(activation), values)


class BrickRouter(nn.Module):
    """A feed-forward layer in which every token goes through some of the bricks only: those with the highest scores.

    Scores are the norms of the bricks' outputs ‖Σ_{i in brick} σ(k_i · x + b_i) v_i‖, an *oracle* which has to compute what
    it leaves out; or those of a gate that predicts them from the layer's input. All neurons are computed and masked: this is
    for analysis, and saves no time.

    Args:
        ffn: Linear, activation, Linear. It is used, not copied.
        bricks: number of each neuron's brick, all of one size, such as `partition_neurons` gives.
        kept: bricks that a token goes through.
        gate: gives a score for each brick from inputs (..., inputs). Default the oracle.

    Shapes: (..., inputs) gives (..., outputs).

    Raises:
        ValueError: if the layer has another form, bricks are of different sizes, or too many or few are kept.

    Source: Xiao et al. 2024, routing; Zhang et al. 2022, Section 3.3 (oracle and trained routers).

    Example:
        >>> import torch
        >>> from replica.representations import BrickRouter
        >>> from replica.training import mlp
        >>> ffn = mlp((4, 8, 4), generator=torch.Generator().manual_seed(0))
        >>> inputs = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
        >>> routed = BrickRouter(ffn, torch.arange(8) % 4, kept=4)
        >>> torch.allclose(routed(inputs), ffn(inputs))
        True
    """

    def __init__(
        self, ffn: nn.Sequential, bricks: Int[Tensor, " neurons"], kept: int, gate: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.ffn = ffn
        first, _, _ = _parts(ffn)
        sizes = torch.bincount(bricks) if bricks.dim() == 1 and len(bricks) else torch.zeros(1)
        if len(bricks) != first.out_features or len(sizes.unique()) > 1 or not int(sizes[0]):
            raise ValueError(
                f"bricks: got {len(bricks)} numbers, of each brick {sizes.tolist()}, want {first.out_features} of equal shares"
            )
        if not 1 <= kept <= len(sizes):
            raise ValueError(f"kept: got {kept}, want from 1 to {len(sizes)}")
        self.kept = kept
        self.gate = gate
        self.members: Tensor
        self.register_buffer("members", bricks.to(first.weight.device).argsort(stable=True).view(len(sizes), -1))

    def outputs(self, inputs: Float[Tensor, "... inputs"]) -> Float[Tensor, "... bricks outputs"]:
        """What each brick adds to the layer's output."""
        first, activation, second = _parts(self.ffn)
        values = second.weight.T[self.members]
        fired = activation(first(inputs))[..., self.members]
        return torch.einsum("...bn,bno->...bo", fired, values)

    def forward(self, inputs: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        """The layer's output by the bricks with the highest scores."""
        outputs = self.outputs(inputs)
        scores = outputs.norm(dim=-1) if self.gate is None else self.gate(inputs)
        mask = torch.zeros_like(scores).scatter(-1, scores.topk(self.kept, dim=-1).indices, 1.0)
        summed, bias = (outputs * mask[..., None]).sum(-2), _parts(self.ffn)[2].bias
        return summed if bias is None else summed + bias

    @torch.no_grad()
    def fit_gate(self, inputs: Float[Tensor, "tokens inputs"], penalty: float = 1e-3) -> nn.Linear:
        """Sets, and returns, the linear gate that predicts the oracle's scores best: ridge regression.

        Args:
            inputs: of the layer, a row a token.
            penalty: of squared weights, as a share of the inputs' mean variance times the tokens; above 0.

        Raises:
            ValueError: if inputs are no matrix or the penalty is not above 0.
        """
        if inputs.dim() != 2:
            raise ValueError(f"inputs: got shape {tuple(inputs.shape)}, want (tokens, inputs)")
        if not penalty > 0:
            raise ValueError(f"penalty: got {penalty}, want above 0")
        scores = self.outputs(inputs).norm(dim=-1)
        centred, level = inputs - inputs.mean(0), scores.mean(0)
        gram = centred.T @ centred
        ridge = penalty * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        weight = torch.linalg.solve(gram + ridge, centred.T @ (scores - level)).T
        gate = nn.utils.skip_init(nn.Linear, *weight.T.shape, device=weight.device, dtype=weight.dtype)
        gate.weight.copy_(weight)
        gate.bias.copy_(level - weight @ inputs.mean(0))
        self.gate = gate
        return gate


class GrownBrick(nn.Module):
    """A frozen feed-forward layer and a new brick beside it, whose output is added; made by `grow_brick`.

    Attributes:
        ffn: the layer as it was; its parameters take no gradient.
        brick: Linear, activation, Linear.
        enabled: whether the brick adds its output. Without, the layer is as it was, bit for bit.
    """

    def __init__(self, ffn: nn.Sequential, brick: nn.Sequential) -> None:
        super().__init__()
        self.ffn = ffn.requires_grad_(False)
        self.brick = brick
        self.enabled = True

    def forward(self, inputs: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        """Both outputs added."""
        return self.ffn(inputs) + self.brick(inputs) if self.enabled else self.ffn(inputs)


def grow_brick(ffn: nn.Sequential, neurons: int, *, generator: torch.Generator | None = None) -> GrownBrick:
    """A feed-forward layer with new neurons to be trained, and the old ones frozen. At first it gives what it gave.

    Args:
        ffn: Linear, activation, Linear; a copy is taken.
        neurons: new ones. Their keys are normal with variance 1 / inputs, their values 0.
        generator: source of the keys.

    Raises:
        ValueError: if the layer has another form or the number is below 1.

    Source: Xiao et al. 2024, growing.

    Example:
        >>> import torch
        >>> from replica.representations import grow_brick
        >>> from replica.training import mlp
        >>> ffn = mlp((4, 8, 4), generator=torch.Generator().manual_seed(0))
        >>> grown = grow_brick(ffn, 2, generator=torch.Generator().manual_seed(1))
        >>> torch.equal(grown(torch.ones(1, 4)), ffn(torch.ones(1, 4)))
        True
    """
    first, activation, second = _parts(ffn)
    if neurons < 1:
        raise ValueError(f"neurons: got {neurons}, want 1 or more")
    keys, values = _linear(first, first.in_features, neurons), _linear(second, neurons, second.out_features)
    nn.init.normal_(keys.weight, 0.0, first.in_features**-0.5, generator=generator)
    for zero in (values.weight, *(layer.bias for layer in (keys, values) if layer.bias is not None)):
        nn.init.zeros_(zero)
    return GrownBrick(copy.deepcopy(ffn), nn.Sequential(keys, copy.deepcopy(activation), values))


def merge_bricks(base: nn.Module, bricks: Sequence[nn.Module], weight: float | None = None) -> nn.Module:
    """One module from several that were trained from a common one: base + weight · Σ_j (brick_j − base).

    Args:
        base: what they were trained from; left alone.
        bricks: modules of the same form.
        weight: of each difference: task arithmetic. Default 1 / bricks: their average.

    Raises:
        ValueError: without bricks, or if one has other tensors than the base.

    Source: Xiao et al. 2024, merging; Ilharco et al. 2023, "Editing models with task arithmetic".

    Example:
        >>> import torch
        >>> from replica.representations import merge_bricks
        >>> from replica.training import mlp
        >>> bricks = [mlp((2, 1), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
        >>> mean = sum(brick[0].weight for brick in bricks) / 2
        >>> torch.allclose(merge_bricks(bricks[0], bricks)[0].weight, mean)
        True
    """
    if not bricks:
        raise ValueError("bricks: got none, want one or more")
    start = base.state_dict()
    shapes = {name: tensor.shape for name, tensor in start.items()}
    for number, brick in enumerate(bricks):
        if {name: tensor.shape for name, tensor in brick.state_dict().items()} != shapes:
            raise ValueError(f"bricks: got other tensors in number {number} than in the base, want the same")
    share = 1 / len(bricks) if weight is None else weight
    merged = copy.deepcopy(base)
    states = [brick.state_dict() for brick in bricks]
    moved = {
        name: tensor + share * sum(state[name] - tensor for state in states) if tensor.is_floating_point() else tensor
        for name, tensor in start.items()
    }
    merged.load_state_dict(moved)
    return merged


def _parts(ffn: nn.Sequential) -> tuple[nn.Linear, nn.Module, nn.Linear]:
    layers = list(ffn) if isinstance(ffn, nn.Sequential) else []
    if len(layers) == 3 and isinstance(layers[0], nn.Linear) and isinstance(layers[2], nn.Linear):
        return layers[0], layers[1], layers[2]
    raise ValueError(f"ffn: got {[type(layer).__name__ for layer in layers]}, want [Linear, activation, Linear]")


def _linear(like: nn.Linear, inputs: int, outputs: int) -> nn.Linear:
    made: Callable[..., nn.Linear] = nn.utils.skip_init
    weight = like.weight
    return made(nn.Linear, inputs, outputs, bias=like.bias is not None, device=weight.device, dtype=weight.dtype)
