"""Running many jobs: what the store lacks, on local processes or a cluster, until all are done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import joblib

from replica.errors import Interrupted

from .crew import Crew
from .execute import State, execute, keep
from .job import Job
from .leftovers import clear_leftovers
from .limits import wall_seconds
from .processes import AVAILABLE
from .progress import Reporter, reporter
from .settings import Settings
from .store import Row, Store

_Try = Callable[[Sequence[Job], Store], Iterable[tuple[Job, State]]]
POLL_SECONDS = 0.2
"""How often to look whether another run has finished a trial that this one waits for."""


def run(
    jobs: Sequence[Job], settings: Settings, *, title: str = "Running", progress: Reporter | None = None
) -> dict[str, Row]:
    """Run the jobs that the store does not hold yet, and give the finished trial of every job, by key.

    A trial that fails is stored with its traceback and the others go on; in a later run it is tried again. Safe to kill and to
    start again at any moment, and beside other runs on the same store. ``progress`` hears of every trial, also of those in the
    store; where it is None, a reporter of its own has the title.
    """
    clear_leftovers()
    unique = {job.key: job for job in jobs}
    with Store(settings.store_path) as store:
        found = {key: row for key, row in store.read(unique).items() if row.status == "ok"}
        pending = [job for key, job in unique.items() if key not in found]
        if progress:
            for key in unique.keys() - {job.key for job in pending}:
                progress.advance(unique[key].subject)
        with ExitStack() as stack:
            try_each = stack.enter_context(_backend(settings, pending))
            heard = progress or stack.enter_context(
                reporter(title, len(unique), len(unique) - len(pending), settings.quiet)
            )
            try:
                _until_none_is_busy(pending, try_each, store, heard)
            except KeyboardInterrupt:
                done = len(found) + sum(row.status == "ok" for row in store.read(job.key for job in pending).values())
                raise Interrupted(
                    f"Stopped: {done} of {len(unique)} trials are stored. Run the same command again to go on."
                ) from None
        return found | store.read(job.key for job in pending)


@contextmanager
def _backend(settings: Settings, pending: Sequence[Job]) -> Iterator[_Try]:
    """What tries every job once: a cluster, started only where there is something to run, or this machine."""
    if settings.backend == "ray" and pending:
        from .ray_backend import RayCluster

        with RayCluster(settings.workers) as cluster:
            yield cluster.run
        return
    with Crew(min(settings.workers or joblib.cpu_count(), max(1, len(pending)))) as crew:
        yield partial(_pass, crew=crew, in_process=settings.workers == 1 or not AVAILABLE)


def _until_none_is_busy(pending: Sequence[Job], try_each: _Try, store: Store, heard: Reporter) -> None:
    """Try the jobs, those that another run is at again and again, until all are done."""
    while pending:
        waiting = []
        for job, state in try_each(pending, store):
            if state == "busy":
                waiting.append(job)
            else:
                heard.advance(job.subject)
        if waiting and len(waiting) == len(pending):
            time.sleep(POLL_SECONDS)
        pending = waiting


def _pass(jobs: Sequence[Job], store: Store, crew: Crew, in_process: bool) -> Iterator[tuple[Job, State]]:
    """Try every job once: Replica's own in this process where that is wanted, users' methods always in one of their own."""
    waiting = deque(jobs)
    while waiting or crew.busy:
        while waiting and crew.has_room:
            job = waiting.popleft()
            lease = store.lease(job.key, wall_seconds(2 * job.limit_seconds) + 60)
            if lease != "taken":
                yield job, lease
            elif in_process and not (job.isolated and AVAILABLE):
                yield job, execute(job, store)
            else:
                crew.send(job)
        for job, finished in crew.finished():
            keep(job, finished, store)
            yield job, "done"
