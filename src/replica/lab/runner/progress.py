"""Progress on the terminal, with time left; plain lines where the output is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

QUIET_SECONDS = 2.0
LINE_SECONDS = 5.0


class Reporter(Protocol):
    """Hears how far a run is."""

    def __enter__(self) -> Reporter: ...

    def __exit__(self, *error: object) -> None: ...

    def advance(self, subject: str) -> None:
        """One more trial is done."""


class Bar:
    """A bar on standard error, as standard output may be read by a machine."""

    def __init__(self, title: str, total: int, done: int) -> None:
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("trials"),
            TimeElapsedColumn(), TextColumn("elapsed,"), TimeRemainingColumn(), TextColumn("left"),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task(title, total=total, completed=done)
        self._title = title

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def advance(self, subject: str) -> None:
        """One more trial is done."""
        self._progress.update(self._task, advance=1, description=f"{self._title} [dim]{subject}[/dim]")


class Lines:
    """A line every few seconds, for logs."""

    def __init__(self, title: str, total: int, done: int) -> None:
        self._title, self._total, self._done = title, total, done
        self._start = self._last = time.monotonic()
        self._first: tuple[int, float] | None = None  # how many were done when, after the first trial

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def advance(self, subject: str) -> None:
        """One more trial is done."""
        self._done += 1
        now = time.monotonic()
        self._first = self._first or (self._done, now)
        if now - self._start < QUIET_SECONDS or (now - self._last < LINE_SECONDS and self._done < self._total):
            return
        self._last = now
        left = ""
        if self._done > self._first[0]:
            # Timed from the first trial's end: before it, workers start and import.
            pace = (now - self._first[1]) / (self._done - self._first[0])
            left = f", {duration(pace * (self._total - self._done))} left"
        print(f"{self._title}: {self._done} of {self._total} trials{left}", file=sys.stderr, flush=True)


class Silence:
    """Says nothing."""

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def advance(self, subject: str) -> None:
        """One more trial is done."""


def reporter(title: str, total: int, done: int, quiet: bool = False) -> Reporter:
    """The reporter that fits where standard error goes."""
    if quiet or done >= total:
        return Silence()
    return Bar(title, total, done) if sys.stderr.isatty() else Lines(title, total, done)


def duration(seconds: float) -> str:
    """Seconds as people say them: ``"42 s"``, ``"3 min"``, ``"1 h 20 min"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
