"""Asking the user's file something: in a process of its own, as a file may do anything when it is imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from replica.errors import ReplicaError

from .crew import died
from .processes import AVAILABLE, Died, Failed, ask

LONGEST_SECONDS = 120.0
"""How long a file may take to be imported."""


def asked(path: str, question: Callable[[], Any]) -> Any:
    """What a function that reads the user's file gives; it has a JSON form."""
    if not AVAILABLE:
        return question()
    try:
        answer, output = ask(partial(_told, question), LONGEST_SECONDS)
    except Failed as error:
        raise ReplicaError(f"{path} cannot be used: {error.args[0]}.") from None
    except Died as death:
        raise ReplicaError(f"{path} cannot be imported: {died(death.code)}.") from None
    except TimeoutError:
        raise ReplicaError(f"{path} cannot be imported: that takes more than {LONGEST_SECONDS:g} s.") from None
    if "refused" in answer:
        sys.stderr.write(output)  # what it printed may say why
        raise ReplicaError(answer["refused"])
    return answer["given"]


def _told(question: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"given": question()}
    except ReplicaError as error:
        return {"refused": str(error)}
