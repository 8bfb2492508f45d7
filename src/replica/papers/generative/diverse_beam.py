"""Vijayakumar et al. 2016: Diverse Beam Search, Decoding Diverse Solutions from Neural Sequence Models.

Sentences about scenes in which it is open what to speak of, and in which words: does a list from groups of beams that keep from
each other's words hold a better sentence than beam search's, are its n-grams more varied, and is its first as good?
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from replica.generative import diverse_beam_search
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots

paper = Paper("diverse_beam")
CONCEPTS, SYNONYMS = {"article": 1, "attribute": 8, "thing": 12, "relation": 6}, 3
SLOTS = ("article", "attribute", "thing", "relation", "article", "attribute", "thing")
"""A sentence: a subject and an object, each with an attribute, and how they stand."""
BEAMS, GROUPS, STRENGTHS = 10, 5, (0.2, 0.4, 0.6, 0.8)


class Scenes:
    """Scenes of three things, and the exact law of sentences about them.

    A meaning is a subject, an object and an attribute of each, of two; given a meaning the words are independent. So the law is
    a mixture over meanings, and the next word's probabilities follow from their posterior.

    Args:
        count: of scenes.
        words: probabilities of each concept's synonyms, (concepts, synonyms).
        rng: draws the scenes.
    """

    def __init__(self, count: int, words: Float[Tensor, "concepts synonyms"], rng: np.random.Generator) -> None:
        starts = dict(zip(CONCEPTS, np.cumsum([0, *CONCEPTS.values()]), strict=False))
        things = rng.permuted(np.tile(np.arange(CONCEPTS["thing"]), (count, 1)), axis=1)[:, :3]
        attributes = rng.permuted(np.tile(np.arange(CONCEPTS["attribute"]), (count, 3, 1)), axis=2)[..., :2]
        relations = rng.integers(CONCEPTS["relation"], size=(count, 3, 3))
        subject, which = rng.dirichlet(np.ones(3), count), rng.dirichlet(np.ones(2), (count, 3))
        objects = rng.dirichlet(np.ones(2), (count, 3))
        meanings, priors = [], []
        for one in range(3):
            for index, other in enumerate(each for each in range(3) if each != one):
                for left, right in np.ndindex(2, 2):
                    slots = (
                        ("article", 0), ("attribute", attributes[:, one, left]), ("thing", things[:, one]),
                        ("relation", relations[:, one, other]),
                        ("article", 0), ("attribute", attributes[:, other, right]), ("thing", things[:, other]),
                    )  # fmt: skip
                    meanings.append(np.stack([np.full(count, starts[kind]) + concept for kind, concept in slots], 1))
                    priors.append(
                        subject[:, one] * objects[:, one, index] * which[:, one, left] * which[:, other, right]
                    )
        self.prior = torch.from_numpy(np.stack(priors, 1))
        concept = torch.from_numpy(np.stack(meanings, 1))
        spread = torch.zeros(len(words), words.numel(), dtype=words.dtype)
        spread.view(len(words), len(words), SYNONYMS).diagonal().copy_(words.T)
        self.table: Float[Tensor, "scenes meanings slots words"] = spread[concept]

    def step(self, tokens: Int[Tensor, " rows"], state: tuple[Tensor, int]) -> tuple[Tensor, tuple[Tensor, int]]:
        """Log-probabilities of the next word, and the posterior of meanings; rows are scene by scene."""
        posterior, slot = state
        scenes = posterior.unflatten(0, (len(self.table), -1))
        if slot:
            read = tokens.view(len(scenes), 1, -1).expand(-1, self.table.shape[1], -1)
            scenes = scenes * self.table[:, :, slot - 1].gather(2, read).transpose(1, 2)
            scenes = scenes / scenes.sum(-1, keepdim=True).clamp_min(1e-30)
        return (scenes @ self.table[:, :, slot]).log().flatten(0, 1), (scenes.flatten(0, 1), slot + 1)

    def search(self, beams: int, groups: int = 1, penalty: float = 0.0) -> tuple[Tensor, Tensor]:
        """A list a scene, the likeliest first: sentences and log-probabilities."""
        start = torch.zeros(len(self.prior), dtype=torch.long)
        state = (self.prior, 0)
        found = diverse_beam_search(self.step, state, beams, groups, penalty, start=start, length=len(SLOTS))
        order = found.log_probs.argsort(dim=1, descending=True, stable=True)
        return found.tokens.gather(1, order[..., None].expand_as(found.tokens)), found.log_probs.gather(1, order)

    def log_prob(self, sentences: Int[Tensor, "scenes count slots"]) -> Float[Tensor, "scenes count"]:
        """By the law."""
        laws = torch.ones(len(sentences), self.table.shape[1], sentences.shape[1], dtype=self.table.dtype)
        for slot in range(len(SLOTS)):
            read = sentences[:, None, :, slot].expand(-1, self.table.shape[1], -1)
            laws = laws * self.table[:, :, slot].gather(2, read)
        return (self.prior[..., None] * laws).sum(1).log()

    def sample(self, count: int, generator: torch.Generator) -> Int[Tensor, "scenes count slots"]:
        """Sentences drawn from the law, the order as drawn."""
        meaning = torch.multinomial(self.prior, count, replacement=True, generator=generator)
        laws = self.table[torch.arange(len(meaning))[:, None], meaning]
        words = torch.multinomial(laws.flatten(0, 2), 1, generator=generator)
        return words.view(laws.shape[:3])


def ngrams(tokens: Int[Tensor, "*rows length"], n: int) -> Int[Tensor, "*rows places"]:
    """A number for each n-gram."""
    base = SYNONYMS * sum(CONCEPTS.values())
    return (tokens.unfold(-1, n, 1) * base ** torch.arange(n)).sum(-1)


def bleu(
    candidates: Int[Tensor, "scenes count length"], references: Int[Tensor, "scenes length"]
) -> Float[Tensor, "scenes count"]:
    """BLEU-4 of sentences as long as their reference, matches and places of n > 1 raised by one."""
    logs = []
    for n in range(1, 5):
        ours, theirs = ngrams(candidates, n), ngrams(references, n)[:, None]
        own = (ours[..., :, None] == ours[..., None, :]).sum(-1)
        met = (ours[..., :, None] == theirs[..., None, :]).sum(-1)
        # Every occurrence bears its share of what its n-gram is clipped to.
        matches = (torch.minimum(own, met) / own).sum(-1)
        logs.append(((matches + (n > 1)) / (ours.shape[-1] + (n > 1))).log())
    return torch.stack(logs).mean(0).exp()


def facts(
    candidates: Int[Tensor, "scenes count length"], references: Int[Tensor, "scenes length"]
) -> Float[Tensor, "scenes count"]:
    """Share of the reference's facts that a sentence states: two things, an attribute of each, and their relation."""
    stated = []
    for tokens in (candidates, references[:, None]):
        _, left, one, relation, _, right, other = (tokens // SYNONYMS).unbind(-1)
        base = sum(CONCEPTS.values())
        pairs = one * base + left, other * base + right
        stated.append(torch.stack([one, other, *pairs, (one * base + relation) * base + other], -1))
    ours, theirs = stated
    return (theirs[..., :, None] == ours[..., None, :]).any(-1).double().mean(-1)


def distinct(tokens: Int[Tensor, "scenes count length"], n: int) -> float:
    """Distinct n-grams of a list, mean over scenes."""
    rows = ngrams(tokens, n).flatten(1).sort(1).values
    return 1 + float((rows.diff(dim=1) != 0).sum(1).double().mean())


def searched(trial: Trial) -> list[dict[str, Any]]:
    """Best and first scores and distinct n-grams of every search's lists; λ chosen by other scenes."""
    rng = trial.rng("grammar")
    words = torch.from_numpy(rng.dirichlet(np.ones(SYNONYMS), sum(CONCEPTS.values())))
    tuning, scenes = (
        Scenes(size, words, rng) for size in trial.pick(smoke=(4, 6), laptop=(100, 200), full=(500, 5000))
    )
    generator = trial.generator("references", "cpu")
    known, wanted = tuning.sample(1, generator)[:, 0], scenes.sample(1, generator)[:, 0]
    lists, strengths = {"beam search": scenes.search(BEAMS)}, {}
    for name, groups, score in (
        ("diverse beam search", GROUPS, bleu), ("ten groups", BEAMS, bleu), ("λ by facts", GROUPS, facts)
    ):  # fmt: skip
        scores = [float(score(tuning.search(BEAMS, groups, each)[0], known).amax(1).mean()) for each in STRENGTHS]
        strengths[name] = STRENGTHS[int(np.argmax(scores))]
        lists[name] = scenes.search(BEAMS, groups, strengths[name])
    lists["no penalty"] = scenes.search(BEAMS, GROUPS, 0.0)
    drawn = scenes.sample(BEAMS, trial.generator("samples", "cpu"))
    lists["samples"] = drawn, scenes.log_prob(drawn)
    rows = []
    for name, (tokens, log_probs) in lists.items():
        row: dict[str, Any] = {
            "method": name,
            "strength": strengths.get(name),
            "log_prob": float(log_probs[:, 0].mean()),
        }
        for kind, score in (("", bleu), ("_facts", facts)):
            found = score(tokens, wanted)
            row |= {f"best{kind}": float(found.amax(1).mean()), f"first{kind}": float(found[:, 0].mean())}
        rows.append(row | {f"distinct_{n}": distinct(tokens, n) for n in range(1, 5)})
    return rows


@paper.claim(searched, figure=dots("method", "best", xlabel="list of ten by", ylabel="BLEU-4 of the best"))
def oracle_score(table):
    """The best of a list over beam search's best."""
    best, first = (table.set_index("method")[name] for name in ("best", "first"))
    gain = best - best["beam search"]
    return {
        "gain": gain["diverse beam search"],
        "gain_over_samples": best["diverse beam search"] - best["samples"],
        "gain_with_ten_groups": gain["ten groups"],
        "oracle_of_beam_search": best["beam search"],
        "beam_search_over_sample": first["beam search"] - first["samples"],
        "gain_without_penalty": gain["no penalty"],
    }


@paper.claim(
    searched, figure=dots("method", "best_facts", xlabel="list of ten by", ylabel="facts that the best states")
)
def oracle_facts(table):
    """The same by facts, with the strength that serves facts."""
    best, first = (table.set_index("method")[name] for name in ("best_facts", "first_facts"))
    return {
        "gain": best["λ by facts"] - best["beam search"],
        "gain_over_samples": best["λ by facts"] - best["samples"],
        "oracle_of_beam_search": best["beam search"],
        "beam_search_over_sample": first["beam search"] - first["samples"],
        "gain_without_penalty": best["no penalty"] - best["beam search"],
    }


@paper.claim(searched, figure=dots("method", "distinct_4", xlabel="list of ten by", ylabel="distinct 4-grams"))
def distinct_ngrams(table):
    """Logarithms of distinct n-grams over beam search's."""
    counts = table.set_index("method")[[f"distinct_{n}" for n in range(1, 5)]]
    logs = np.log(counts / counts.loc["beam search"])
    ours = logs.loc["diverse beam search"]
    return {
        "log_ratio": ours.mean(),
        "log_ratio_of_words": ours.iloc[0],
        "log_ratio_of_four": ours.iloc[3],
        "log_ratio_by_facts": logs.loc["λ by facts"].mean(),
        "share_distinct_of_beam_search": counts.loc["beam search"].iloc[3] / (BEAMS * (len(SLOTS) - 3)),
        "log_ratio_without_penalty": logs.loc["no penalty"].mean(),
    }


@paper.claim(searched, figure=dots("method", "first", xlabel="list of ten by", ylabel="BLEU-4 of the likeliest"))
def first_of_the_list(table):
    """The likeliest sentence of the list, over beam search's."""
    rows = table.set_index("method")
    gains = rows.loc["diverse beam search", ["first", "log_prob"]] - rows.loc["beam search", ["first", "log_prob"]]
    return {
        "gain": gains["first"],
        "log_prob_gained": gains["log_prob"],
        "beam_search_over_sample": rows["first"]["beam search"] - rows["first"]["samples"],
    }
