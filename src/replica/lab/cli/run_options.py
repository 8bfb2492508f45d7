"""The options that say how trials run, the same for every command, and how people write limits."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import typer

from replica.errors import ReplicaError


def path_given(given: Any) -> Any:
    """A path, or several, that the system can look up."""
    for path in map(str, given if isinstance(given, list) else [given] if given else []):
        if path.startswith("~") and os.path.expanduser(path) == path:
            raise typer.BadParameter(f"There is no user {path.split('/')[0]!r:.60}; a file of that name is ./~….")
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # what that means is said by who needs it
        except (OSError, ValueError) as error:
            raise typer.BadParameter(f"{path!r:.60} is no path: {getattr(error, 'strerror', None) or error}.") from None
    return given


FIGURE = typer.Option(None, callback=path_given, help="Draw the picture into this .png, .svg or .pdf file, too.")
DEVICE = typer.Option("cpu", help="cpu, or a CUDA device such as cuda.")
JOBS = typer.Option(
    0, help="Worker processes; 0 for one each processor, 1 to stay in this one. On a cluster, trials at once."
)
BACKEND = typer.Option(
    "local", help="local, or ray for the Ray cluster that RAY_ADDRESS names or that runs on this machine."
)
LIMIT_SECONDS = typer.Option(
    None,
    help="A trial that computes longer, or takes five times as long by the clock, is stopped and counts as an error.",
    show_default="120; a claim's own",
)
LIMIT_MEMORY = typer.Option(
    None,
    help="A trial that allocates more, such as 500MB or 4GB, counts as an error.",
    show_default="8GiB; a claim's own",
)
STORE = typer.Option(None, callback=path_given, help="The file that keeps finished trials.", show_default="your own")
TRACK = typer.Option(None, metavar="mlflow", help="Log the results to a tracker, too.")
JSON = typer.Option(False, "--json", help="Print JSON alone.")


def settings(
    scale: str,
    seeds: int | None,
    device: str,
    jobs: int,
    backend: str,
    store: Path | None,
    limit_seconds: float | None,
    limit_memory: str | None,
) -> dict[str, Any]:
    """The options as `replica.lab.runner.settings.Settings` takes them."""
    return {
        "scale": scale, "seeds": seeds, "device": device, "workers": jobs, "backend": backend, "store": store,
        "limit_seconds": limit_seconds, "limit_bytes": read_bytes("--limit-memory", limit_memory),
    }  # fmt: skip


_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _UNITS |= {f"{_letter}b": 1000**_power, f"{_letter}ib": 1024**_power}


def read_bytes(option: str, text: str | None) -> int | None:
    """``"500MB"``, ``"4 GiB"`` or plain bytes."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,30}(?:\.\d{1,30})?)\s*([kmgt]?i?b?)\s*", text.lower())
    unit = match and (match[2] if match[2] in _UNITS else match[2] + "b")
    if not match or unit not in _UNITS or float(match[1]) * _UNITS[unit] < 1:
        raise ReplicaError(f"{option} must be an amount of memory such as 500MB or 4GB, not {text!r:.60}.")
    return int(float(match[1]) * _UNITS[unit])
