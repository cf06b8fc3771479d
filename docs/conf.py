"""Settings of the documentation site; ``make docs`` builds it.

Sphinx reads the repository's root as its source folder, so that the links between README.md,
CONTRIBUTING.md and docs/ are the same on the site as in the repository."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
REPOSITORY = DOCS.parent
sys.path[:0] = [str(REPOSITORY), str(DOCS / "extensions")]

from gluonnorm import __version__  # noqa: E402

project = "gluonnorm"
author = "The gluonnorm authors"
copyright = author
release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "index_tree",
    "model_tables",
    "public_names",
    "script_help",
    "settings_table",
]
# All but the pages: Sphinx would search .venv and tests as well.
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs")
exclude_patterns = [path.name for path in REPOSITORY.iterdir() if path.name not in PAGES]
root_doc = "docs/index"
index_pages = ["docs/index", "docs/api/index", "docs/results"]

# Blocks without a language are commands and what they print.
highlight_language = "none"
# Links to headings have the form that forges use.
myst_heading_anchors = 4

autodoc_default_options = {
    "members": True,
    "undoc-members": True,
    "special-members": "__call__",
    "show-inheritance": True,
    "inherited-members": True,  # public_names chooses among them
}
# The docstrings state the types, in fewer words than the annotations.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # that of Gluon's hybrid_forward says nothing about ours
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
# A role in a docstring must lead to a page. Types are prose, such as "tuple of float".
nitpicky = True
nitpick_ignore_regex = [("py:class", r"(?!gluonnorm\.|model_zoo\.).*")]

templates_path = ["templates"]
html_theme = "furo"
html_title = f"gluonnorm {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
# The site's folder opens at its first page.
html_additional_pages = {"index": "first_page.html"}
html_copy_source = False
html_show_sphinx = False
