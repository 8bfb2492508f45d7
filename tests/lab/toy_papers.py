"""Papers of a few lines, for tests of what runs and shows papers."""

from pathlib import Path


def write_paper(path: Path, code: str, **claims: str) -> Path:
    """Write a paper file with the registrations beside it: what each claim registers besides sentence, date and setting."""
    path.write_text(code)
    given = 'sentence = "It is so."\nregistered = 2026-11-01\nsetting = "own"\n'
    path.with_suffix(".toml").write_text("".join(f"[{name}]\n{given}{lines}\n" for name, lines in claims.items()))
    return path
