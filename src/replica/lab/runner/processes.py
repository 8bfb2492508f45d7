"""Processes beside this one, forked from a server of ours: each runs the calls that are sent to it, and its death is told."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import connection
from typing import Any

from joblib.externals.loky.backend.reduction import dumps

from replica.errors import ReplicaError

from .fork_server import LENGTH

AVAILABLE = hasattr(os, "fork") and hasattr(socket, "send_fds")
"""Whether this system has what they need; elsewhere (Windows) trials run in this process."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
HEAVY = frozenset({"numpy", "scipy", "torch", "pandas", "sklearn", "replica"})
"""Packages whose modules the server imports where this process has them."""
also_imported: set[str] = set()
"""What it imports anyway."""
OUTPUT_BYTES = 4000
"""How much of what a process prints is kept: the end."""
SERVE = "import sys; sys.path[:] = {path!r}; from replica.lab.runner.fork_server import serve; serve({control}, {modules!r})"


class Died(Exception):
    """A process ended, or closed its pipe, before it gave an answer."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
        """Its exit code; negative for a signal."""


class Failed(Exception):
    """A call raised: ``args`` are what it said, in one line, and its traceback."""


class _Server:
    """The process that others are forked from: started when it is first needed, and again if it is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._owner = self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, message: bytes, descriptors: Sequence[int] = ()) -> int:
        """The server's answer to a request."""
        with self._lock:
            try:
                for _ in range(2):
                    if self._control is None or self._owner != os.getpid():
                        self._start()
                    assert self._control is not None
                    with contextlib.suppress(OSError):
                        socket.send_fds(self._control, [message], descriptors)
                        if answer := self._control.recv(64):
                            return int(answer)
                    self.drop()
            except BaseException:
                self.drop()  # an answer that nobody waits for would be taken for the next
                raise
        raise ReplicaError("Processes for trials cannot be started on this system; run them in this one with --jobs 1.")

    @property
    def is_up(self) -> bool:
        """Whether it has been started, and not been let go."""
        return self._control is not None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        modules = [*also_imported, *(name for name in sys.modules if name.partition(".")[0] in HEAVY)]
        path = [str(part) for part in sys.path]
        code = SERVE.format(path=path, control=theirs.fileno(), modules=modules)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                pass_fds=[theirs.fileno()],
                env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the command
            )  # fmt: skip
        self._control, self._owner = ours, os.getpid()
        self.starts += 1

    def drop(self) -> None:
        """End it, and with it all processes forked from it."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._process = None


_server = _Server()
atexit.register(_server.drop)


class Process:
    """A fresh process that runs one call at a time. What it prints is read, and the end of that kept in `output`."""

    def __init__(self) -> None:
        calls, self._calls = os.pipe()
        self._answers, answers = os.pipe()
        self._prints, prints = os.pipe()
        self.output, self._answer, self.ended = b"", bytearray(), False
        try:
            self.pid = _server.ask(b"fork", (calls, answers, prints))
            self._start = _server.starts
        except BaseException:
            self._close()
            raise
        finally:
            for descriptor in (calls, answers, prints):
                os.close(descriptor)
        for descriptor in (self._answers, self._prints):
            os.set_blocking(descriptor, False)

    def send(self, call: Callable[[], Any]) -> None:
        """Run a function there, in this folder, environment and path; what it gives has a JSON form, and is not None."""
        # Twice, so that a call that cannot be unpickled there is told like one that raises.
        state = (os.getcwd(), dict(os.environ), [str(part) for part in sys.path], bytes(dumps(call)))
        request = bytes(dumps(state))
        self.output, self._answer = b"", bytearray()
        view = memoryview(LENGTH.pack(len(request)) + request)
        with contextlib.suppress(BrokenPipeError):  # its death is told where its answer is read
            while view:
                view = view[os.write(self._calls, view) :]

    def read(self) -> Any:
        """The answer where it is there, else None; `Failed` where the call raised, `Died` where there will be none."""
        self._read_output()
        given, at_end = _read(self._answers)
        self._answer += given
        if not self._answer.endswith(b"\n"):
            if at_end:
                raise Died(self.end(kill=False))
            return None
        try:
            answer = json.loads(self._answer)
            if "value" in answer:
                return answer["value"]
            failed = Failed(answer["error"], answer["traceback"])
        except (ValueError, LookupError, TypeError):  # a method wrote there
            raise Died(self.end()) from None
        raise failed

    def end(self, *, kill: bool = True) -> int:
        """End it, with what it has started, and give its exit code; without ``kill`` it has a second to end by itself."""
        self.ended = True
        with contextlib.suppress(ProcessLookupError):
            if kill:
                os.kill(self.pid, signal.SIGKILL)
        lives = _server.is_up and self._start == _server.starts  # else this process has ended with it
        code = _server.ask(str(self.pid).encode()) if lives else -signal.SIGKILL
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._read_output()
        self._close()
        return code

    def _read_output(self) -> None:
        self.output = (self.output + _read(self._prints)[0])[-OUTPUT_BYTES:]

    def _close(self) -> None:
        for descriptor in (self._calls, self._answers, self._prints):
            os.close(descriptor)


def wait(processes: Iterable[Process], seconds: float) -> None:
    """Until one of them answers, prints or ends, at most this long."""
    connection.wait([descriptor for each in processes for descriptor in (each._answers, each._prints)], seconds)


def ask(call: Callable[[], Any], seconds: float) -> tuple[Any, str]:
    """What a call gives in a fresh process, and what it prints; as `Process.read`, or a TimeoutError."""
    process, deadline = Process(), time.monotonic() + seconds
    try:
        process.send(call)
        while (answer := process.read()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError
            wait([process], 0.2)
    finally:
        if not process.ended:
            process.end()
    return answer, process.output.decode(errors="replace")


def _read(descriptor: int) -> tuple[bytes, bool]:
    """What there is to read now, a megabyte at most, and whether that is the end."""
    found = bytearray()
    while len(found) < 1 << 20:
        try:
            part = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return bytes(found), False
        if not part:
            return bytes(found), True
        found += part
    return bytes(found), False
