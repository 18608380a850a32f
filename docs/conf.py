"""Configuration of the documentation site: `sphinx-build -W -n docs docs/_build/html`."""

import os
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
    "check_links",
    "command_page",
    "explorer_file",
    "mathml",
    "public_names",
    "repository_pages",
]
exclude_patterns = ["_build", "_tutorial"]
default_role = "code_or_link"
nitpicky = True
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
autosummary_generate = False
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
OTHER_PACKAGES = (
    r"Any|ArrayLike|Axes|Callable|DataFrame|Figure|Iterable|Iterator|Mapping|ModuleType|NDArray|"
    r"Path|Self|Sequence|Tensor|(np|numpy|pathlib|sp|torch)\.[\w.]+"
)
ALIASES = (  # of types of other packages
    r"Act|Array|Batch|DataOf|Drawing|Expression|Format|Found|Metrics|Number|Numbers|Parameters|"
    r"Row|Sequences|Steps|Tap|Vector|Function|[A-Z]"
)
INTERNAL = r"[\w.]*(FitProblem|ProblemTables|ResolvedRun)"  # parts of results
nitpick_ignore_regex = [("py:class", f"{OTHER_PACKAGES}|{ALIASES}|{INTERNAL}")]

html_theme = "furo"
html_title = "coopetition"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

os.environ["COOPETITION_PROGRESS"] = "0"
sphinx_gallery_conf = {
    "examples_dirs": ["_tutorial", "../examples"],
    "gallery_dirs": ["tutorial", "gallery"],
    "filename_pattern": r"\.py$",
    "remove_config_comments": True,
    "reset_modules": ("matplotlib", "gallery.remove_outputs"),
    "show_memory": False,
    "within_subsection_order": "gallery.order",
    "write_computation_times": False,
}
