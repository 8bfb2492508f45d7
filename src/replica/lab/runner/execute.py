"""Running one job in this process and storing what comes of it before anything else happens."""

from __future__ import annotations

import os
import platform
import random
import sys
import traceback
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

from replica.lab.claims.measures import to_plain
from replica.lab.claims.trial import Trial

from .job import Job, _one_line
from .limits import Meter, OutOfMemory, TrialTimeout, memory_limit, time_limit
from .store import Store

State = Literal["done", "busy"]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Finished:
    """What came of a trial: its measures and series, or its error; what it cost; the machine that ran it."""

    seconds: float
    peak_bytes: int | None
    machine: dict[str, Any]
    measures: dict[str, Any] | None = None
    series: dict[str, Any] | None = None
    error: str = ""
    traceback: str = ""

    @property
    def status(self) -> Literal["ok", "error"]:
        """As the store has it."""
        return "error" if self.error else "ok"


def use_one_thread() -> None:
    """One thread a worker: trials run side by side, and sums come out the same bit for bit however many do."""
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def execute(job: Job, store_path: Path, *, in_worker: bool = False) -> State:
    """Run a job under its limits and write the result, or its error, to the store.

    Args:
        job: What to run.
        store_path: The store's file.
        in_worker: This process is a worker: one that hangs for good leaves its stack in a file for the run that started it.

    Returns:
        ``"busy"`` where another living process is at it, else ``"done"``.
    """
    store = open_store(store_path, os.getpid(), store_path.stat().st_ino)
    lease = store.lease(job.key, 2 * job.limit_seconds + 60)
    if lease != "taken":
        return lease
    try:
        keep(job, measure(job, hang_file(job, store_path) if in_worker else None), store)
    except BaseException:
        store.release(job.key)  # interrupted, or the store failed: someone may take it again at once
        raise
    return "done"


def hang_file(job: Job, store_path: Path) -> Path:
    """Where a worker that had to be ended leaves the stack of the trial that hung."""
    return store_path.with_name(f"{store_path.name}-hang-{job.key}")


def measure(job: Job, hangs: Path | None = None) -> Finished:
    """Run a job under its limits in this process.

    Args:
        job: What to run.
        hangs: Where the stack is written before this process is ended, if the trial hangs for good.
    """
    with Meter(job.trial.device_name) as meter:
        pass  # so that a failure before the run has a cost to store: none
    try:
        function = job.prepare()
        use_one_thread()
        seed_everything(job.trial)
        with time_limit(job.limit_seconds, hangs), memory_limit(job.limit_bytes), meter:
            measures, series = function()
        result = to_plain(measures) if measures or not series else {}, plain_series(series)
    except (Exception, TrialTimeout, SystemExit) as error:
        kind = "" if isinstance(error, TrialTimeout | OutOfMemory) else f"{type(error).__name__}: "
        said = kind + (_one_line(error) or "no message")
        return Finished(meter.seconds, meter.peak_bytes, machine(), error=said, traceback=traceback.format_exc())
    return Finished(meter.seconds, meter.peak_bytes, machine(), *result)


def keep(job: Job, finished: Finished, store: Store) -> None:
    """Write what came of a job to the store."""
    store.write(job.key, subject=job.subject, seed=job.trial.seed, what=job.what, **vars(finished))


def seed_everything(trial: Trial) -> None:
    """Seed the global generators too, for users' code that draws from them."""
    random.seed(trial.seed)
    np.random.seed(trial.seed)  # noqa: NPY002
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(trial.seed)


def plain_series(value: Any) -> Any:
    """JSON values of series and examples: arrays and tensors become lists, numbers keep six significant digits.

    Raises:
        ValueError: If a number is NaN or infinite, or a value has no JSON form.
    """
    if isinstance(value, dict):
        return {str(key): plain_series(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_series(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "tolist"):
        return plain_series(value.tolist() if not hasattr(value, "detach") else value.detach().cpu().tolist())
    if isinstance(value, float):
        if not np.isfinite(value):
            raise ValueError("a series holds NaN or infinity")
        return float(f"{value:.6g}")
    raise ValueError(f"a series holds a {type(value).__name__}; it may hold numbers, texts, lists and arrays")


@cache
def open_store(path: Path, pid: int, inode: int) -> Store:
    """One connection a process and file: not its parent's after a fork, nor that of a file that was since replaced."""
    return Store(path)


@cache
def machine() -> dict[str, Any]:
    """What ran the trial: versions and processor."""
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("torch", "numpy", "scipy")},
        "system": platform.system(),
        "processor": _processor(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
