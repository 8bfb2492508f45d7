"""How Sphinx builds the site from the pages that `docs.generate` writes."""

import inspect
import re
from typing import Any

project = "Replica"
author = "The Replica authors"
copyright = "The Replica authors. Apache-2.0"
html_title = "Replica"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
smartquotes = False
default_role = "literal"  # docstrings write code between single backticks

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 90

html_theme = "pydata_sphinx_theme"
html_static_path = ["static"]
html_extra_path = ["extra"]  # the recorded comparisons' whole reports
html_css_files = ["site.css"]
html_js_files = [("papers.js", {"defer": "defer"})]
html_favicon = "static/mark.svg"
html_copy_source = False
html_show_sphinx = False
html_sidebars = {"index": [], "papers/*": [], "problems/*": [], "search": []}
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "Replica", "image_light": "static/mark.svg", "image_dark": "static/mark.svg", "alt_text": ""},
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "show_prev_next": False,
    "show_toc_level": 1,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "github-light",
    "pygments_dark_style": "github-dark",
}
copybutton_prompt_text = "$ "
copybutton_selector = "div.highlight pre"


def prepare(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Read docstrings as what they are, plain text with code in backticks, before Google's sections are found.

    Indented formulas after a colon keep their lines; bars and stars of formulas are no markup; a
    hanging indent is a wrapped line.
    """
    item = False
    for number in range(1, len(lines)):
        before, line = lines[number - 1], lines[number]
        item = bool(before.strip()) and (item or re.match(r"([-*]|\d+\.) ", before) is not None)
        if before.strip() and not item and not before.startswith(" ") and not before.endswith(":"):
            lines[number] = line.lstrip()
    literal = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        if indented and not literal and number > 1 and not lines[number - 1].strip():
            before = lines[number - 2]
            if before.endswith(":") and not before.endswith("::") and not before.startswith(" "):
                lines[number - 2] = before + ":"
                literal = True
        elif line.strip() and not indented:
            literal = False
        if not literal and not line.lstrip().startswith((">>>", "...")):
            lines[number] = _escaped(line)


def _escaped(line: str) -> str:
    pieces = re.split(r"(``.+?``|`[^`]+`)", line)
    return "".join(piece if number % 2 else re.sub(r"([|*])", r"\\\1", piece) for number, piece in enumerate(pieces))


def escape_types(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """The stars in the shapes of attributes, which sections bring along when they are found, are no markup either."""
    lines[:] = [_escaped(line) if re.match(r"\s*:(type|vartype \w+):", line) else line for line in lines]


def skip(app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out what is not ours: what named tuples say of their fields, and scikit-learn's routing of metadata."""
    by_itself = (inspect.getdoc(obj) or "").startswith("Alias for field number")
    return True if by_itself or re.fullmatch(r"set_\w+_request", name) else None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", prepare, priority=100)
    app.connect("autodoc-process-docstring", escape_types, priority=900)  # after sections were found
    app.connect("autodoc-skip-member", skip)
