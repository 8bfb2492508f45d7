"""Finding papers by words, best match first."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from functools import cache

from replica.errors import ReplicaError

from .letters import plain
from .records import STATUSES, WINGS, Record, nearest, records

FIELD_WEIGHTS = {
    "slug": 4.0,
    "title": 4.0,
    "authors": 3.0,
    "idea": 2.0,
    "wing": 2.0,
    "problems": 2.0,
    "part": 1.0,
}
SATURATION = 1.2  # BM25's k1: a second mention counts less than the first
PREFIX_SHARE = 0.6  # "hopf" finds "hopfield", but below a whole-word match


def find(
    words: str = "", *, wing: str | None = None, problem: str | None = None, status: str | None = None
) -> list[Record]:
    """Papers that match the words, ranked by relevance over slug, title, authors, idea, wing, problems and part.

    The paper of this very slug comes first, then those that match more of the words; among those, BM25 with weighted fields
    decides. Without words, all that pass the filters: built ones first, else in the catalogue's order.

    Args:
        words: What to look for; case and accents do not matter, and a beginning of a word is enough.
        wing: Only this wing.
        problem: Only papers whose method fits this problem.
        status: Only ``"built"`` or ``"planned"`` ones.

    Raises:
        ReplicaError: If a filter names nothing that exists.
    """
    problems = sorted({name for record in records().values() for name in record.problems})
    for kind, value, known in (
        ("wing", wing, WINGS),
        ("problem", problem, problems),
        ("status", status, STATUSES),
    ):
        if value is not None and value not in known:
            raise ReplicaError(f"No {kind} is called {value!r}.{nearest(value, known)} There are: {', '.join(known)}.")
    kept = [
        record
        for record in records().values()
        if (wing is None or record.wing == wing)
        and (problem is None or problem in record.problems)
        and (status is None or record.status == status)
    ]
    query = list(dict.fromkeys(_tokens(words)))
    if not query:
        return sorted(kept, key=lambda record: record.status != "built")
    index, rarity = _index()
    query = [_known(word, rarity) for word in query]
    scored: list[tuple[int, float, Record]] = []
    for record in kept:
        weights = index[record.slug]
        hits, score = 0, 0.0
        for word in query:
            mass = weights.get(word, 0.0)
            if not mass and len(word) >= 3:
                mass = PREFIX_SHARE * max((w for token, w in weights.items() if token.startswith(word)), default=0.0)
            if mass:
                hits += 1
                score += rarity.get(word, 1.0) * mass / (mass + SATURATION)
        if hits:
            scored.append((hits, score, record))
    slug = "_".join(re.findall(r"[a-z0-9]+", plain(words)))
    scored.sort(key=lambda row: (row[2].slug != slug, -row[0], -row[1]))
    return [record for _, _, record in scored]


def _tokens(text: str) -> list[str]:
    return [_stem(token) for token in re.findall(r"[a-z0-9]+", plain(text))]


def _stem(token: str) -> str:
    # Enough for titles: networks -> network, memories -> memory; not loss -> los.
    if len(token) > 4 and token.endswith("ies"):
        return token[:-3] + "y"
    if len(token) > 3 and token.endswith("s") and not token.endswith(("ss", "us", "is")):
        return token[:-1]
    return token


def _known(word: str, rarity: dict[str, float]) -> str:
    """The word itself, or the nearest known one where it is likely a slip: no record has it, not even as a beginning."""
    if word in rarity or len(word) < 5 or any(token.startswith(word) for token in rarity):
        return word
    return next(iter(difflib.get_close_matches(word, rarity, n=1, cutoff=0.8)), word)


@cache
def _index() -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Weighted token counts of every record, and each token's inverse document frequency."""
    weights: dict[str, dict[str, float]] = {}
    documents: Counter[str] = Counter()
    for record in records().values():
        counts: dict[str, float] = {}
        for field, weight in FIELD_WEIGHTS.items():
            value = getattr(record, field)
            for token in _tokens(value if isinstance(value, str) else " ".join(value)):
                counts[token] = counts.get(token, 0.0) + weight
        weights[record.slug] = counts
        documents.update(counts.keys())
    total = len(weights)
    return weights, {token: math.log(1 + (total - n + 0.5) / (n + 0.5)) for token, n in documents.items()}
