"""Text of users and files as it may stand in a line, a table or a picture."""

from __future__ import annotations

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: object, most: int = 200) -> str:
    """In one line and with nothing that moves a cursor, changes colours, or is no character: such are shown as ``\ufffd``."""
    line = " ".join(str(text).split())
    shown = "".join(letter if letter.isprintable() else REPLACEMENT for letter in line[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
