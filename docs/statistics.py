"""Simulate how far intervals and looks keep their word, and write it into ``statistics.md``: ``python -m docs.statistics``."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.special import stdtr

from replica.lab.claims import LOOKS, Proportion, above, interval, nominal_level

PAGE = Path(__file__).with_suffix(".md")
STUDIES = 4000
EFFECTS = (0.0, 0.25, 0.5, 1.0, 2.0)
SMALLEST = 0.5
"""The smallest effect of interest in the table of effects, in standard deviations between seeds."""

Draw = Callable[[np.random.Generator, int], "list[float] | list[Proportion]"]


def shares(chance: float, total: int, concentration: float = math.inf) -> Draw:
    """Shares of ``total`` outcomes a seed; with a finite concentration their chance differs between seeds (beta)."""

    def draw(rng: np.random.Generator, seeds: int) -> list[Proportion]:
        spread = concentration < math.inf
        chances = rng.beta(chance * concentration, (1 - chance) * concentration, seeds) if spread else chance
        return [Proportion(int(yes), total) for yes in rng.binomial(total, chances, seeds)]

    return draw


def quarters_of_one_pool(rng: np.random.Generator, seeds: int) -> list[Proportion]:
    """What a method gets right, 90 % of the world, on a random quarter a seed of one pool of 1,797."""
    right = rng.binomial(1797, 0.9)
    return [Proportion(int(yes), 449) for yes in rng.hypergeometric(right, 1797 - right, 449, seeds)]


MEASURES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, seeds: rng.normal(3, 2, seeds).tolist(), 3.0),
    "heavy tails (Student's t, 3 degrees)": (lambda rng, seeds: rng.standard_t(3, seeds).tolist(), 0.0),
    "uniform": (lambda rng, seeds: rng.random(seeds).tolist(), 0.5),
    "share of 0.5, of 100 outcomes a seed": (shares(0.5, 100), 0.5),
    "share of 0.99, of 20 outcomes a seed": (shares(0.99, 20), 0.99),
    "share of 0.5 whose chance differs between seeds": (shares(0.5, 1000, 20.0), 0.5),
    "share of 0.95 whose chance differs between seeds": (shares(0.95, 1000, 20.0), 0.95),
    "mildly skewed (chi-square, 8 degrees)": (lambda rng, seeds: rng.chisquare(8, seeds).tolist(), 8.0),
    "**skewed (exponential)**": (lambda rng, seeds: rng.exponential(1.0, seeds).tolist(), 1.0),
    "**very skewed (lognormal, sigma 1)**": (lambda rng, seeds: rng.lognormal(0, 1, seeds).tolist(), math.exp(0.5)),
    "**share of 0.99 whose chance differs between seeds**": (shares(0.99, 1000, 20.0), 0.99),
    "**rare collapse: one seed in ten loses 0.3 of 1 ± 0.02**": (
        lambda rng, seeds: (rng.normal(1, 0.02, seeds) - 0.3 * (rng.random(seeds) < 0.1)).tolist(),
        0.97,
    ),
    "**random quarters of one pool of 1,797 examples**": (quarters_of_one_pool, 0.9),
}
"""What is measured, as the page says it: how the seeds of a study are drawn, and the truth."""


def coverage(measure: str, studies: int = STUDIES, stream: int = 0) -> tuple[float, float]:
    """Share of studies that hold the truth: in one interval of 95 % at five seeds, and in those of all four looks."""
    draw, truth = MEASURES[measure]
    level, once, always = nominal_level(LOOKS), 0, 0
    for study in range(studies):
        values = draw(np.random.default_rng([stream, study]), LOOKS[-1])
        first = interval(values[: LOOKS[0]])
        spans = [interval(values[:look], level=level) for look in LOOKS]
        once += first.low <= truth <= first.high
        always += all(span.low <= truth <= span.high for span in spans)
    return once / studies, always / studies


def needed_levels(studies: int, stream: int = 0) -> np.ndarray:
    """The level at which the interval of each look would just hold the mean of normal values; ``[studies, looks]``."""
    values = np.random.default_rng(stream).standard_normal((studies, LOOKS[-1]))
    parts = [values[:, :look] for look in LOOKS]
    t = [part.mean(1) / part.std(1, ddof=1) * math.sqrt(part.shape[1]) for part in parts]
    return np.stack([1 - 2 * stdtr(look - 1, -np.abs(x)) for look, x in zip(LOOKS, t, strict=True)], 1)


def levels(studies: int = 100_000, repeats: int = 20) -> dict[tuple[int, ...], float]:
    """The nominal level of every selection of looks, as ``looks.py`` has them."""
    needed = np.concatenate([needed_levels(studies, stream) for stream in range(repeats)])
    plans = [plan for size in range(2, len(LOOKS) + 1) for plan in combinations(range(len(LOOKS)), size)]
    return {tuple(LOOKS[i] for i in plan): float(np.quantile(needed[:, plan].max(1), 0.95)) for plan in plans}


def outcomes(effect: float, studies: int = STUDIES) -> tuple[list[float], Counter[str]]:
    """Of "above 0", where the truth is ``effect``: the share decided by each look, and how often each judgement was last."""
    level, decided, last = nominal_level(LOOKS), Counter[int](), Counter[str]()
    for study in range(studies):
        values = np.random.default_rng([1, study]).normal(effect, 1, LOOKS[-1]).tolist()
        for look in LOOKS:
            judgement = above(0).judge(interval(values[:look], level=level), SMALLEST)
            if judgement != "unclear":
                decided[look] += 1
                break
        last[judgement] += 1
    return [sum(decided[early] for early in LOOKS if early <= look) / studies for look in LOOKS], last


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def coverage_table() -> str:
    """A row a measure."""
    rows = ([name, *(f"{share:.0%}".replace("%", " %") for share in coverage(name))] for name in MEASURES)
    return _table(["what is measured", "five seeds, 95 %", "four looks together"], rows)


def effects_table() -> str:
    """A row an effect."""
    rows = []
    for effect in EFFECTS:
        decided, last = outcomes(effect)
        ends = [last[name] / STUDIES for name in ("holds", "no_effect", "fails", "unclear")]
        rows.append([f"{effect:g}", *(f"{share:.0%}".replace("%", " %") for share in [*decided, *ends])])
    looks = [f"decided by {look}" for look in LOOKS]
    return _table(["true effect", *looks, "*holds*", "*no effect*", "*fails*", "*unclear*"], rows)


def main() -> None:
    """Replace what stands between the page's marks, and print the levels."""
    text = PAGE.read_text()
    for name, table in (("coverage", coverage_table()), ("effects", effects_table())):
        mark = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end {name} -->)", re.S)
        assert mark.search(text), f"{PAGE.name} lacks the marks of {name}"
        text = mark.sub(f"{table}\n", text)
    PAGE.write_text(text)
    for plan, level in levels().items():
        print(f"{plan}: {level:.4f}")


if __name__ == "__main__":
    main()
