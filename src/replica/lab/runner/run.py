"""Running many jobs: what the store lacks, on local processes, until all are done."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from replica.lab.errors import ReplicaError

from .execute import State, execute, machine
from .job import Job
from .progress import reporter
from .store import Row, Store

POLL_SECONDS = 0.2
"""How often to look whether another run has finished a trial that this one waits for."""


class Interrupted(KeyboardInterrupt):
    """The user stopped the run; finished trials are in the store."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(f"Stopped: {done} of {total} trials are stored. Run the same command again to go on.")


def run(
    jobs: Sequence[Job], store_path: Path, *, workers: int = 0, title: str = "Running", quiet: bool = False
) -> dict[str, Row]:
    """Run the jobs that the store does not hold yet; trials that ended in an error are tried again.

    A trial that fails is stored with its traceback and the others go on. Safe to kill and to start again at any moment, and
    beside other runs on the same store.

    Args:
        jobs: What to run; jobs with one key count once.
        store_path: The store's file.
        workers: Local processes; 1 runs in this process, 0 takes one for each processor.
        title: What the progress bar says.
        quiet: Show no progress.

    Returns:
        The finished trial of every job, by key.

    Raises:
        Interrupted: On Ctrl-C.
        ReplicaError: If the store cannot be used.
    """
    unique = {job.key: job for job in jobs}
    if workers < 0:
        raise ReplicaError(f"--jobs must be 0 (one for each processor) or more, not {workers}.")
    with Store(store_path) as store:
        found = store.read(unique)
        pending = [job for key, job in unique.items() if key not in found or found[key].status == "error"]
        workers = min(workers or joblib.cpu_count(), max(1, len(pending)))
        with reporter(title, len(unique), len(unique) - len(pending), quiet) as progress:
            try:
                while pending:
                    waiting = []
                    for job, state in _pass(pending, store_path, workers):
                        if state == "busy":
                            waiting.append(job)
                        else:
                            progress.advance(job.subject)
                    if waiting and len(waiting) == len(pending):
                        time.sleep(POLL_SECONDS)
                    pending = waiting
            except KeyboardInterrupt:
                rows = store.read(unique)
                raise Interrupted(sum(row.status == "ok" for row in rows.values()), len(unique)) from None
        return store.read(unique)


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
                done = [key for key, row in store.read(left).items() if row.status == "ok" or _just_now(row)]
                for key in done:
                    yield left.pop(key), "done"
                suspects = [left.pop(key) for key in store.abandoned(left)]
            for job in suspects:
                yield job, _alone(job, store_path)


def _just_now(row: Row) -> bool:
    return row.status == "error" and "did not stop" in row.error


def _on_processes(jobs: Sequence[Job], store_path: Path, workers: int) -> Iterable[tuple[str, State]]:
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(
            n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs"
        )
        yield from parallel(joblib.delayed(_execute_by_key)(job, store_path) for job in jobs)


def _execute_by_key(job: Job, store_path: Path) -> tuple[str, State]:
    return job.key, execute(job, store_path)


def _alone(job: Job, store_path: Path) -> State:
    """Run a job in a process of its own; if it takes that down as well, it is the culprit, and that is its result."""
    try:
        # Two workers and one task: joblib would run a single worker's task in this process.
        ((_, state),) = _on_processes([job], store_path, 2)
        return state
    except TerminatedWorkerError as error:
        with Store(store_path) as store:
            if not (row := store.read([job.key]).get(job.key)) or not _just_now(row):
                store.write(
                    job.key, subject=job.subject, seed=job.trial.seed, what=job.what, seconds=0.0, peak_bytes=None,
                    machine=machine(), error="its process died (killed by the system, perhaps for memory, or crashed)",
                    traceback=str(error),
                )  # fmt: skip
        return "done"


def default_store() -> Path:
    """The user's store: in the folder that REPLICA_HOME names, else where the system keeps programs' data."""
    from platformdirs import user_data_path

    home = os.environ.get("REPLICA_HOME")
    return (Path(home) if home else user_data_path("replica")) / "store.sqlite"
