"""A sweep of all runs of the coopetition paper at scale smoke, made once."""

import pytest

from paper_figures.core.collect import keep_finished
from transformer.experiments.plans import load_plan


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The folder of what is kept of it."""
    folder = tmp_path_factory.mktemp("smoke")
    plan, data = load_plan("coopetition", "smoke"), folder / "kept"
    for node in plan.nodes.values():
        node.execute(folder, "cpu", 1)
    keep_finished(plan, folder, "coopetition", "smoke", data)
    return data
