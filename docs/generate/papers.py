"""A page a paper: idea, claims with verdicts, the paper's figures beside ours, cost, departures, code, citation."""

from __future__ import annotations

import ast
from typing import Any

from replica.lab.catalogue import Record, bibtex, count_verdicts, read_evidence, records
from replica.lab.claims import Paper
from replica.lab.cli.show import exports
from replica.lab.report.quantities import quantity, span_text
from replica.lab.runner.fingerprint import fingerprint, spec_path
from replica.lab.runner.job import load_paper
from replica.lab.runner.progress import duration

from .figures import claim_figure
from .markdown import render
from .parts import Part, parts
from .problems import BUILT_PROBLEMS, recorded_comparison
from .source import Source
from .wings import TITLES

_IMPORTS = (ast.Import, ast.ImportFrom)


def write(source: Source) -> None:
    """Write the list of papers and their pages."""
    everything = list(records().values())
    rows = [(record, count_verdicts(record)) for record in everything]
    rows.sort(key=lambda row: (row[0].status != "built", list(TITLES).index(row[0].wing), row[0].title.casefold()))
    built = sum(record.status == "built" for record in everything)
    source.write("papers/index.md", render("papers.md", rows=rows, built=built, titles=TITLES))
    for record in everything:
        if record.status == "built":
            print(record.slug, end=" ", flush=True)
            _write_built(source, record)
        else:
            source.write(f"papers/{record.slug}.md", render("planned.md", **_head(record)))


def _head(record: Record) -> dict[str, Any]:
    return {
        "record": record,
        "wing": TITLES[record.wing][0],
        "bibtex": bibtex(record),
        "problems": [(name, name in BUILT_PROBLEMS) for name in record.problems],
    }


def _write_built(source: Source, record: Record) -> None:
    paper, evidence = load_paper(record.module), read_evidence(record)
    known = {part.name: part for part in parts(record.wing)}
    used = [known[name] for name in exports(record.wing, record.module)]
    recorded = {claim["name"]: claim for claim in evidence["claims"]} if evidence else {}
    claims = []
    for name, claim in paper.claims.items():
        found = recorded.get(name)
        drawn = found and not (source.draft and claims)  # a draft draws one figure a paper
        claims.append(
            {
                "name": name,
                "sentence": claim.sentence,
                "bounds": {measure: str(bound) for measure, bound in claim.expect.items()},
                "recorded": found,
                "rows": _measures(found) if found else [],
                "figure": claim_figure(source, record, claim, found) if drawn else None,
                "cost": _cost(found) if found else "",
                "stale": bool(found) and fingerprint(spec_path(record.module), name) != found["fingerprint"],
            }
        )
    text = render(
        "paper.md",
        **_head(record),
        counts=count_verdicts(record),
        parts=used,
        code=_code(record, used),
        claims=claims,
        evidence=evidence,
        total=_total(evidence) if evidence else "",
        departures=paper.departures,
        entries=_entries(record, paper),
    )
    source.write(f"papers/{record.slug}.md", text)


def _measures(recorded: dict[str, Any]) -> list[dict[str, str]]:
    """Ours, what it must be and the paper's own figure, a row a measure."""
    rows = []
    reported = recorded["reported"] or {}
    for name in dict.fromkeys([*recorded["measured"], *reported]):
        measured, theirs = recorded["measured"].get(name), reported.get(name)
        value = theirs["value"] if theirs else ""
        rows.append(
            {
                "name": name.replace("_", " "),
                "ours": quantity(measured["mean"]) if measured else "",
                "span": span_text(measured) if measured else "",
                "bound": recorded["expect"].get(name, ""),
                "theirs": quantity(value) if isinstance(value, int | float) else value,
                "where": theirs["where"] if theirs else "",
            }
        )
    return rows


def _cost(recorded: dict[str, Any]) -> str:
    seeds = f"{recorded['seeds']} seed{'s' if recorded['seeds'] != 1 else ''}"
    return f"{seeds}, {duration(recorded['seconds'])} in all, {quantity(recorded['peak_bytes'], 'bytes')} at most"


def _total(evidence: dict[str, Any]) -> str:
    seconds = sum(claim["seconds"] for claim in evidence["claims"])
    peaks = [claim["peak_bytes"] for claim in evidence["claims"] if claim["peak_bytes"] is not None]
    return f"{duration(seconds)} in all" + (f", {quantity(max(peaks), 'bytes')} at most" if peaks else "")


LIBRARIES = {"torch": "import torch", "np": "import numpy as np", "math": "import math", "nn": "from torch import nn"}


def _code(record: Record, used: list[Part]) -> str:
    """A few lines that use the paper's part: the example of the first part that has one, which the tests run.

    A class comes before a function. What a docstring's example takes from the module around it is imported.
    """
    package = f"replica.{record.wing}"
    known = {part.name for part in parts(record.wing)}
    for part in sorted(used, key=lambda part: part.kind != "class"):
        if part.example:
            code = "\n".join(part.example)
            tree = ast.parse(code)
            names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            bound = {
                alias.asname or alias.name
                for node in ast.walk(tree)
                if isinstance(node, _IMPORTS)
                for alias in node.names
            }
            lines = [line for name, line in LIBRARIES.items() if name in names - bound]
            ours = sorted((names | {part.name}) & known - bound)
            lines += [f"from {package} import {', '.join(ours)}"] if ours else []
            return "\n".join([*lines, *([""] if lines else []), code])
    return f"from {package} import {', '.join(part.name for part in used)}"


def _entries(record: Record, paper: Paper) -> list[dict[str, Any]]:
    """The methods the paper enters into problems, and how each came out in the recorded comparison."""
    found = []
    for entry in paper.entries.values():
        comparison = recorded_comparison(entry.problem)
        rows = comparison["rows"] if comparison else []
        rank = next((place for place, row in enumerate(rows, 1) if row["method"] == entry.name), None)
        result = None
        if comparison and rank:
            row, metric = rows[rank - 1], comparison["metrics"][0]
            measured = row["metrics"].get(metric["name"])
            if measured and not row["errors"]:
                result = {
                    "rank": rank,
                    "of": len(rows),
                    "tied": row["tied_with_best"],
                    "label": metric["label"][0].lower() + metric["label"][1:],
                    "value": quantity(measured["mean"], metric["unit"]),
                    "span": span_text(measured, metric["unit"]),
                }
        found.append({"problem": entry.problem, "name": entry.name, "needs": entry.needs, "result": result})
    return found
