"""Sending a job to a machine that shares no files with this one: the user's files that it needs go with it, by content."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from replica.lab.catalogue import package_root
from replica.lab.problems.registry import get as get_problem

from .job import EntryJob, Job, StudyJob


@dataclass(frozen=True)
class Bundle:
    """Files to send, by path within the folder that they will lie in."""

    files: Mapping[str, bytes]
    digest: str
    on_path: bool = False
    """Whether that folder belongs on ``sys.path``."""

    def unpack(self, folder: Path) -> None:
        """Write the files into a folder, which is then whole."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


class Packer:
    """Packs what jobs need, each file once: as it was when the run began."""

    def __init__(self) -> None:
        self._packed: dict[Path, Bundle] = {}

    def bundles(self, job: Job) -> dict[str, Bundle]:
        """What must travel with a job, by the path that the job knows it by.

        Code is the user's file with the Python files beside it that it imports, and the registration of a paper file; data
        are the file, or all files of the folder.
        """
        found: dict[str, Bundle] = {}
        if isinstance(job, StudyJob) and job.source.endswith(".py"):
            found[job.source] = self._code(Path(job.source))
        if isinstance(job, EntryJob):
            if job.data.partition(":")[0] not in get_problem(job.problem).data_names:  # mnist-1d:7 is made there
                found[job.data] = self._data(Path(job.data).expanduser())
            if job.method.attribute or (job.method.function and job.method.source.endswith(".py")):
                found[job.method.source] = self._code(Path(job.method.source))
            elif job.method.given is not None and (module := _users_module(job.method.given)):
                found[str(module)] = replace(self._code(module), on_path=True)
        return found

    def _data(self, path: Path) -> Bundle:
        if path not in self._packed:
            files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
            self._packed[path] = _bundle(files, path.parent)
        return self._packed[path]

    def _code(self, path: Path) -> Bundle:
        if path not in self._packed:
            registration = path.with_suffix(".toml")
            beside = {registration} if registration.is_file() else set()
            self._packed[path] = _bundle(sorted(_imported(path) | beside), path.parent)
        return self._packed[path]


def moved(job: Job, places: Mapping[str, str]) -> Job:
    """The same job, its key too, with the user's files where they were unpacked."""
    if isinstance(job, StudyJob):
        return replace(job, source=places.get(job.source, job.source))
    if isinstance(job, EntryJob):
        method = replace(job.method, source=places.get(job.method.source, job.method.source))
        return replace(job, data=places.get(job.data, job.data), method=method)
    return job


def _bundle(files: Sequence[Path], folder: Path) -> Bundle:
    contents = {str(file.relative_to(folder)): file.read_bytes() for file in files}
    digest = hashlib.blake2b(digest_size=16)
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return Bundle(contents, digest.hexdigest())


def _imported(path: Path) -> set[Path]:
    """The file, and of the modules and packages beside it all that it imports, found by reading."""
    found, pending = {path}, [path]
    while pending:
        for name in _top_level_imports(pending.pop()):
            package = path.parent / name
            beside = [package.with_suffix(".py")] if package.with_suffix(".py").is_file() else package.rglob("*.py")
            new = set(beside) - found
            found |= new
            pending += new
    return found


def _top_level_imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def _users_module(given: object) -> Path | None:
    """The file of the user's own top-level module that a class or function handed over in Python comes from.

    None where it is installed, as every machine has it then, and where there is none (a notebook): its code is pickled.
    """
    module = inspect.getmodule(given)
    top = sys.modules.get(module.__name__.split(".")[0]) if module else None
    file = getattr(top, "__file__", None)
    if top is None or file is None:
        return None
    path = Path(file).resolve()
    installed = [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")]
    if package_root().resolve() in path.parents or any(folder in path.parents for folder in installed):
        return None
    return path
