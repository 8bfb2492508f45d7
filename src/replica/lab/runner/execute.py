"""Running one job in this process and storing what comes of it before anything else happens."""

from __future__ import annotations

import os
import platform
import random
import sys
import traceback
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
        _run(job, store, hang_file(job, store_path) if in_worker else None)
    except BaseException:
        store.release(job.key)  # interrupted, or the store failed: someone may take it again at once
        raise
    return "done"


def hang_file(job: Job, store_path: Path) -> Path:
    """Where a worker that had to be ended leaves the stack of the trial that hung."""
    return store_path.with_name(f"{store_path.name}-hang-{job.key}")


def _run(job: Job, store: Store, hangs: Path | None) -> None:
    meter = Meter(job.trial.device_name)

    def keep(
        error: str = "",
        trace: str = "",
        measures: dict[str, Any] | None = None,
        series: dict[str, Any] | None = None,
    ) -> None:
        store.write(
            job.key, subject=job.subject, seed=job.trial.seed, what=job.what, seconds=meter.seconds,
            peak_bytes=meter.peak_bytes, machine=machine(), measures=measures, series=series, error=error, traceback=trace,
        )  # fmt: skip

    with meter:
        pass  # so that a failure before the run has a cost to store: none
    try:
        function = job.prepare()
        use_one_thread()
        seed_everything(job.trial)
        with time_limit(job.limit_seconds, hangs), memory_limit(job.limit_bytes), meter:
            measures, series = function()
        result = to_plain(measures), plain_series(series)
    except (Exception, TrialTimeout, SystemExit) as error:
        kind = "" if isinstance(error, TrialTimeout | OutOfMemory) else f"{type(error).__name__}: "
        keep(error=kind + (_one_line(error) or "no message"), trace=traceback.format_exc())
        return
    keep(measures=result[0], series=result[1])


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
