"""A page a paper: idea, claims with verdicts, the paper's figures beside ours, cost, departures, code, citation."""

from __future__ import annotations

import ast
from typing import Any

from replica.lab.catalogue import (
    Record,
    bibtex,
    count_verdicts,
    find,
    read_evidence,
    recorded_rows,
    records,
    shown_verdict,
)
from replica.lab.claims import Paper, Registration
from replica.lab.claims.registration import SETTINGS
from replica.lab.cli.show import exports
from replica.lab.report.quantities import quantity, span_text
from replica.lab.runner.freshness import is_stale
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
        found, said = recorded.get(name), claim.registration
        drawn = evidence and found and not (source.draft and any(each["figure"] for each in claims))  # one a paper
        claims.append(
            {
                "name": name,
                "said": said,
                "setting": SETTINGS[said.setting],
                "verdict": shown_verdict(found) if found else "planned",
                "recorded": found,
                "rows": _measures(found, said) if found else [],
                "figure": claim_figure(source, record, claim, recorded_rows(evidence, found)) if drawn else None,
                "why": said.explain(found["measured"]) if found else "",
                "unmet": [gate for gate, met in found["gates_met"].items() if not met] if found else [],
                "cost": _cost(found) if found else "",
                "stale": bool(evidence and found)
                and is_stale(record, found["study"], evidence["studies"][found["study"]]),
            }
        )
    text = render(
        "paper.md",
        **_head(record),
        counts=count_verdicts(record),
        parts=used,
        code=_code(record, used),
        claims=claims,
        withdrawn=[said for said in paper.registered.claims.values() if said.withdrawn],
        evidence=evidence,
        total=_total(evidence) if evidence else "",
        departures=paper.departures,
        entries=_entries(record, paper),
    )
    source.write(f"papers/{record.slug}.md", text)


def write_verdicts(source: Source) -> None:
    """Write the page of all verdicts: a row a claim, wing by wing."""
    wings = []
    for wing in TITLES:
        rows = []
        for record in find(wing=wing, status="built"):
            registered = load_paper(record.module).registered
            evidence = read_evidence(record)
            recorded = {claim["name"]: claim for claim in evidence["claims"]} if evidence else {}
            for name, said in registered.claims.items():
                if not said.withdrawn:
                    verdict = shown_verdict(recorded[name]) if name in recorded else "planned"
                    rows.append((record, said, verdict, SETTINGS[said.setting]))
        if rows:
            wings.append((TITLES[wing][0], rows))
    source.write("verdicts.md", render("verdicts.md", wings=wings))


def _measures(recorded: dict[str, Any], said: Registration) -> list[dict[str, str]]:
    """Ours, what it must be and the paper's own figure, a row a measure; judged ones first, then controls, then the rest."""
    rows = []
    for name in dict.fromkeys([*said.expect, *said.gates, *said.diagnose, *recorded["measured"], *said.reported]):
        measured, theirs = recorded["measured"].get(name), said.reported.get(name)
        value = theirs.value if theirs else ""
        bound = str(said.expect.get(name, ""))
        if name in said.smallest:
            bound += f"; no effect within ±{said.smallest[name]:g}"
        if name in said.gates:
            bound = f"{said.gates[name]} (control)"
        elif name in said.diagnose:
            bound = f"{said.diagnose[name]} (shown, not judged)"
        rows.append(
            {
                "name": name.replace("_", " "),
                "ours": quantity(measured["mean"]) if measured else "",
                "span": span_text(measured) if measured else "",
                "bound": bound,
                "theirs": quantity(value) if isinstance(value, int | float) else value,
                "where": theirs.where if theirs else "",
            }
        )
    return rows


def _cost(recorded: dict[str, Any]) -> str:
    seeds = f"{recorded['seeds']} seed{'s' if recorded['seeds'] != 1 else ''}"
    return f"{seeds}, {duration(recorded['seconds'])} in all, {quantity(recorded['peak_bytes'], 'bytes')} at most"


def _total(evidence: dict[str, Any]) -> str:
    seconds = sum(sum(study["seconds"]) for study in evidence["studies"].values())
    peaks = [study["peak_bytes"] for study in evidence["studies"].values()]
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
