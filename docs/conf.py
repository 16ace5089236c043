"""How the documentation is built: MyST pages, the API from the docstrings, furo as the theme.

`make docs` builds it; every warning is an error. `_extensions/undocumented.py` fails the build when a
setting, a command, an option, an error or an event is missing from its page.
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "celery-jobtrack"
author = "the celery-jobtrack authors"
release = version_of("celery-jobtrack")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "undocumented"]
myst_enable_extensions = ["colon_fence"]
exclude_patterns = ["_build", "_extensions"]

myst_heading_anchors = 3

# Django is not needed to build the pages, and pytest is only where the tests are.
autodoc_mock_imports = ["django", "pytest"]
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "none"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "celery-jobtrack"
html_show_sourcelink = False
html_copy_source = False
