"""He, Pan, Chen, Yang 2025: In-Context Linear Regression Demystified.

One layer of softmax attention is trained on prompts of linear regression: what do its weights become, what do they compute,
and how near is that to the best there is?
"""

from typing import Any

import torch
from torch import Tensor

from replica.kernels import InContextAttention, attention_circuits, attention_risk, debiased_gradient_step
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots
from replica.training import fit

paper = Paper("incontext_regression")
DIM, EXAMPLES, NOISE = 5, 40, 0.1
"""As in the authors' notebook: d, L and σ²."""


def prompts(count: int, examples: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs, targets, queries and their targets: x ~ N(0, I), β ~ N(0, I / d), y = βᵀx + N(0, σ²)."""
    inputs = torch.randn(count, examples + 1, DIM, generator=generator)
    weights = torch.randn(count, DIM, 1, generator=generator) / DIM**0.5
    targets = (inputs @ weights)[..., 0] + NOISE**0.5 * torch.randn(count, examples + 1, generator=generator)
    return inputs[:, 1:], targets[:, 1:], inputs[:, 0], targets[:, 0]


def bayes(inputs: Tensor, targets: Tensor, queries: Tensor) -> Tensor:
    """Posterior mean of βᵀx: ridge regression of strength d σ²."""
    moment = inputs.mT @ inputs + DIM * NOISE * torch.eye(DIM)
    weights = torch.linalg.solve(moment, (inputs.mT @ targets[..., None]))[..., 0]
    return (weights * queries).sum(-1)


def correlation(first: Tensor, second: Tensor) -> float:
    """Pearson's, of two predictions."""
    return float(torch.corrcoef(torch.stack([first, second]))[0, 1])


def share(ratios: Tensor, weights: Tensor) -> float:
    """R / √(1 + r²), from 0 to 1, mean over the heads by how much each matters: ratios of weights as drawn have no mean."""
    return float((ratios / (1 + ratios.square()).sqrt()) @ weights)


def trained_heads(trial: Trial) -> list[dict[str, Any]]:
    """Layers of one, two and four heads, trained on fresh prompts; their circuits, and what they predict of 20,000 others."""
    steps, batch, tested = trial.pick(smoke=(20, 32, 500), laptop=(2000, 256, 20_000), full=(500_000, 256, 20_000))
    *prompt, truth = prompts(tested, EXAMPLES, trial.generator("test"))
    *longer, longer_truth = prompts(tested // 4, 4 * EXAMPLES, trial.generator("longer"))
    inputs, targets, queries = prompt
    gradient = debiased_gradient_step(inputs, targets, queries)
    plain = debiased_gradient_step(inputs, targets, queries, debiased=False)
    best = float((bayes(inputs, targets, queries) - truth).square().mean())
    rows = []
    for heads in (1, 2, 4):
        model = InContextAttention(DIM, heads, generator=trial.generator(f"weights {heads}"))
        start = attention_circuits(model)
        stream = trial.generator(f"prompts {heads}")
        optimiser = torch.optim.Adam(model.parameters(), 0.01)
        fit(
            model,
            lambda layer, *given: (layer(*given[:3]) - given[3]).square().mean(),
            (prompts(batch, EXAMPLES, stream) for _ in range(steps)),
            optimiser=optimiser,
            steps=steps,
            schedule=torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps),
        )
        with torch.no_grad():
            predicted, later = model(*prompt), model(*longer)
        circuits = attention_circuits(model)
        theory = attention_risk(circuits.strengths, circuits.outputs, DIM, EXAMPLES, NOISE)
        rows.append(
            {
                "heads": heads,
                "loss": float((predicted - truth).square().mean()),
                "longer": float((later - longer_truth).square().mean()),
                "bayes": best,
                "theory": float(theory),
                "debiased": correlation(predicted, gradient),
                "plain": correlation(predicted, plain),
                "off_diagonal_at_start": share(start.off_diagonal, start.weights),
                **{
                    name: share(getattr(circuits, name), circuits.weights)
                    for name in ("off_diagonal", "unequal", "other_outputs")
                },
                "imbalance": float(circuits.imbalance),
            }
        )
    return rows


@paper.claim(
    trained_heads,
    figure=dots("heads", "off_diagonal", xlabel="heads", ylabel="share off the diagonal"),
)
def patterns(table):
    """How far the circuits of two and four heads are from the patterns."""
    by_heads = table.set_index("heads")
    two, four = by_heads.loc[2], by_heads.loc[4]
    return {
        "off_diagonal": two["off_diagonal"],
        "imbalance": two["imbalance"],
        "unequal_diagonal": two["unequal"],
        "other_outputs": two["other_outputs"],
        "off_diagonal_four_heads": four["off_diagonal"],
        "imbalance_four_heads": four["imbalance"],
        "off_diagonal_at_start": two["off_diagonal_at_start"],
    }


@paper.claim(trained_heads, figure=dots("heads", "debiased", xlabel="heads", ylabel="correlation with a debiased step"))
def debiased_gradient_descent(table):
    """Correlation of the predictions with those of a debiased step, and how much more than with a plain one."""
    by_heads = table.set_index("heads")
    two = by_heads.loc[2]
    return {
        "correlation": two["debiased"],
        "beyond_plain_step": two["debiased"] - two["plain"],
        "correlation_four_heads": by_heads.loc[4, "debiased"],
        "correlation_one_head": by_heads.loc[1, "debiased"],
        "excess_over_theory": two["loss"] - two["theory"],
    }


@paper.claim(trained_heads, figure=dots("heads", "loss", xlabel="heads", ylabel="loss on fresh prompts"))
def beats_one_head(table):
    """Losses by heads, the factor to the Bayes risk, and what four times as many examples gain."""
    by_heads = table.set_index("heads")
    loss, two = by_heads["loss"], by_heads.loc[2]
    return {
        "gain_of_two_heads": loss[1] - loss[2],
        "gain_of_four_heads": loss[1] - loss[4],
        "loss_one_head": loss[1],
        "loss_two_heads": loss[2],
        "excess_risk_over_bayes": (two["loss"] - NOISE) / (two["bayes"] - NOISE),
        "gain_of_longer_prompts": two["loss"] - two["longer"],
    }
