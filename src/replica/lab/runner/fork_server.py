"""The process that trials' processes are forked from, and what each of them does.

The server has imported what is heavy, and has run nothing: a fresh process costs milliseconds in place of seconds. When the
command is gone, however it ended, the server reads the end of its socket and leaves; the system ends its children with it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from typing import BinaryIO, NoReturn

IDLE_SECONDS = 300.0
"""How long a process waits for another trial."""
LENGTH = struct.Struct("!Q")
PR_SET_PDEATHSIG = 1


def serve(control: int, modules: list[str]) -> None:
    """Fork a process for every three descriptors that come, and tell the exit code of every process that is named."""
    for name in modules:
        with contextlib.suppress(Exception):  # what needs it will say so
            importlib.import_module(name)
    with socket.socket(fileno=control) as requests:
        command = os.getppid()
        while os.getppid() == command:  # a copy of the command may hold its end of the socket
            if not select.select([requests], [], [], 1.0)[0]:
                continue
            message, descriptors, _, _ = socket.recv_fds(requests, 64, 3)
            if not message:
                return
            if descriptors:
                pid = os.fork()
                if not pid:
                    requests.close()
                    _work(*descriptors)
                for descriptor in descriptors:
                    os.close(descriptor)
                answer = pid
            else:
                answer = _reaped(int(message))
            requests.sendall(str(answer).encode())


def _reaped(pid: int) -> int:
    """The exit code of a process that has ended, or is about to; negative for a signal."""
    try:
        for _ in range(100):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:  # of a server that was ended, and its processes with it
        return -signal.SIGKILL


def _work(requests: int, answers: int, output: int) -> NoReturn:
    """Answer calls until none comes any more."""
    try:
        os.setsid()  # Ctrl-C is for the command; and what a method starts can be ended with it
        _end_with_parent()
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.close(null)
        os.close(output)
        # For as long as the process lives.
        sys.stdout = open(1, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        mine = os.getpid()
        with open(requests, "rb") as calls:
            while select.select([calls], [], [], IDLE_SECONDS)[0] and (call := _received(calls)):
                answer = _answer(call)
                if os.getpid() != mine:
                    break  # a method forked, and this is its copy
                for stream in (sys.stdout, sys.stderr):
                    with contextlib.suppress(Exception):  # a method may have closed it
                        stream.flush()
                _write(answers, answer.encode() + b"\n")
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(1)
    os._exit(0)  # whatever threads a method has left


def _answer(request: bytes) -> str:
    """What the call gives, in JSON, or how it failed."""
    try:
        folder, environment, path, call = pickle.loads(request)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        with contextlib.suppress(OSError):
            os.chdir(folder)
        return json.dumps({"value": pickle.loads(call)()})
    except BaseException as error:
        from .execute import described

        said, where = described(error)
        return json.dumps({"error": said, "traceback": where})


def _received(calls: BinaryIO) -> bytes:
    head = calls.read(LENGTH.size)
    return calls.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _end_with_parent() -> None:
    """End this process when the server is gone, also in the midst of compiled code where the system can do that."""
    server = os.getppid()

    def watch() -> None:
        while os.getppid() == server:
            time.sleep(0.5)
        os._exit(1)

    if sys.platform != "linux":
        threading.Thread(target=watch, daemon=True).start()
    else:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != server:
            os._exit(1)
