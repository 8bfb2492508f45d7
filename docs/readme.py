"""Write the README's output and table of wings, and the paper that CONTRIBUTING shows: python docs/readme.py [--quick]."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from replica.lab.catalogue import WINGS, Record, count_verdicts, find, package_root
from replica.lab.claims.registration import read_registrations

ROOT = Path(__file__).parent.parent
HEADS = {
    "holds": "hold", "fails": "fail", "not_seen": "not seen here", "no_effect": "no effect of that size", "unclear": "unclear",
    "not_tested": "not tested",
}  # fmt: skip


SHOWN = ("nearest-neighbour", "modern-hopfield", "sparsey", "hopfield-projection", "dense-hebbian", "hopfield-hebb")
"""The methods of the README's table: all of the default comparison but the slow and the trivial ones."""


def compare_output() -> str:
    """What `replica compare recall` prints of some methods, without trailing blanks."""
    only = [word for name in SHOWN for word in ("--only", name)]
    command = [sys.executable, "-m", "replica", "compare", "recall", *only]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return "```\n" + "\n".join(line.rstrip() for line in done.stdout.strip().splitlines()) + "\n```"


def pending(record: Record) -> int:
    """How many claims of a paper are registered and tried, but not measured yet."""
    path = package_root() / "papers" / record.wing / f"{record.slug}.toml"
    return sum(bool(claim.pending) for claim in read_registrations(path).claims.values())


def wings() -> str:
    """A row a wing that has built papers: how many, and how their recorded claims stand."""
    heads = {**HEADS, "pending": "not measured yet"}
    lines = [f"| wing | papers built | {' | '.join(heads.values())} |", "|---|---|" + "---|" * len(heads)]
    total: Counter[str] = Counter()
    for wing in WINGS:
        papers, built = find(wing=wing), find(wing=wing, status="built")
        counts = sum((Counter(count_verdicts(record)) for record in built), Counter[str]())
        counts["pending"] = sum(map(pending, built))
        total += counts
        if built:
            numbers = " | ".join(str(counts[verdict] or "") for verdict in heads)
            lines.append(f"| `replica.{wing}` | {len(built)} of {len(papers)} | {numbers} |")
    numbers = " | ".join(str(total[verdict]) for verdict in heads)
    return "\n".join([*lines, f"| all | {len(find(status='built'))} of {len(find())} | {numbers} |"])


def model_paper() -> str:
    """The registration and the paper file that CONTRIBUTING shows."""
    folder = package_root() / "papers" / "plasticity"
    shown = [("toml", folder / "auglocal.toml"), ("python", folder / "auglocal.py")]
    return "\n\n".join(f"`{path.name}`:\n\n```{kind}\n{path.read_text().strip()}\n```" for kind, path in shown)


def fill(file: Path, name: str, new: str) -> None:
    """Replace what stands between a file's marks of this name."""
    text = file.read_text()
    mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.S)
    assert mark.search(text), f"{file.name} lacks the marks of {name}"
    file.write_text(mark.sub(lambda found: found[1] + new + "\n" + found[2], text))


def main() -> None:
    """Fill the README and CONTRIBUTING."""
    fill(ROOT / "CONTRIBUTING.md", "paper", model_paper())
    fill(ROOT / "README.md", "wings", wings())
    if "--quick" not in sys.argv:
        fill(ROOT / "README.md", "compare", compare_output())


if __name__ == "__main__":
    main()
