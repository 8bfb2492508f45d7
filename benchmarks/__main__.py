"""Run every benchmark, print it beside its arithmetic limit, and write ``benchmarks/results/latest.json``."""

import argparse
import json
import platform
import time
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from replica.lab.report.quantities import quantity

from . import (
    active_dendrites,
    codebook,
    counter_current,
    delayed_linear,
    dense_hebbian,
    dense_rsb,
    equilibrium_propagation,
    hopular,
    hypernetwork,
    key_value_bottleneck,
    limit_kernels,
    local_training,
    memory_controller,
    mgno,
    modern_hopfield,
    monotone_boltzmann,
    multitasking,
    place_recognition,
    potential_dependent_surrogate,
    resistive_liquid,
    runner,
    sparsey,
    spatial_liquid,
    spike_gpt,
    spiking_neurons,
    target_projection,
    unit_matching,
)  # fmt: skip
from .case import Case, median_seconds, peak_bytes, peak_flops

HEADS = ("ours beside a peer", "ours", "peer", "ratio", "under", "arithmetic limit", "peak, ours / peer", "updates/s")
MODULES = {
    "codebook": codebook,
    "modern_hopfield": modern_hopfield,
    "dense_hebbian": dense_hebbian,
    "dense_rsb": dense_rsb,
    "multitasking": multitasking,
    "monotone_boltzmann": monotone_boltzmann,
    "active_dendrites": active_dendrites,
    "limit_kernels": limit_kernels,
    "hypernetwork": hypernetwork,
    "mgno": mgno,
    "unit_matching": unit_matching,
    "local_training": local_training,
    "key_value_bottleneck": key_value_bottleneck,
    "sparsey": sparsey,
    "memory_controller": memory_controller,
    "hopular": hopular,
    "spatial_liquid": spatial_liquid,
    "spiking_neurons": spiking_neurons,
    "delayed_linear": delayed_linear,
    "potential_dependent_surrogate": potential_dependent_surrogate,
    "spike_gpt": spike_gpt,
    "resistive_liquid": resistive_liquid,
    "place_recognition": place_recognition,
    "equilibrium_propagation": equilibrium_propagation,
    "counter_current": counter_current,
    "target_projection": target_projection,
}


def measure(case: Case, best: float) -> dict[str, float | str | None]:
    """Median seconds of ours and the peer in one run, their ratio, and the time that the arithmetic alone would take."""
    ours, peer = median_seconds(case.ours, case.peer)
    return {
        "name": case.name,
        "ours_seconds": ours,
        "peer_seconds": peer,
        "ratio": ours / peer,
        "target": case.target,
        "limit_seconds": case.operations / best,
        "operations": case.operations,
        "updates_per_second": case.updates / ours if case.updates else None,
        "ours_peak_bytes": peak_bytes(case.ours) if case.memory else None,
        "peer_peak_bytes": peak_bytes(case.peer) if case.memory else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog="Example: python -m benchmarks modern_hopfield")
    parser.add_argument("names", nargs="*", help=f"only these, of {', '.join([*MODULES, 'runner'])}; all by default")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "latest.json")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {*MODULES, "runner"}
    if unknown:
        parser.error(
            f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join([*MODULES, 'runner'])}"
        )
    torch.set_num_threads(1)
    console = Console(width=150, highlight=False)
    best = peak_flops()
    console.print(
        f"{platform.machine()}, PyTorch {torch.__version__}, one thread, {best / 1e9:.0f} GFLOP/s at best (float32 product)\n"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in HEADS:
        table.add_column(head, justify="left" if head == HEADS[0] else "right")
    found: dict[str, list] = {"cases": [], "runner": []}
    for name, module in MODULES.items():
        if arguments.names and name not in arguments.names:
            continue
        for case in module.cases():
            with console.status(case.name):
                row = measure(case, best)
            found["cases"].append(row)
            peaks = ""
            if case.memory:
                peaks = " / ".join(quantity(row[f"{side}_peak_bytes"], "bytes") for side in ("ours", "peer"))
            table.add_row(
                case.name, quantity(row["ours_seconds"], "s"), quantity(row["peer_seconds"], "s"), f"{row['ratio']:.3g}",
                f"{case.target:g}", quantity(row["limit_seconds"], "s"), peaks,
                f"{row['updates_per_second']:.2g}" if case.updates else "",
            )  # fmt: skip
    if found["cases"]:
        console.print(table)
    if not arguments.names or "runner" in arguments.names:
        with console.status("the runner's own cost"):
            found["runner"] = runner.rows()
        for row in found["runner"]:
            console.print(f"{row['name']}: {row['value']:.3g} {row['unit']} ({row['target']})")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    arguments.out.write_text(json.dumps({**facts, "peak_flops": best, **found}, indent=2) + "\n")
    console.print(f"\nWritten: {arguments.out}")


main()
