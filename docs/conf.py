"""Configuration of the documentation site: `sphinx-build -W -n docs docs/_build/html`."""

import sys
from importlib.metadata import version as package_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "coopetition"
author = "The coopetition developers"
version = release = package_version("coopetition")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "repository_pages",
]
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = "coopetition"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"\.py$",
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,
}
