"""Configuration of the documentation site; ``make docs`` builds it."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

from generate import GENERATED

from didact.version import VERSION

project = "didact"
author = "The didact authors"
copyright = "the didact authors, Apache License 2.0"
release = version = VERSION

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"didact {VERSION}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False

PLACEHOLDER = re.compile(r"^<!-- generated: (\w+) -->$", re.M)


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put what the code says of itself where a page asks for it."""
    source[0] = PLACEHOLDER.sub(lambda match: GENERATED[match[1]](), source[0])


def keep_the_colon(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """A colon in the first line of a property is no type, as napoleon would have it."""
    if what == "property":
        lines[0] = lines[0].replace(": ", " – ", 1)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", keep_the_colon, priority=1)
