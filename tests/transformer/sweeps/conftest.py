import pytest

# a graph of every kind of node, but for encoders: four runs, two of them trained as one
PLAN = """
from dataclasses import replace

from transformer.config import DataConfig, EvaluationConfig, ModelConfig, RunConfig, StartConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.sweeps.measure import RunTable
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train

BASE = RunConfig(
    model=ModelConfig(d_model=16, n_heads=2),
    data=DataConfig(exemplars=GlyphConfig(n_classes=20, n_exemplars=4), batch_size=8),
    evaluation=EvaluationConfig(every=10, n_sequences=50, n_classes=20, n_exemplars=3),
    n_steps=40,
    checkpoint_every=10,
)
PLAN = Plan(
    [
        Train(name="first", config=BASE),
        Train(name="on", config=replace(BASE, start=StartConfig(step=20)), after="first"),
        Train(name="long", config=replace(BASE, n_steps=60), extends="first"),
        Train(name="pair", config={f"seed_{n}": replace(BASE, init_seed=n) for n in (6, 7)}),
        RunTable(name="norms", measure="weight_norms", of=("first", "pair")),
        RunTable(name="events", measure="events", of=("first", "on", "long", "pair")),
    ]
)
"""
NODES = ("first", "on", "long", "pair", "norms", "events")


@pytest.fixture(scope="session")
def plan_file(tmp_path_factory):
    """The file of the small plan."""
    path = tmp_path_factory.mktemp("plan") / "small_plan.py"
    path.write_text(PLAN)
    return path


@pytest.fixture(scope="session")
def swept(plan_file, tmp_path_factory):
    """The small plan worked off, never interrupted."""
    from transformer.cli import main

    runs = tmp_path_factory.mktemp("swept") / "runs"
    command = ["sweep", str(plan_file), "--runs", str(runs), "--jobs", "2", "--device", "cpu"]
    assert main(command) == 0
    return runs
