"""Write the README's real output and table of wings anew: python docs/readme.py. Its pictures come from `make comparisons`."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from replica.lab.catalogue import WINGS, count_verdicts, find

ROOT = Path(__file__).parent.parent
HEADS = {
    "holds": "hold", "fails": "fail", "not_seen": "not seen here", "no_effect": "no effect of that size", "unclear": "unclear",
    "not_tested": "not tested",
}  # fmt: skip


def compare_output() -> str:
    """What `replica compare recall` prints, without trailing blanks."""
    command = [sys.executable, "-m", "replica", "compare", "recall"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return "```\n" + "\n".join(line.rstrip() for line in done.stdout.strip().splitlines()) + "\n```"


def wings() -> str:
    """A row a wing that has built papers: how many, and how their recorded claims stand."""
    lines = [f"| wing | papers built | {' | '.join(HEADS.values())} |", "|---|---|" + "---|" * len(HEADS)]
    total: Counter[str] = Counter()
    for wing in WINGS:
        papers, built = find(wing=wing), find(wing=wing, status="built")
        counts = sum((Counter(count_verdicts(record)) for record in built), Counter[str]())
        total += counts
        if built:
            numbers = " | ".join(str(counts[verdict] or "") for verdict in HEADS)
            lines.append(f"| `replica.{wing}` | {len(built)} of {len(papers)} | {numbers} |")
    numbers = " | ".join(str(total[verdict]) for verdict in HEADS)
    return "\n".join([*lines, f"| all | {len(find(status='built'))} of {len(find())} | {numbers} |"])


def main() -> None:
    """Replace what stands between the README's marks."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    for name, new in (("compare", compare_output()), ("wings", wings())):
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.S)
        assert mark.search(text), f"README.md lacks the marks of {name}"
        text = mark.sub(lambda m, new=new: m[1] + new + "\n" + m[2], text)
    readme.write_text(text)


if __name__ == "__main__":
    main()
