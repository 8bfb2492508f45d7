"""Limits on the time and memory of a trial, and what it really used."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import sys
import threading
import time
from collections.abc import Iterator
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
def time_limit(seconds: float, hang_file: Path | None = None) -> Iterator[None]:
    """Raise `TrialTimeout` in the body after ``seconds``.

    The alarm interrupts Python code and waiting, but not compiled code, which may even hold the interpreter. What still runs
    after a grace period is ended with its whole process, by a thread of C that needs no interpreter.

    Args:
        seconds: The limit.
        hang_file: Where the stack is written before the process is ended; standard error where None.
    """

    def ring(signum: int, frame: FrameType | None) -> None:
        raise TrialTimeout(f"ran past its limit of {seconds:g} s")

    # Python allows an alarm in the main thread only, and Windows has none; there the process is ended after the grace.
    alarm = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(hang_file.open("w")) if hang_file else sys.__stderr__
        if file is not None:
            faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True, file=file)
            stack.callback(faulthandler.cancel_dump_traceback_later)
        if alarm:
            previous = signal.signal(signal.SIGALRM, ring)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            stack.callback(signal.signal, signal.SIGALRM, previous)
            stack.callback(signal.setitimer, signal.ITIMER_REAL, 0)
        yield
    if hang_file:
        hang_file.unlink(missing_ok=True)


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
