"""Trials on a Ray cluster: the driver leases, sends and stores; workers need no file of it."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from joblib.externals.loky.backend.reduction import dumps

from replica.errors import ReplicaError
from replica.lab.catalogue import package_root

from .execute import State, failed, keep
from .job import Job
from .ray_worker import run_sent
from .shipping import Packer
from .store import Finished, Store

RERUNS = 3
"""How often a trial whose worker was lost is run again, before it counts as what brings workers down."""
CONNECT_SECONDS = 5.0
HOW_TO_START = (
    "Start one with: ray start --head; join other machines with: ray start --address=HOST:6379;"
    " from elsewhere name it in RAY_ADDRESS=HOST:6379."
)


class RayCluster:
    """A Ray cluster that runs trials, one processor each (and one GPU where their device is ``cuda``).

    The code of Replica travels by itself, the user's files with the jobs that need them; what Replica stands on (PyTorch and
    so on), and named data sets that no package brings, must be on every machine.
    """

    def __init__(self, at_once: int = 0) -> None:
        self._at_once = at_once
        self._packer = Packer()
        self._sent: dict[str, Any] = {}
        self._lost = Counter[str]()

    def __enter__(self) -> RayCluster:
        import ray

        _connect()
        if ray.cluster_resources().get("CPU", 0) < 1:
            ray.shutdown()
            raise ReplicaError(f"The Ray cluster has no worker with a processor. {HOW_TO_START}")
        self._task = ray.remote(run_sent)
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()  # which ends what still runs there

    def run(self, jobs: Sequence[Job], store: Store) -> Iterator[tuple[Job, State]]:
        """Try every job once; the trials of a worker that is lost are run again elsewhere."""
        import ray

        waiting, flying = deque(jobs), dict[Any, Job]()
        try:
            while waiting or flying:
                room = self._room()
                while waiting and len(flying) < room:
                    job = waiting.popleft()
                    lease = store.lease(job.key, 4 * job.limit_seconds + 60)
                    if lease == "taken":
                        flying[self._send(job)] = job
                    else:
                        yield job, lease
                for done in ray.wait(list(flying), timeout=1.0)[0] if flying else ():
                    finished = self._finished(done, flying[done])
                    job = flying.pop(done)
                    if finished is None:
                        flying[self._send(job)] = job
                        continue
                    keep(job, finished, store)
                    yield job, "done"
        finally:
            for job in flying.values():
                store.release(job.key)

    def _finished(self, done: Any, job: Job) -> Finished | None:
        """What came of a trial; None where its worker was lost and it is to be run again."""
        import ray
        from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

        try:
            finished: Finished = ray.get(done)
            return finished
        except RuntimeEnvSetupError as error:
            raise ReplicaError(f"A Ray worker cannot be set up ({_first_line(error)}).") from None
        except RayTaskError as error:
            raise ReplicaError(
                f"A Ray worker failed outside of the trial ({_first_line(error.cause)}). Every machine"
                " needs what Replica stands on, in the same versions: pip install 'replica-papers[ray]'."
            ) from None
        except RayError as error:
            self._lost[job.key] += 1
            lost = self._lost[job.key]
            return None if lost <= RERUNS else failed(f"its worker was lost {lost} times", str(error))

    def _room(self) -> int:
        """How many trials are under way: twice what runs at once, so that no worker waits for the driver."""
        import ray

        return self._at_once or max(1, 2 * int(ray.cluster_resources().get("CPU", 0)))

    def _send(self, job: Job) -> Any:
        import ray

        files = {}
        for path, bundle in self._packer.bundles(job).items():
            if bundle.digest not in self._sent:
                self._sent[bundle.digest] = ray.put(bundle)
            # In a mapping a reference travels as such, and the content only to machines that lack it.
            files[path] = (bundle.digest, Path(path).name, bundle.on_path, self._sent[bundle.digest])
        gpus = 1 if job.trial.device_name.startswith("cuda") else 0
        if gpus and not ray.cluster_resources().get("GPU"):
            raise ReplicaError("The Ray cluster has no GPU. Use --device cpu.")
        # Reruns are the driver's, who counts them; so are trials that raise, which are results.
        task = self._task.options(
            num_cpus=1, num_gpus=gpus, max_retries=0, name=f"{job.subject}, seed {job.trial.seed}"
        )
        # Another GPU than the last time needs a process that has not seen that one.
        return task.remote(bytes(dumps(job)), job.key, job.limit_seconds, job.isolated or gpus > 0, files)


def _connect() -> None:
    import ray

    if ray.is_initialized():
        raise ReplicaError(
            "This process is connected to Ray already, without Replica's code on the workers: call ray.shutdown() first."
        )
    address = os.environ.get("RAY_ADDRESS", "")
    if address and not _answers(address):
        raise ReplicaError(f"No Ray cluster answers at RAY_ADDRESS={address:.80}. {HOW_TO_START}")
    try:
        ray.init(
            address or "auto",
            runtime_env={"py_modules": [str(package_root())], "excludes": ["__pycache__"]},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError, SystemExit) as error:
        reason = "" if isinstance(error, ConnectionError) else f" ({_first_line(error)})"
        raise ReplicaError(f"There is no Ray cluster to connect to{reason}. {HOW_TO_START}") from None


def _answers(address: str) -> bool:
    """Whether someone listens there; Ray itself would try for two minutes."""
    match = re.fullmatch(r"\[?([^\[\]/]+?)\]?:(\d{1,5})", address)
    try:
        if match:
            socket.create_connection((match[1], int(match[2])), CONNECT_SECONDS).close()
    except (OSError, OverflowError):
        return False
    return bool(match)


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
