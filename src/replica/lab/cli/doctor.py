"""`replica doctor`: what this machine has, and what would stop a run."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import typer

from replica.errors import ReplicaError

from .output import console, print_json, working

EXAMPLES = "Example: [bold]replica doctor[/bold]"


def doctor(
    store: Path = typer.Option(None, help="The store to look at.", show_default="your own"),
    stale: bool = typer.Option(
        False, "--stale", help="List the definitions whose change would cost most to measure again, and stale studies."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON alone."),
) -> None:
    """Check the installation: versions, devices, the store, data, and whether recorded evidence fits the code."""
    if stale:
        _print_costs(as_json)
        return

    with working("Looking at this machine"):
        checks = [*_versions(), *_devices(), _store(store), _data(), _limits(), _evidence()]
    if as_json:
        print_json(checks)
    else:
        for check in checks:
            mark = {"ok": "[green]✓[/green]", "note": "[yellow]·[/yellow]", "problem": "[red]✗[/red]"}[check["state"]]
            console().print(f"{mark} [bold]{check['name']:12}[/bold] {check['text']}", soft_wrap=True)
    if any(check["state"] == "problem" for check in checks):
        raise typer.Exit(1)


def _check(name: str, state: str, text: str) -> dict[str, Any]:
    return {"name": name, "state": state, "text": text}


def _versions() -> list[dict[str, Any]]:
    from importlib import metadata

    import replica

    found = [_check("replica", "ok", f"{replica.__version__}, {Path(replica.__file__).parent}")]
    state = "ok" if sys.version_info >= (3, 11) else "problem"
    found.append(_check("python", state, f"{platform.python_version()} ({sys.executable})"))
    for package in ("torch", "numpy", "scipy", "pandas", "scikit-learn", "joblib", "matplotlib"):
        try:
            found.append(_check(package, "ok", metadata.version(package)))
        except metadata.PackageNotFoundError:
            found.append(_check(package, "problem", f"missing: pip install {package}"))
    return found


GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""What a GPU's driver makes on Linux: NVIDIA's, Windows' for Linux inside it, AMD's. Without one PyTorch sees no GPU."""


def _devices() -> list[dict[str, Any]]:
    """Processor and GPUs; PyTorch takes seconds to import and is asked only where there may be a GPU."""
    from importlib import metadata

    found = [_check("processor", "ok", f"{_count(os.cpu_count() or 1, 'core')}; one thread in each trial")]
    built_without = metadata.version("torch").endswith("+cpu")
    if built_without or (platform.system() == "Linux" and not any(map(os.path.exists, GPU_FILES))):
        why = "this PyTorch is built without" if built_without else "no driver is there"
        return [*found, _check("gpu", "note", f"none ({why}); everything runs on the processor")]
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return [*found, _check("gpu", "ok", f"{names}; use --device cuda")]
    return [*found, _check("gpu", "note", "none that PyTorch can use; everything runs on the processor")]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _store(path: Path | None) -> dict[str, Any]:
    from replica.lab.runner.store import Store, default_store

    where = path or default_store()
    if not where.exists():
        # Looking must not make one.
        standing = next(folder for folder in where.absolute().parents if folder.exists())
        if standing.is_dir() and os.access(standing, os.W_OK):
            return _check("store", "ok", f"{where}, not there yet: the first run makes it")
    try:
        with Store(where) as store:
            return _check("store", "ok", f"{where}, {_count(store.count(), 'trial')}")
    except ReplicaError as error:
        return _check("store", "problem", str(error))


def _data() -> dict[str, Any]:
    folder = os.environ.get("REPLICA_DATA")
    if not folder:
        why = "REPLICA_DATA is not set: data sets that packages do not carry are downloaded once and kept"
        return _check("data", "note", why)
    if not Path(folder).is_dir():
        return _check("data", "problem", f"REPLICA_DATA names {folder}, which is no folder")
    held = ", ".join(sorted(path.name for path in Path(folder).iterdir() if path.is_dir()))
    return _check("data", "ok", f"REPLICA_DATA is {folder}: {held}")


def _limits() -> dict[str, Any]:
    if platform.system() == "Linux":
        return _check("limits", "ok", "time and memory limits of trials are enforced")
    return _check("limits", "note", "time limits are enforced; memory limits need Linux")


def _evidence() -> dict[str, Any]:
    from replica.lab.runner.freshness import is_stale, recorded_studies

    studies = list(recorded_studies(arenas=False))
    stale = [f"{known.slug}/{name}" for known, name, study in studies if is_stale(known, name, study)]
    if stale:
        old = f"{len(stale)} of {len(studies)} studies were measured on other code: {', '.join(stale)}"
        return _check("evidence", "note", old)
    told = f"{len(studies)} studies that are functions, all measured on the code as it is; --stale looks at comparisons, too"
    return _check("evidence", "ok", told)


def _print_costs(as_json: bool) -> None:
    """What of the code costs most to change: the recorded seconds of all studies that depend on it."""
    from replica.lab.runner.fingerprint import stale_costs
    from replica.lab.runner.freshness import costs, is_stale, recorded_studies
    from replica.lab.runner.progress import duration

    with working("Following what the evidence depends on"):
        dear = stale_costs(costs())
        old = [f"{known.slug}/{name}" for known, name, study in recorded_studies() if is_stale(known, name, study)]
    if as_json:
        print_json({"stale": old, "costs": [{"definition": name, "seconds": round(s, 1)} for name, s in dear]})
        return
    console().print("Measured again if changed:\n")
    for name, seconds in dear[:40]:
        console().print(f"{duration(seconds):>10}  {name}", soft_wrap=True)
    console().print(f"\nMeasured on other code: {', '.join(old) or 'nothing'}", soft_wrap=True)
