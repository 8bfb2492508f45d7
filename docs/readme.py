"""Write the README's real output and table of verdicts anew: python docs/readme.py. Its pictures come from `make comparisons`."""

import re
import subprocess
import sys
from pathlib import Path

from replica.lab.catalogue import find, read_evidence

ROOT = Path(__file__).parent.parent


def compare_output() -> str:
    """What `replica compare recall` prints, without trailing blanks."""
    command = [sys.executable, "-m", "replica", "compare", "recall"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return "```\n" + "\n".join(line.rstrip() for line in done.stdout.strip().splitlines()) + "\n```"


def verdicts() -> str:
    """A row a recorded claim."""
    lines = ["| paper | what it says | verdict |", "|---|---|---|"]
    for record in find(status="built"):
        evidence = read_evidence(record)
        for claim in evidence["claims"] if evidence else ():
            lines.append(f"| `{record.slug}` | {claim['sentence']} | **{claim['verdict']}** |")
    return "\n".join(lines)


def main() -> None:
    """Replace what stands between the README's marks."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    for name, new in (("compare", compare_output()), ("verdicts", verdicts())):
        mark = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end {name} -->)", re.S)
        assert mark.search(text), f"README.md lacks the marks of {name}"
        text = mark.sub(lambda m, new=new: m[1] + new + m[2], text)
    readme.write_text(text)


if __name__ == "__main__":
    main()
