"""A language model that speaks in codes: codebooks behind every head and perceptron, and the training that gives them meaning.

Tamkin, Taufeeque & Goodman 2023, "Codebook Features", arXiv 2310.17230, Section 2.
"""

import copy
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from replica.training import CausalTransformer, fit, next_token_loss

from .codebook_layer import CodebookLayer
from .codebook_wrapping import attach_codebooks, codebooks_of, initialize_codebooks, reconstruction_loss, record_codes


def codebook_transformer(
    model: CausalTransformer,
    sample: Int[Tensor, "batch length"],
    *,
    head_codes: int,
    mlp_codes: int,
    active: int = 1,
    iterations: int = 10,
    generator: torch.Generator | None = None,
) -> CausalTransformer:
    """A copy of a transformer with a codebook behind every attention head and every perceptron.

    Args:
        model: the plain one; it is left as it is.
        sample: tokens whose activations the codes start from, by k-means.
        head_codes: codes of a head.
        mlp_codes: codes of a perceptron.
        active: codes that stand for an activation (the paper's k), by cosine similarity.
        iterations: of k-means.
        generator: source of the codes' first values.

    Example:
        >>> import torch
        >>> from replica.memory import codebook_transformer
        >>> from replica.training import CausalTransformer
        >>> plain = CausalTransformer(11, dim=8, layers=1, heads=2, context=6)
        >>> tokens = torch.randint(11, (20, 6), generator=torch.Generator().manual_seed(0))
        >>> codebook_transformer(plain, tokens, head_codes=4, mlp_codes=8)(tokens).shape
        torch.Size([20, 6, 11])
    """
    model = copy.deepcopy(model)
    codebooks = {}
    dim = model.tokens.embedding_dim
    for layer, block in enumerate(model.blocks):
        codebooks[f"blocks.{layer}.attention.heads"] = CodebookLayer(
            dim,
            head_codes,
            active=active,
            groups=block.attention.count,  # type: ignore[union-attr,arg-type]
            generator=generator,
        )
        codebooks[f"blocks.{layer}.mlp"] = CodebookLayer(dim, mlp_codes, active=active, generator=generator)
    attach_codebooks(model, codebooks)
    initialize_codebooks(model, lambda: model(sample), iterations=iterations, generator=generator)
    return model


def train_codebooks(model: nn.Module, batches: Iterable[tuple[Tensor, ...]], *, steps: int, rate: float) -> None:
    """Trains a language model in place, with codebooks or without: AdamW, whose rate rises for a tenth of the steps and falls.

    Codes move at thirty times the rate of weights, and are drawn to the activations they stand for by the reconstruction
    loss, per feature.

    Args:
        model: from tokens to logits.
        batches: of tokens, without end or to be gone through again.
        steps: of the optimiser.
        rate: greatest learning rate of the weights.
    """
    books = codebooks_of(model)
    codes = [book.codes for book in books.values()]
    own = {id(code) for code in codes}
    groups = [{"params": [p for p in model.parameters() if id(p) not in own]}] + [{"params": codes}] * bool(codes)
    rates = [rate, 30 * rate][: len(groups)]
    optimiser = torch.optim.AdamW(groups, rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps + 1, pct_start=0.1)

    def loss(model: nn.Module, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, ""]:
        with record_codes(model) as record:
            prediction = next_token_loss(model, tokens)
        return prediction + reconstruction_loss(record) / next(iter(books.values())).dim if books else prediction

    fit(model, loss, batches, optimiser=optimiser, steps=steps, schedule=schedule, clip_norm=1.0)
