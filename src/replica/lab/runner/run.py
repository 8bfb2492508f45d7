"""Running many jobs: what the store lacks, on local processes or a cluster, until all are done."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from replica.errors import Interrupted, ReplicaError

from .execute import Finished, State, execute, hang_file, keep, machine
from .job import Job
from .progress import Reporter, reporter
from .store import Row, Store

Backend = Literal["local", "ray"]
_Try = Callable[[Sequence[Job]], Iterable[tuple[Job, State]]]
POLL_SECONDS = 0.2
"""How often to look whether another run has finished a trial that this one waits for."""


def run(
    jobs: Sequence[Job],
    store_path: Path,
    *,
    workers: int = 0,
    title: str = "Running",
    quiet: bool = False,
    progress: Reporter | None = None,
    backend: Backend = "local",
) -> dict[str, Row]:
    """Run the jobs that the store does not hold yet; trials that ended in an error are tried again.

    A trial that fails is stored with its traceback and the others go on. Safe to kill and to start again at any moment, and
    beside other runs on the same store.

    Args:
        jobs: What to run; jobs with one key count once.
        store_path: The store's file.
        workers: Local processes; 1 runs in this process (which a crash then ends), 0 takes one for each processor.
            On a cluster, how many trials run at once; 0 fills its processors.
        title: What the progress bar says.
        quiet: Show no progress.
        progress: What hears of every trial, also of those in the store; a reporter of its own where None.
        backend: ``"local"``, or ``"ray"`` for a Ray cluster.

    Returns:
        The finished trial of every job, by key.

    Raises:
        Interrupted: On Ctrl-C.
        ReplicaError: If the store or the cluster cannot be used.
    """
    unique = {job.key: job for job in jobs}
    if workers < 0:
        raise ReplicaError(f"--jobs must be 0 (one for each processor) or more, not {workers}.")
    with Store(store_path) as store:
        found = store.read(unique)
        pending = [job for key, job in unique.items() if key not in found or found[key].status == "error"]
        if progress:
            for key in unique.keys() - {job.key for job in pending}:
                progress.advance(unique[key].subject)
        with ExitStack() as stack:
            try_each = stack.enter_context(_backend(backend, pending, store_path, workers))
            heard = progress or stack.enter_context(reporter(title, len(unique), len(unique) - len(pending), quiet))
            try:
                _until_none_is_busy(pending, try_each, heard)
            except KeyboardInterrupt:
                done = sum(row.status == "ok" for row in store.read(unique).values())
                raise Interrupted(
                    f"Stopped: {done} of {len(unique)} trials are stored. Run the same command again to go on."
                ) from None
        return store.read(unique)


@contextmanager
def _backend(backend: Backend, pending: Sequence[Job], store_path: Path, workers: int) -> Iterator[_Try]:
    """What tries every job once: a cluster, started only where there is something to run, or this machine."""
    if backend == "ray" and pending:
        from .ray_backend import RayCluster

        with RayCluster(workers) as cluster:
            yield partial(cluster.run, store_path=store_path)
        return
    if workers != 1:
        # At least two: joblib would run a single worker's trials in this process, which one of them could take down.
        workers = max(2, min(workers or joblib.cpu_count(), len(pending)))
    yield partial(_pass, store_path=store_path, workers=workers)


def _until_none_is_busy(pending: Sequence[Job], try_each: _Try, heard: Reporter) -> None:
    """Try the jobs, those that another run is at again and again, until all are done."""
    while pending:
        waiting = []
        for job, state in try_each(pending):
            if state == "busy":
                waiting.append(job)
            else:
                heard.advance(job.subject)
        if waiting and len(waiting) == len(pending):
            time.sleep(POLL_SECONDS)
        pending = waiting


def _pass(jobs: Sequence[Job], store_path: Path, workers: int) -> Iterable[tuple[Job, State]]:
    """Try every job once; jobs whose worker died under them are tried again alone, so that one cannot take others along."""
    if workers == 1:
        for job in jobs:
            yield job, execute(job, store_path)
        return
    left = {job.key: job for job in jobs}
    while left:
        try:
            for key, state in _on_processes(list(left.values()), store_path, workers):
                yield left.pop(key), state
        except TerminatedWorkerError:
            with Store(store_path) as store:
                done = [key for key, row in store.read(left).items() if row.status == "ok"]
                suspects = [left[key] for key in store.abandoned(left)]
            for key in done:
                yield left.pop(key), "done"
            for job in suspects:
                del left[job.key]
                if not _record_hang(job, store_path):
                    _run_alone(job, store_path)
                yield job, "done"


def _on_processes(jobs: Sequence[Job], store_path: Path, workers: int) -> Iterable[tuple[str, State]]:
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(
            n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs"
        )
        with _ignored_interrupts():
            results = parallel(joblib.delayed(_execute_in_worker)(job, store_path) for job in jobs)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*tasks which were still being processed.*")
            yield from results


@contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C all their life: it is for the command, which then ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _execute_in_worker(job: Job, store_path: Path) -> tuple[str, State]:
    return job.key, execute(job, store_path, in_worker=True)


def _run_alone(job: Job, store_path: Path) -> None:
    """Run a job in a process of its own; if it takes that down as well, it is the culprit, and that is its result."""
    try:
        # Two workers and one task: joblib would run a single worker's task in this process.
        list(_on_processes([job], store_path, 2))
    except TerminatedWorkerError as error:
        if not _record_hang(job, store_path):
            _record_death(
                job, store_path, "its process died (killed by the system, perhaps for memory, or crashed)", str(error)
            )


def _record_hang(job: Job, store_path: Path) -> bool:
    """Store the error of a trial whose worker was ended because it hung, if it was."""
    file = hang_file(job, store_path)
    stack = file.read_text() if file.exists() else ""
    file.unlink(missing_ok=True)
    if stack:
        _record_death(job, store_path, f"ran past its limit of {job.limit_seconds:g} s and did not stop", stack)
    return bool(stack)


def _record_death(job: Job, store_path: Path, error: str, traceback: str) -> None:
    with Store(store_path) as store:
        keep(job, Finished(0.0, None, machine(), error=error, traceback=traceback), store)
