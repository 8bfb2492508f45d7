"""Progress on the terminal, with time left; plain lines where the output is no terminal."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
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
RECENT = 12
"""How many trials the time left is told by."""


class Reporter:
    """Hears how far a run is, and says nothing."""

    def __init__(self, done: int = 0) -> None:
        self.done = done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def advance(self, subject: str) -> None:
        """One more trial is done."""
        self.done += 1

    def show(self, known: RenderableType, line: str) -> None:
        """What is known so far: all of it, to be seen above a bar, and the newest of it as a line of a log."""


class Bar(Reporter):
    """A bar on standard error, as standard output may be read by a machine."""

    def __init__(self, title: str, total: int, done: int) -> None:
        super().__init__(done)
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("trials"),
            TimeElapsedColumn(), TextColumn("elapsed,"), TimeRemainingColumn(), TextColumn("left"), auto_refresh=False,
        )  # fmt: skip
        self._live = Live(self._progress, console=Console(stderr=True), transient=True, refresh_per_second=10)
        self._task = self._progress.add_task(title, total=total, completed=done)
        self._title = title

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def advance(self, subject: str) -> None:
        """One more trial is done."""
        super().advance(subject)
        self._progress.update(self._task, advance=1, description=f"{self._title} [dim]{subject}[/dim]")

    def show(self, known: RenderableType, line: str) -> None:
        """What is known so far, above the bar."""
        self._live.update(Group(known, self._progress))


class Lines(Reporter):
    """A line every few seconds and for all that is known, for logs; none where all is done at once."""

    def __init__(self, title: str, total: int, done: int) -> None:
        super().__init__(done)
        self._title, self._total = title, total
        self._start = self._last = time.monotonic()
        self._ends: deque[float] = deque(maxlen=RECENT)
        self._held: list[str] = []

    def advance(self, subject: str) -> None:
        """One more trial is done."""
        super().advance(subject)
        now = time.monotonic()
        self._ends.append(now)
        if now - self._start < QUIET_SECONDS or (now - self._last < LINE_SECONDS and self.done < self._total):
            return
        self._last = now
        left = ""
        if len(self._ends) > 1 and self.done < self._total:
            # By the ends of the last trials: workers start and import before the first, and slow trials come last.
            pace = (now - self._ends[0]) / (len(self._ends) - 1)
            left = f", {duration(pace * (self._total - self.done))} left at this pace"
        print(f"{self._title}: {self.done} of {self._total} trials{left}", file=sys.stderr, flush=True)

    def show(self, known: RenderableType, line: str) -> None:
        """The newest of what is known; held back while all may be done at once."""
        self._held.append(line)
        if time.monotonic() - self._start >= QUIET_SECONDS:
            print(*self._held, sep="\n", file=sys.stderr, flush=True)
            self._held = []


def reporter(title: str, total: int, done: int, quiet: bool = False) -> Reporter:
    """The reporter that fits where standard error goes."""
    if quiet or done >= total:
        return Reporter(done)
    return Bar(title, total, done) if sys.stderr.isatty() else Lines(title, total, done)


def duration(seconds: float) -> str:
    """Seconds as people say them: ``"42 s"``, ``"3 min"``, ``"1 h 20 min"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
