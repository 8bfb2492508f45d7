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

from .job import Job
from .limits import Meter, OutOfMemory, TrialTimeout, memory_limit, time_limit
from .processes import THREAD_VARIABLES
from .store import Finished, Row, Store

State = Literal["done", "busy"]
LONGEST_ERROR, LONGEST_TRACEBACK = 300, 20_000


def use_one_thread() -> None:
    """One thread a worker: trials run side by side, and sums come out the same bit for bit however many do."""
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def execute(job: Job, store: Store) -> State:
    """Run a job that is leased in this process, and store its result or error."""
    try:
        keep(job, measure(job), store)
    except BaseException:
        store.release(job.key)  # interrupted, or the store failed: someone may take it again at once
        raise
    return "done"


def measure(job: Job, *, alone: bool = False) -> Finished:
    """Run a job under its limits in this process; where it is the trial's ``alone``, it raises nothing, not even of Ctrl-C."""
    with Meter(job.trial.device_name) as meter:
        pass  # so that a failure before the run has a cost to store: none
    try:
        with time_limit(job.limit_seconds):
            function = job.prepare()
            use_one_thread()
            seed_everything(job.trial)
            with memory_limit(job.limit_bytes), meter:
                measures, series = function()
            measures, series = to_plain(measures) if measures or not series else {}, plain_series(series)
    except BaseException as error:
        if not alone and isinstance(error, KeyboardInterrupt):
            raise
        said, where = described(error)
        return failed(said, where, meter.seconds, meter.peak_bytes)
    return Finished(
        seconds=meter.seconds, peak_bytes=meter.peak_bytes, machine=machine(), measures=measures, series=series
    )


def failed(error: str, traceback: str = "", seconds: float = 0.0, peak_bytes: int | None = None) -> Finished:
    """What came of a trial that ended in an error."""
    return Finished(seconds=seconds, peak_bytes=peak_bytes, machine=machine(), error=error, traceback=traceback)


def described(error: BaseException) -> tuple[str, str]:
    """An exception in one line, and its traceback: also of one that cannot say what it is."""
    try:
        text = " ".join(str(error).split()) or "no message"
    except BaseException:
        text = "its message cannot be read"
    kind = "" if isinstance(error, TrialTimeout | OutOfMemory) else f"{type(error).__name__}: "
    try:
        where = "".join(traceback.format_exception(error))
    except BaseException:
        where = ""
    return _storable(kind + text)[:LONGEST_ERROR], _storable(where)[-LONGEST_TRACEBACK:]


def _storable(text: str) -> str:
    """The text without what no file takes: halves of characters."""
    return text.encode("utf-8", "backslashreplace").decode()


def keep(job: Job, finished: Finished, store: Store) -> None:
    """Write what came of a job to the store."""
    store.write(Row(key=job.key, subject=job.subject, seed=job.trial.seed, what=job.what, **vars(finished)))


def seed_everything(trial: Trial) -> None:
    """Seed the global generators too, for users' code that draws from them."""
    random.seed(trial.seed)
    np.random.seed(trial.seed)  # noqa: NPY002
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(trial.seed)


def plain_series(value: Any) -> Any:
    """JSON values of series and examples: arrays and tensors become lists, numbers keep six significant digits."""
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
