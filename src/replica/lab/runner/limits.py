"""Limits on the time and memory of a trial, and what it really used."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

GRACE_SECONDS = 10.0
"""How long compiled code that does not hear the alarm may go on before its process is ended."""


class TrialTimeout(BaseException):
    """A trial ran past its time. Not an `Exception`, so that a method's own ``except Exception`` cannot swallow it."""


class OutOfMemory(Exception):
    """A trial asked for more memory than its limit."""


@contextmanager
def time_limit(seconds: float, on_hang: Callable[[str], None]) -> Iterator[None]:
    """Raise `TrialTimeout` in the body after ``seconds``.

    The alarm interrupts Python code and waiting. Compiled code that holds the interpreter cannot be interrupted: after a grace
    period ``on_hang(stack)`` is called from another thread and the process ends with status 70.

    Args:
        seconds: The limit.
        on_hang: Records the hung trial; gets the stack where it hangs.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    finished = threading.Event()

    def watch() -> None:
        if not finished.wait(seconds + (GRACE_SECONDS if in_main_thread else 0)):
            with tempfile.TemporaryFile("w+") as file:
                faulthandler.dump_traceback(file, all_threads=True)
                file.seek(0)
                stack = file.read()
            on_hang(stack)
            os._exit(70)

    def ring(signum: int, frame: FrameType | None) -> None:
        raise TrialTimeout(f"ran past its limit of {seconds:g} s")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    previous = signal.signal(signal.SIGALRM, ring) if in_main_thread else None
    if in_main_thread:
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        if in_main_thread:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        finished.set()
        watcher.join()


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
