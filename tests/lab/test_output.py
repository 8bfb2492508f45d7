"""What commands show beside their results."""

import io
import sys

import pytest

from replica.lab.cli.output import working


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "shown"), [(Terminal, True), (io.StringIO, False)])
def test_a_terminal_sees_what_takes_its_time(monkeypatch, stream, shown):
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    errors = stream()
    monkeypatch.setattr(sys, "stderr", errors)
    with working("Looking"):
        pass
    assert ("Looking ..." in errors.getvalue()) == shown
