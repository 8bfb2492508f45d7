"""A Ray worker's side: each trial runs in a process beside the worker, as local ones do.

So a trial that crashes or hangs for good ends that process, and the worker, which lives on, says so; a worker that is gone
means a lost machine. Nothing here is imported from Replica before it is needed: the worker itself stays small.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .store import Finished

_held: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Sent:
    """A job as it was sent: pickled, as only its process has the user's code on the path."""

    key: str
    limit_seconds: float
    isolated: bool
    job: bytes
    places: Mapping[str, str]
    search: tuple[str, ...]


def run_sent(
    job: bytes, key: str, limit_seconds: float, isolated: bool, files: Mapping[str, tuple[str, str, bool, Any]]
) -> Finished:
    """Run a job that was sent here.

    ``files`` has, by the path that the job knows: the bundle's digest, the name in it, whether it goes on ``sys.path``, and
    Ray's reference to the bundle.
    """
    from .crew import Crew
    from .processes import also_imported

    also_imported.add("torch")
    places = {path: str(_unpacked(digest, sent) / name) for path, (digest, name, _, sent) in files.items()}
    search = tuple(str(Path(places[path]).parent) for path, (_, _, on_path, _) in files.items() if on_path)
    with Crew(1, _measured) as crew:
        crew.send(Sent(key, limit_seconds, isolated, job, places, search))
        while True:
            for _, finished in crew.finished():
                return finished


def _measured(sent: Sent) -> dict[str, Any]:
    """In the process beside the worker."""
    from .crew import measured
    from .shipping import moved

    sys.path.extend(folder for folder in sent.search if folder not in sys.path)
    return measured(moved(pickle.loads(sent.job), sent.places))


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
