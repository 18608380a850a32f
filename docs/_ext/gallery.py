"""The order of the gallery, and what is removed before a script runs."""

import shutil
from pathlib import Path
from typing import Any

from sphinx_gallery.sorting import ExplicitOrder

DOCS = Path(__file__).parents[1]
SCRIPTS = (
    "solve events laws critical_sets phase_diagram sharing_graph property_test "
    "train_in_memory attention_patterns intervention fit_csv compare_theories forecast"
)
order = ExplicitOrder([f"{name}.py" for name in [*SCRIPTS.split(), "first_run"]])


def remove_outputs(gallery_conf: dict[str, Any], script: str) -> None:
    """Remove the run that an earlier build of the tutorial has trained."""
    shutil.rmtree(DOCS / "_tutorial" / "runs", ignore_errors=True)
