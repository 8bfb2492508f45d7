"""A page a problem: its question, its recorded comparison, and how to bring data and methods."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from replica.lab.catalogue import records
from replica.lab.cli.problems import card as problem_card
from replica.lab.problems.registry import get, names
from replica.lab.report.quantities import quantity, span_text

from .markdown import render
from .source import SITE, Source

BUILT_PROBLEMS = names()
EXAMPLES = SITE.parents[1] / "examples"
# What a user types to bring data and a method, and the example that holds such a method.
BRING: dict[str, dict[str, str]] = {
    "recall": {
        "data": "--data my_patterns.npy --stored 50 --sweep damage=0.05,0.1,0.2,0.3",
        "example": "my_memory.py",
        "entry": "SoftVote",
        "python": 'data=my_array, entries={"mine": MyMemory}, stored=50',
    },
    "classification": {
        "data": "--data my_table.csv --target species --sweep train=50,100,200",
        "example": "my_classifier.py",
        "entry": "NearestMean",
        "python": 'data=my_frame, target="species", entries={"mine": MyClassifier}',
    },
    "regression": {
        "data": "--data my_table.csv --target price --shift",
        "example": "my_regressor.py",
        "entry": "NearestRows",
        "python": 'data=my_frame, target="price", entries={"mine": MyRegressor}',
    },
    "operator": {
        "data": "--data my_solutions.npz",
        "example": "compare_operators.py",
        "entry": "ring_network",
        "python": 'data={"inputs": inputs, "outputs": outputs}, entries={"mine": my_network}',
    },
    "stream": {
        "data": "--data my_images.npz --tasks 4 --setting class",
        "example": "my_learner.py",
        "entry": "NearestItems",
        "python": 'data={"X": images, "y": labels}, entries={"mine": MyLearner}, tasks=4',
    },
    "credit": {
        "data": "--data my_table.csv --target species --sweep depth=2,4,8",
        "example": "my_rule.py",
        "entry": "SignedStep",
        "python": 'data=my_frame, target="species", entries={"mine": MyRule}, depth=4',
    },
    "scaling": {
        "data": "--data my_table.csv --target species --width 32,64,128",
        "example": "my_parametrization.py",
        "entry": "FallingRates",
        "python": 'data=my_frame, target="species", entries={"mine": MyParametrization}, width="32,64,128"',
    },
    "shift": {
        "data": "--data my_table.csv --target outcome --domain hospital --sweep test_domain=A,B,C",
        "example": "my_shift_learner.py",
        "entry": "SteadyColumns",
        "python": 'data=my_frame, target="outcome", domain="hospital", entries={"mine": MyLearner}',
    },
    "similarity": {
        "data": "--data my_activations.npz --sweep stimuli=30,100,300",
        "example": "my_similarity.py",
        "entry": "SharedNeighbours",
        "python": 'data={"a/conv1": X, "a/conv2": Y, "b/conv1": Z, "b/conv2": W}, entries={"mine": MyMeasure}',
    },
    "pretext": {
        "data": "--data my_images/ --few 5",
        "example": "my_pretext.py",
        "entry": "Denoiser",
        "python": 'data=(images, labels), entries={"mine": MyObjective}, few=5',
    },
    "steer": {
        "data": "--data my_reward.py:height --sweep calls=2,5,10",
        "example": "my_steering.py",
        "entry": "BestOfTwo",
        "python": 'data="my_reward.py:height", entries={"mine": MySteering}, calls=10',
    },
    "merge": {
        "data": "--data my_networks/ --held-out 100",
        "example": "my_merging.py",
        "entry": "TrimmedSum",
        "python": 'data="my_networks/", entries={"mine": MyMerging}, held_out=100',
    },
    "sample": {
        "data": "--data my_table.csv --drop species --sweep train=100,300,1000",
        "example": "my_sampler.py",
        "entry": "BetweenNeighbours",
        "python": 'data=my_array, entries={"mine": MyGenerator}, steps=5000',
    },
    "events": {
        "data": "--data my_events.npz --steps 100",
        "example": "my_event_network.py",
        "entry": "leaky_counts",
        "python": 'data={"time": t, "unit": u, "sample": s, "label": y}, entries={"mine": MyNetwork}, steps=100',
    },
    "transport": {
        "data": "--data before.csv --target-data after.csv --cost euclidean",
        "example": "my_transport.py",
        "entry": "SortedLines",
        "python": 'data=before, target_data=after, entries={"mine": MyMap}, cost="euclidean"',
    },
    "teacher": {
        "data": "--target local --patches 16 --reach 3 --sweep examples=100,300,1000",
        "example": "my_patch_learner.py",
        "entry": "SharedWeights",
        "python": 'target="local", entries={"mine": MyLearner}, sweep={"examples": (100, 300, 1000)}',
    },
}


def recorded_comparison(problem: str) -> dict[str, Any] | None:
    """The recorded comparison of a problem, or None where none was recorded yet."""
    path = SITE / "comparisons" / f"{problem}.json"
    return json.loads(path.read_bytes()) if path.exists() else None


def planned() -> dict[str, int]:
    """Problems that papers of the catalogue wait for, with how many."""
    waiting = Counter(name for record in records().values() for name in record.problems)
    return {name: count for name, count in waiting.most_common() if name not in BUILT_PROBLEMS}


def cards() -> list[dict[str, Any]]:
    """One mapping a problem: what ``replica problems`` says of it, and the answer of its recorded comparison."""
    return [{**problem_card(get(name)), "comparison": recorded_comparison(name)} for name in names()]


def write(source: Source) -> None:
    """Write the list of problems and their pages."""
    everything = cards()
    source.write("problems/index.md", render("problems.md", problems=everything, planned=planned()))
    for card in everything:
        name, comparison = card["name"], card["comparison"]
        if comparison:
            source.write(f"extra/reports/{name}.html", (SITE / "comparisons" / f"{name}.html").read_bytes())
        source.write(
            f"problems/{name}.md",
            render(
                "problem.md",
                card=card,
                comparison=comparison,
                table=_table(comparison) if comparison else None,
                bring=BRING.get(name),
                example=(EXAMPLES / BRING[name]["example"]).read_text() if name in BRING else "",
                titles={record.slug: record.title for record in records().values()},
            ),
        )


def _table(comparison: dict[str, Any]) -> dict[str, Any]:
    """The ranking as texts: the first metric with its interval, the others and the cost of a trial."""
    first, *others = comparison["metrics"]
    heads = [_head(metric) for metric in comparison["metrics"]]
    rows = []
    for row in comparison["rows"]:
        measured = row["metrics"].get(first["name"])
        cells = [
            quantity(row["metrics"][metric["name"]]["mean"], metric["unit"])
            if metric["name"] in row["metrics"]
            else "–"
            for metric in others
        ]
        rows.append(
            {
                "method": row["method"],
                "paper": row["paper"],
                "tied": row["tied_with_best"],
                "value": quantity(measured["mean"], first["unit"]) if measured else "failed",
                "span": span_text(measured, first["unit"]) if measured else "",
                "cells": cells,
                "seconds": quantity(row["seconds"], "s"),
                "peak": quantity(row["peak_bytes"], "bytes") if row["peak_bytes"] is not None else "",
            }
        )
    return {"heads": heads, "rows": rows}


def _head(metric: dict[str, str]) -> str:
    arrow = {"higher": " ↑", "lower": " ↓"}.get(metric["better"], "")
    return f"{metric['label']}{arrow}"
