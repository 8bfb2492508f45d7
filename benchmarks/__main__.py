"""Run every benchmark, print it beside its arithmetic limit, and write ``benchmarks/results/latest.json``."""

import argparse
import json
import platform
import time
from importlib import import_module
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from replica.lab.report.quantities import quantity

from .case import Case, median_seconds, peak_bytes, peak_flops

HEADS = ("ours beside a peer", "ours", "peer", "ratio", "under", "arithmetic limit", "peak, ours / peer", "updates/s")
NOT_CASES = {"__init__", "__main__", "case", "runner"}
NAMES = sorted({file.stem for file in Path(__file__).parent.glob("*.py")} - NOT_CASES)


def measure(case: Case, best: float) -> dict[str, Any]:
    """Median seconds of ours and the peer in one run, their ratio, and the time that the arithmetic alone would take."""
    ours, peer = median_seconds(case.ours, case.peer)
    return {
        "name": case.name,
        "ours_seconds": ours,
        "peer_seconds": peer,
        "ratio": ours / peer,
        "target": case.target,
        "other_work": case.other_work,
        "limit_seconds": case.operations / best,
        "operations": case.operations,
        "updates_per_second": case.updates / ours if case.updates else None,
        "ours_peak_bytes": peak_bytes(case.ours) if case.memory else None,
        "peer_peak_bytes": peak_bytes(case.peer) if case.memory else None,
    }


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """The geometric mean of the ratios to peers that do the same work, and every ratio above 1 with its arithmetic's part."""
    same = [row["ratio"] for row in rows if not row["other_work"]]
    lines = []
    if same:
        held = sum(ratio <= 1 for ratio in same)
        lines.append(f"Beside peers: geometric mean {geometric_mean(same):.2f}, {held} of {len(same)} at 1 or less.")
    for row in sorted(rows, key=lambda row: -row["ratio"]):
        if row["ratio"] > 1:
            limit = row["limit_seconds"] / row["peer_seconds"]
            kind = ", a cost: the peer does other work" if row["other_work"] else ""
            lines.append(f"  {row['ratio']:.2f} (its arithmetic alone {limit:.2g}{kind}): {row['name']}")
    return lines


def line(case: Case, row: dict[str, Any]) -> list[str]:
    """A case's row of the table."""
    peaks = ""
    if case.memory:
        peaks = " / ".join(quantity(row[f"{side}_peak_bytes"], "bytes") for side in ("ours", "peer"))
    return [
        case.name,
        *(quantity(row[f"{side}_seconds"], "s") for side in ("ours", "peer")),
        f"{row['ratio']:.3g}",
        "cost" if case.other_work else f"{case.target:g}",
        quantity(row["limit_seconds"], "s"),
        peaks,
        f"{row['updates_per_second']:.2g}" if case.updates else "",
    ]


def arguments() -> argparse.Namespace:
    """What to run, and where the figures go."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="Example: python -m benchmarks modern_hopfield")
    names = [*NAMES, "runner"]
    parser.add_argument("names", nargs="*", help=f"only these, of {', '.join(names)}; all by default")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "latest.json")
    given = parser.parse_args()
    unknown = set(given.names) - set(names)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    given.names = given.names or names
    return given


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    console = Console(width=150, highlight=False)
    best = peak_flops()
    console.print(
        f"{platform.machine()}, PyTorch {torch.__version__}, one thread, {best / 1e9:.0f} GFLOP/s at best (float32 product)\n"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in HEADS:
        table.add_column(head, justify="left" if head == HEADS[0] else "right")
    found: dict[str, list[dict[str, Any]]] = {"cases": [], "runner": []}
    for name in given.names:
        if name == "runner":
            continue
        for case in import_module(f"{__package__}.{name}").cases():
            with console.status(case.name):
                found["cases"].append(measure(case, best))
            table.add_row(*line(case, found["cases"][-1]))
    if found["cases"]:
        console.print(table)
        console.print("\n".join(summary(found["cases"])))
    if "runner" in given.names:
        with console.status("the runner's own cost"):
            found["runner"] = import_module(f"{__package__}.runner").rows()
        for row in found["runner"]:
            console.print(f"{row['name']}: {row['value']:.3g} {row['unit']} ({row['target']})")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    given.out.write_text(json.dumps({**facts, "peak_flops": best, **found}, indent=2) + "\n")
    console.print(f"\nWritten: {given.out}")


if __name__ == "__main__":
    main()
