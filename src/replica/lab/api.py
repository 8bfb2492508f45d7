"""Replica from Python: `compare` methods on a problem, `verify` what a paper claims, `find` papers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replica.errors import ReplicaError

from .catalogue.search import find as find
from .problems.registry import get
from .report.comparison import Comparison
from .report.given_data import called, in_words, keep_data
from .report.notebook import Verdict, Verdicts
from .report.ranking_table import growing_table
from .runner.compare import run_comparison
from .runner.settings import Settings
from .runner.sources import find_source
from .runner.sweeps import read_sweep
from .runner.verify import verify_source

if TYPE_CHECKING:
    from .problems.problem import Value

__all__ = ["compare", "find", "verify"]

MOST_FIRST_SEED = 10**9
"""Generators of libraries take 32 bits."""
_SETTINGS = frozenset(field.name for field in fields(Settings))


def compare(
    problem: str,
    *,
    data: str | os.PathLike[str] | Mapping[str, Any] | tuple[Any, Any] | Any = None,
    entries: Mapping[str, Any] | Sequence[str] = (),
    sweep: Mapping[str, Sequence[Any]] | None = None,
    only: Sequence[str] = (),
    tune: int = 0,
    standings: bool = True,
    **options: Value | None,
) -> Comparison:
    """Run every fitting method of a problem on the same data, options, budget and seeds, and rank them.

    Args:
        problem: The problem's name, as ``replica problems`` lists it.
        data: A named data set, a file or folder of your own; or an array or tensor, a data frame, a pair ``(X, y)``, or arrays
            by name as in an ``.npz`` file (``{"X": features, "y": labels}``). The problem's default where None.
        entries: Your own methods: ``{"mine": MyMemory}`` (a class, a function that makes one, or an object such as
            ``SVC(C=3)``, of which every trial gets a fresh copy), or texts ``"file.py:Name"``.
        sweep: One option with the values it takes in turn: ``{"stored": [10, 30, 100]}``.
        only: Only these methods beside your own.
        tune: Trials in which each method with a search space (your own declares it: ``space = {"beta": LogUniform(0.1, 10.0)}``,
            of `replica.lab.claims`) is tuned first, for each seed and point, on validation data; 0 for none.
        standings: Show the table as it grows, on standard error; a line for each method where that is no terminal.
        **options: How trials run (``scale``, ``seeds``, … of `replica.lab.runner.settings.Settings`), and the problem's own
            options, such as ``stored=50``; ``test_data`` and ``target_data`` take all that ``data`` does.

    Returns:
        The comparison: `table`, `tuning`, `figure()`, `report(path)`. A notebook shows its table and picture.

    Raises:
        ReplicaError: In one line, what is wrong with the problem, data, options or methods.

    Example:
        >>> comparison = replica.compare("recall", entries={"mine": MyMemory}, stored=50, seeds=5)  # doctest: +SKIP
        >>> comparison.table[["exact", "tied_with_best"]]  # doctest: +SKIP
    """
    given: dict[str, Any] = dict(options)
    settings = Settings(**{name: given.pop(name) for name in _SETTINGS & given.keys()})
    formats = get(problem).data_formats
    in_memory = data is not None and not isinstance(data, str | os.PathLike)
    data = _as_path(data, settings, formats)
    kept = Path(data) if in_memory and data else None
    for name in ("test_data", "target_data"):
        if given.get(name) is not None:
            given[name] = _as_path(given[name], settings, formats)
    show = growing_table if standings else None
    with called(kept):
        results = run_comparison(
            problem,
            data=data,
            entries=entries,
            options=given,
            sweep=read_sweep(sweep),
            only=only,
            tune=tune,
            settings=settings,
            show=show,
        )
    said: dict[str, Any] = {name: in_words(getattr(results.dataset, name), kept) for name in ("name", "description")}
    return Comparison(replace(results, dataset=replace(results.dataset, **said)))


def _as_path(source: Any, settings: Settings, formats: Sequence[str]) -> str | None:
    """Where data are: as the user names it, or where those in memory are kept."""
    if source is None or isinstance(source, str | os.PathLike):
        return None if source is None else os.fspath(source)
    return str(keep_data(source, settings.store_path, formats))


def verify(*papers: str, claims: Sequence[str] = (), first_seed: int = 0, **settings: Any) -> Verdicts:
    """Test the claims of papers: run what the store lacks, look by look until they are decided, and judge.

    Args:
        *papers: Slugs, or paths of paper files of your own (``my_paper.py``, with ``my_paper.toml`` beside it).
        claims: Only these claims, by name.
        first_seed: The first seed. Seeds from 1000 on, say, are fresh: the verdict is given on them alone, and with the record.
        **settings: How trials run: ``scale``, ``seeds`` (in one look, in place of the claims' planned ones), ``device``, … (see
            `replica.lab.runner.settings.Settings`).

    Returns:
        A list with the result of each paper; a notebook shows their tables and figures.

    Raises:
        ReplicaError: An unknown paper, claim or setting, or a store that cannot be used.

    Example:
        >>> (result,) = replica.verify("hopfield", scale="smoke")  # doctest: +SKIP
        >>> [claim.verdict for claim in result.claims]  # doctest: +SKIP
    """
    if not papers:
        raise ReplicaError("Name a paper to verify, such as: replica verify hopfield.")
    unknown = settings.keys() - _SETTINGS
    if unknown:
        raise ReplicaError(f"verify has no setting {min(unknown)!r}. It has: {', '.join(sorted(_SETTINGS))}.")
    if not 0 <= first_seed <= MOST_FIRST_SEED:
        raise ReplicaError(f"The first seed must be from 0 to {MOST_FIRST_SEED}, not {first_seed!s:.40}.")
    how = Settings(**settings)
    results = (verify_source(find_source(name), how, first_seed, claims) for name in dict.fromkeys(papers))
    return Verdicts(Verdict(result.source, result.claims) for result in results)
