"""A Ray worker's side: each trial runs in a process beside the worker, under the limits of local ones.

So a trial that crashes or hangs for good ends that process, and the worker, which lives on, says so; a worker that is gone
means a lost machine. Nothing here is imported from Replica before it is needed: the worker itself stays small.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

if TYPE_CHECKING:
    from .store import Finished

IDLE_SECONDS = 300
WATCH_SECONDS = 0.5
TRIES = 2
"""A trial whose process dies is tried once more: the machine may be going down, the worker a moment later."""
_held: list[subprocess.Popen[bytes]] = []


def run_sent(
    job: bytes, key: str, limit_seconds: float, isolated: bool, files: Mapping[str, tuple[str, str, bool, Any]]
) -> Finished:
    """Run a job that was sent here.

    Args:
        job: The job, pickled; it is unpickled where the user's code that it may need is on the path.
        key: Its key.
        limit_seconds: Its time limit.
        isolated: Whether its process is to end with it.
        files: By the path that the job knows: the bundle's digest, the name in it, whether it goes on ``sys.path``, and
            Ray's reference to the bundle.
    """
    from .crew import died
    from .execute import failed
    from .processes import THREAD_VARIABLES

    folder = _folder()
    places = {path: str(_unpacked(digest, sent) / name) for path, (digest, name, _, sent) in files.items()}
    search = [str(Path(places[path]).parent) for path, (_, _, on_path, _) in files.items() if on_path]
    hangs = folder / f"hang-{key}"
    for _ in range(TRIES):
        executor = get_reusable_executor(
            max_workers=1, timeout=IDLE_SECONDS, initializer=_end_with, initargs=(os.getpid(),),
            # Another GPU than the last time needs a process that has not seen that one.
            env={**dict.fromkeys(THREAD_VARIABLES, "1"), "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "")},
        )  # fmt: skip
        try:
            finished: Finished = executor.submit(_run, job, places, search, hangs).result()
            if isolated:
                executor.shutdown(kill_workers=True)
            return finished
        except TerminatedWorkerError as error:
            stack = hangs.read_text() if hangs.exists() else ""
            hangs.unlink(missing_ok=True)
            if stack:
                said = f"ran past its limit of {limit_seconds:g} s and did not stop"
                return failed(said, stack)
            death = error
    code = re.search(r"\((-?\d+)\)", str(death))
    said = died(int(code[1])) if code else "its process died"
    return failed(said, str(death))


@cache
def _folder() -> Path:
    """This worker's own folder, gone soon after the worker."""
    folder = tempfile.mkdtemp(prefix="replica-")
    # Ray ends workers, and their children, without a word. A shell that is no child of theirs any more waits for the end of
    # the worker's side of the pipe, which nothing else holds.
    waiting = 'exec 3<&0; { cat <&3; rm -rf -- "$0"; } &'
    null = subprocess.DEVNULL
    shell = subprocess.Popen(
        ["sh", "-c", waiting, folder], stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True
    )
    shell.wait()
    _held.append(shell)
    return Path(folder)


def _unpacked(digest: str, sent: Any) -> Path:
    """The folder of a bundle, fetched and unpacked once a worker."""
    import ray

    folder = _folder() / digest
    if not folder.exists():
        half = folder.with_suffix(".half")
        ray.get(sent).unpack(half)
        half.replace(folder)
    return folder


def _run(job: bytes, places: Mapping[str, str], search: list[str], hangs: Path) -> Finished:
    """In the process beside the worker."""
    from .execute import measure
    from .shipping import moved

    sys.path.extend(folder for folder in search if folder not in sys.path)
    return measure(moved(pickle.loads(job), places), hangs, alone=True)


def _end_with(worker: int) -> None:
    """End this process once its worker is gone: the trial it runs will be run elsewhere."""

    def watch() -> None:
        while os.getppid() == worker:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
