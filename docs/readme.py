"""Write the README's real output and table of verdicts anew: python docs/readme.py. Its pictures come from `make comparisons`."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from replica.lab.catalogue import WINGS, find, read_evidence, records

ROOT = Path(__file__).parent.parent
WORDS = {"holds": "hold", "fails": "fail", "unclear": "unclear", "error": "in error"}


def compare_output() -> str:
    """What `replica compare recall` prints, without trailing blanks."""
    command = [sys.executable, "-m", "replica", "compare", "recall"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return "```\n" + "\n".join(line.rstrip() for line in done.stdout.strip().splitlines()) + "\n```"


def built() -> str:
    """How many papers are built, and how many are not."""
    papers = find(status="built")
    wings = len({record.wing for record in papers})
    rest = len(records()) - len(papers)
    return (
        f"{len(papers)} papers of {wings} fields are built so far; the other {rest} are in the catalogue, and say so."
    )


def verdicts() -> str:
    """A row a built paper: how many of its recorded claims hold, fail and are unclear, and what does not hold."""
    lines = ["| paper | its claims here | what does not hold, or is not clear |", "|---|---|---|"]
    for record in sorted(find(status="built"), key=lambda record: (WINGS.index(record.wing), record.slug)):
        evidence = read_evidence(record)
        claims = evidence["claims"] if evidence else ()
        counts = Counter(claim["verdict"] for claim in claims)
        tally = ", ".join(f"{counts[verdict]} {word}" for verdict, word in WORDS.items() if counts[verdict])
        rest = [f"{claim['sentence']} (**{claim['verdict']}**)" for claim in claims if claim["verdict"] != "holds"]
        lines.append(f"| `{record.slug}` | {tally} | {' '.join(rest)} |")
    return "\n".join(lines)


def main() -> None:
    """Replace what stands between the README's marks."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    for name, new in (("built", built()), ("compare", compare_output()), ("verdicts", verdicts())):
        mark = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end {name} -->)", re.S)
        assert mark.search(text), f"README.md lacks the marks of {name}"
        text = mark.sub(lambda m, new=new: m[1] + new + m[2], text)
    readme.write_text(text)


if __name__ == "__main__":
    main()
