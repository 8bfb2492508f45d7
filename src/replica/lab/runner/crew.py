"""Trials on processes: a user's method on a fresh one that ends with it, Replica's own on one that goes on to the next."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Self

from .execute import described, failed, measure
from .job import Job
from .limits import GRACE_SECONDS, wall_seconds
from .processes import Died, Failed, Process, wait
from .store import Finished

START_SECONDS = 60.0
"""What a process may take to begin with a trial."""
_idle: list[Process] = []
"""Processes that have run Replica's own trials and wait for more, also of a later run: they have read data and imported."""


def measured(job: Job) -> dict[str, Any]:
    """What comes of a job in a process that is there for it."""
    return vars(measure(job, alone=True))


class Crew:
    """Runs up to ``size`` trials at once, each by a call of ``run`` in its process; leaving it ends what still runs.

    A trial is a `Job`, or what is known of one before it is unpickled: its key, its limit, whether it is isolated.
    """

    def __init__(self, size: int, run: Callable[[Any], dict[str, Any]] = measured) -> None:
        self._size, self._run = size, run
        self._at: dict[Process, tuple[Any, float]] = {}
        self._died: set[str] = set()
        self._unsent: list[tuple[Any, Finished]] = []

    @property
    def busy(self) -> int:
        """How many trials are under way."""
        return len(self._at) + len(self._unsent)

    @property
    def has_room(self) -> bool:
        """Whether one more can be sent."""
        return self.busy < self._size

    def send(self, job: Any, *, fresh: bool = False) -> None:
        """Begin a trial."""
        process = Process() if fresh or job.isolated else _waiting() or Process()
        self._at[process] = job, time.monotonic()
        try:
            process.send(partial(self._run, job))
        except Exception as error:  # such as a method that cannot be pickled
            self._leave(process)
            said, where = described(error)
            self._unsent.append((job, failed(f"it cannot be sent to a process of its own ({said})", where)))

    def finished(self) -> Iterator[tuple[Any, Finished]]:
        """What has come of trials; waits a moment where nothing has."""
        if not self._unsent:
            wait(self._at, 0.5)
        while self._unsent:
            yield self._unsent.pop()
        for process, (job, began) in list(self._at.items()):
            finished = self._finished(process, job, time.monotonic() - began)
            if finished:
                yield job, replace(finished, output=process.output.decode(errors="replace"))

    def _finished(self, process: Process, job: Any, seconds: float) -> Finished | None:
        patience = wall_seconds(job.limit_seconds)
        try:
            answer = process.read()
            if answer is None and seconds < START_SECONDS + patience + 2 * GRACE_SECONDS:
                return None
            if answer is not None:
                self._leave(process, keep=not job.isolated)
                return Finished(**answer)
            said, where = _hung(job), ""
        except Failed as error:
            said, where = error.args
        except Died as death:
            hung = death.code == -signal.SIGXCPU or seconds > patience
            if not hung and job.key not in self._died:  # once more, where no other trial has left a trace
                self._died.add(job.key)
                self._leave(process)
                self.send(job, fresh=True)
                return None
            said, where = _hung(job) if hung else died(death.code), process.output.decode(errors="replace")
        self._leave(process)
        return failed(said, where)

    def _leave(self, process: Process, keep: bool = False) -> None:
        del self._at[process]
        if keep:
            _idle.append(process)
        elif not process.ended:
            process.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in list(self._at):
            self._leave(process)


def _waiting() -> Process | None:
    """A process that waits for another trial, if there is one that lives."""
    while _idle:
        process = _idle.pop()
        try:
            process.read()
        except (Died, Failed):
            continue
        return process
    return None


def _hung(job: Any) -> str:
    return f"ran past its limit of {job.limit_seconds:g} s and did not stop"


def died(code: int) -> str:
    """How a process died, by its exit code."""
    if code >= 0:
        return f"its process died: it ended with exit code {code}"
    names = {number.value: number.name for number in signal.Signals}
    perhaps = "killed by the system, perhaps for memory" if -code == signal.SIGKILL else "crashed, or ended by a method"
    return f"its process died of {names.get(-code, f'signal {-code}')} ({perhaps})"
