"""Limits on the time and memory of a trial, and what it really used."""

from __future__ import annotations

import contextlib
import faulthandler
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

GRACE_SECONDS = 10.0
"""How long compiled code that does not hear the alarm may go on before its process is ended."""
WALL_FACTOR = 5.0
MOST_SECONDS = 2**31


class TrialTimeout(BaseException):
    """A trial ran past its time. Not an `Exception`, so that a method's own ``except Exception`` cannot swallow it."""


class OutOfMemory(Exception):
    """A trial asked for more memory than its limit."""


def wall_seconds(seconds: float) -> float:
    """How long a trial may take by the clock that may compute for so long: a busy machine lets it wait."""
    return WALL_FACTOR * seconds


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TrialTimeout` in the body after ``seconds`` of this process's computing, or `wall_seconds` of them by the clock.

    The alarm interrupts Python code and waiting, but not compiled code, which may even hold the interpreter. What still runs
    after a grace period is ended with its whole process, by the system or by a thread of C that needs no interpreter.
    """
    wall = wall_seconds(seconds)

    def ring(signum: int, frame: FrameType | None) -> None:
        waited = "" if signum == signal.SIGPROF else f": {wall:g} s went by, in which it mostly waited"
        raise TrialTimeout(f"ran past its limit of {seconds:g} s{waited}")

    # Python allows an alarm in the main thread only, and Windows has none; there the process is ended after the grace.
    alarm = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    with contextlib.ExitStack() as kept:
        file = sys.__stderr__
        if file is not None:
            faulthandler.dump_traceback_later(wall + GRACE_SECONDS, exit=True, file=file)
            kept.callback(faulthandler.cancel_dump_traceback_later)
            if hasattr(signal, "SIGXCPU"):
                kept.enter_context(_end_at(seconds + GRACE_SECONDS, file))
        if alarm:
            for signum, timer, limit in (
                (signal.SIGPROF, signal.ITIMER_PROF, seconds), (signal.SIGALRM, signal.ITIMER_REAL, wall),
            ):  # fmt: skip
                kept.callback(signal.signal, signum, signal.signal(signum, ring))
                signal.setitimer(timer, limit)
                kept.callback(signal.setitimer, timer, 0)
        yield


@contextmanager
def _end_at(seconds: float, file: TextIO) -> Iterator[None]:
    """Let the system end this process, its stack told, once it has computed so much longer."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = math.ceil(time.process_time() + seconds)
    if limit < (hard if hard != resource.RLIM_INFINITY else MOST_SECONDS):
        faulthandler.register(signal.SIGXCPU, file=file, chain=True)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
        faulthandler.unregister(signal.SIGXCPU)


@contextmanager
def memory_limit(extra_bytes: int) -> Iterator[None]:
    """Let the body allocate at most ``extra_bytes`` beyond what the process has now (Linux; elsewhere no limit is set).

    An allocation past the limit is refused by the system at once and so has a traceback; it comes out as `OutOfMemory`.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _status_bytes("VmData") + extra_bytes
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # PyTorch's allocator says so in a RuntimeError of its own.
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise OutOfMemory(f"asked for more than its limit of {extra_bytes / 2**20:,.0f} MiB") from error
        raise
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


class Meter:
    """Wall seconds and peak memory between entering and leaving, where the system tells them."""

    seconds: float
    peak_bytes: int | None

    def __init__(self, device_name: str = "cpu") -> None:
        self._cuda = device_name.startswith("cuda")

    def __enter__(self) -> Meter:
        self.seconds, self.peak_bytes = 0.0, None
        self._resident = _reset_peak()
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        if self._cuda:
            import torch

            self.peak_bytes = int(torch.cuda.max_memory_allocated())
        elif self._resident is not None:
            self.peak_bytes = max(0, _status_bytes("VmHWM") - self._resident)


def _reset_peak() -> int | None:
    """Let the system measure the peak resident memory anew; returns the resident memory now, None where it cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status_bytes("VmRSS")
    except OSError:
        return None


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")
