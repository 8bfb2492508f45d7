"""The reference: every public name of the built wings and of the lab, from its docstring."""

from __future__ import annotations

from enum import Enum

from replica.lab.catalogue import WINGS

from .parts import Part, contents
from .source import Source
from .wings import TITLES

LAB: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("The three jobs", ("replica.compare", "replica.verify", "replica.find")),
    (
        "What they give",
        ("replica.lab.report.Comparison", "replica.lab.runner.PaperResult", "replica.lab.catalogue.Record"),
    ),
    (
        "Writing a paper file",
        tuple(f"replica.lab.claims.{name}" for name in ("Paper", "Registration", "Trial", "Proportion")),
    ),
    (
        "Studies and their figures",
        tuple(f"replica.lab.studies.{name}" for name in ("Arena", "lines", "dots", "against")),
    ),
    (
        "What tuning may vary",
        tuple(f"replica.lab.claims.{name}" for name in ("Uniform", "LogUniform", "Integer", "Choice")),
    ),
    (
        "Writing a problem",
        tuple(
            f"replica.lab.problems.{name}"
            for name in (
                "Problem",
                "FitPredict",
                "StepByStep",
                "StoreRecall",
                "LabelledRows",
                "Metric",
                "Option",
                "Dataset",
                "Outcome",
                "Baselines",
                "Baseline",
            )
        ),
    ),
)


def write(source: Source) -> None:
    """Write one page a built wing, one for the training ground and one for the lab."""
    built = [wing for wing in WINGS if contents(wing)]
    toctree = [f"   {name}" for name in ("lab", *built, "training")]
    intro = ["Reference", "=========", "", "Every public name, with shapes, units, errors and sources.", ""]
    source.write("api/index.rst", "\n".join([*intro, ".. toctree::", "   :maxdepth: 2", "", *toctree, ""]))
    for wing in built:
        source.write(f"api/{wing}.rst", _wing(wing, TITLES[wing][1]))
    source.write(
        "api/training.rst", _wing("training", "The training loop and the few small nets that many papers use.")
    )
    source.write("api/lab.rst", _lab())


def _wing(wing: str, about: str) -> str:
    lines = [*_title(f"replica.{wing}", "="), about, ""]
    for heading, group in contents(wing):
        lines += _title(heading, "-") if heading else []
        for part in group:
            lines += _entry(part)
    return "\n".join(lines)


def _lab() -> str:
    lines = [*_title("replica and replica.lab", "="), "Comparing, verifying, and writing papers and problems.", ""]
    for heading, names in LAB:
        lines += _title(heading, "-")
        for name in names:
            wing, _, attribute = name.removeprefix("replica").removeprefix(".").rpartition(".")
            lines += _entry(Part(wing, attribute))
    return "\n".join(lines)


def _entry(part: Part) -> list[str]:
    options = ["   :members:", "   :show-inheritance:"] if part.kind == "class" else []
    if part.kind == "class" and issubclass(part.object, Enum):
        options.append("   :undoc-members:")
    return [f".. auto{part.kind}:: {part.module}.{part.name}", *options, ""]


def _title(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]
