"""How trials run, whatever they are: scale, seeds, device, processes, store, limits."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from replica.errors import ReplicaError
from replica.lab.claims import SCALES, Scale

from .store import default_store

Backend = Literal["local", "ray"]
MOST_SEEDS, MOST_WORKERS, MOST_SECONDS, MOST_BYTES = 10_000, 1024, 1e8, 2**60
"""More trials cannot be planned, and more seconds and bytes neither counted nor had."""


@dataclass(frozen=True)
class Settings:
    """What `replica.verify` and `replica.compare` both take.

    Args:
        scale: ``"smoke"``, ``"laptop"`` or ``"full"``.
        seeds: Trials of each claim, or of each method and point; None takes what each asks for.
        device: ``"cpu"`` or a CUDA device.
        workers: Local processes; 0 for one each processor, 1 to stay in this process.
        store: The store's file; None takes the user's own.
        limit_seconds: Time limit of a trial; None takes the default.
        limit_bytes: Memory limit of a trial; None takes the default.
        quiet: Show no progress.
        backend: ``"local"`` processes, or the Ray cluster that RAY_ADDRESS names or that runs on this machine
            (``"ray"``; ``workers`` then is how many trials run at once).

    Raises:
        ReplicaError: If one of them is unknown or out of range, in one line.
    """

    scale: Scale = "laptop"
    seeds: int | None = None
    device: str = "cpu"
    workers: int = 0
    store: Path | str | None = None
    limit_seconds: float | None = None
    limit_bytes: int | None = None
    quiet: bool = False
    backend: Backend = "local"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ReplicaError(f"Scale must be one of {', '.join(SCALES)}, not {self.scale!r:.60}.")
        if self.seeds is not None:
            _check("--seeds", self.seeds, 1, MOST_SEEDS)
        _check("--jobs", self.workers, 0, MOST_WORKERS, "0 (one for each processor) or more, at most")
        seconds = self.limit_seconds
        if seconds is not None and not 0 < seconds <= MOST_SECONDS:
            raise ReplicaError(f"--limit-seconds must be a positive number up to {MOST_SECONDS:g}, not {seconds:.6g}.")
        if self.limit_bytes is not None:
            object.__setattr__(self, "limit_bytes", min(self.limit_bytes, MOST_BYTES))
        if self.backend not in get_args(Backend):
            raise ReplicaError(f"Backend must be one of {', '.join(get_args(Backend))}, not {self.backend!r:.60}.")
        if self.backend == "ray" and importlib.util.find_spec("ray") is None:
            raise ReplicaError("--backend ray needs Ray: pip install 'replica-papers[ray]'.")
        _check_device(self.device, here=self.backend == "local")

    @property
    def store_path(self) -> Path:
        """The store's file; absolute, as the working folder may change while it is open."""
        return (Path(self.store) if self.store else default_store()).absolute()


def _check(option: str, value: int, least: int, most: int, wanted: str = "") -> None:
    if not least <= value <= most:
        wanted = wanted or f"a whole number from {least} to"
        raise ReplicaError(f"{option} must be {wanted} {most}, not {value!s:.40}.")


def _check_device(name: str, here: bool) -> None:
    if name == "cpu":
        return
    if not re.fullmatch(r"(cuda|mps|xpu)(:\d+)?", name):
        raise ReplicaError(f"Device must be cpu, or a GPU such as cuda or cuda:1, not {name!r:.60}.")
    if not here:  # the cluster's workers have it, or say that they do not
        if name != "cuda":
            raise ReplicaError(f"On a cluster Ray chooses the GPU: use --device cuda, not {name}.")
        return
    import torch

    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = re.split(r"[.:\n]", str(error))[0][:120]  # PyTorch lists all that it could have had instead
        raise ReplicaError(f"Device {name!r} cannot be used ({reason}). Use --device cpu.") from None
