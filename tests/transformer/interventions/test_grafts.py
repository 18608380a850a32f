"""Halves of other models: what they compute, in which runs, and what stays as it is."""

from dataclasses import replace

import pytest
import torch

from coopetition.tools.errors import UsageError, UserError
from tests.transformer.conftest import compiled
from tests.transformer.interventions.conftest import CONFIG, MACHINE, plain, under
from tests.transformer.model.textbook import EXACT, slow_intervened
from transformer import load_model, load_run, train
from transformer.config.model import in_part
from transformer.config.plain import to_named_dict
from transformer.interventions.attention import Ablate, ClampPattern, Preserve
from transformer.interventions.grafts import GraftIn, GraftOut
from transformer.model.loaded import Model
from transformer.runs.evaluation import evaluate_checkpoint
from transformer.runs.prepare import resolve_recorded
from transformer.runs.train import resume, train_or_resume
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train
from transformer.training.ensemble import Ensemble
from transformer.training.machine import Machine

GRAFTS = {
    "GraftIn": lambda path, layer=0: GraftIn(checkpoint=path, till=layer),
    "GraftOut": lambda path, layer=0: GraftOut(checkpoint=path, from_=layer),
}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(20, (5, 2), generator=generator)
    exemplars = torch.rand(5, 3, 784, generator=generator, dtype=torch.float64)
    return exemplars, labels, labels[:, 0]


@pytest.mark.parametrize(
    ("kind", "layer", "beside"),
    [
        *((kind, layer, ()) for kind in GRAFTS for layer in (0, 1)),
        ("GraftIn", 0, (Ablate(heads="1:0"),)),
        ("GraftOut", 0, (ClampPattern(heads="0:1"),)),
    ],
)
def test_logits_are_those_of_the_slow_definition(runs, batch, kind, beside, layer):
    """The newest checkpoint, and an earlier one."""
    step = 8 if layer else 4
    path = runs[1].path if layer else runs[1].checkpoint_path(4)
    graft = GRAFTS[kind](path, layer)
    model, other = (
        Model(each.config, {name: value.double() for name, value in each.parameters.items()})
        for each in (load_model(runs[0]), load_model(runs[1], step))
    )
    do = {}
    for each in (graft, *beside):
        do |= to_named_dict(each)
    found = under(model, batch, graft, *beside)
    for n in range(2):
        sequence = (each[n] for each in batch)
        slow = slow_intervened(
            model.parameters, model.config, *sequence, do=do, other=other.parameters
        )
        torch.testing.assert_close(found[n], slow, **EXACT)
    resolved = graft.resolved()
    assert (resolved.run_id, resolved.step) == (runs[1].config.run_id(), step)


@pytest.mark.parametrize("kind", GRAFTS)
def test_a_graft_from_a_run_trained_under_a_graft_is_what_that_run_computes(
    runs, batch, kind, tmp_path
):
    """Its own half that was never trained has no effect."""
    graft = GRAFTS[kind](runs[1].path)
    middle = train(replace(CONFIG, init_seed=7, interventions=(graft,)), tmp_path / "run", MACHINE)
    model, own = load_model(runs[0]), load_model(middle)
    close = {"rtol": 1e-4, "atol": 1e-4}
    again = GRAFTS[kind](middle.path)
    torch.testing.assert_close(under(model, batch, again), under(model, batch, graft), **close)
    if kind == "GraftOut":
        whole = GraftIn(checkpoint=middle.path, till=1)
        assert not torch.allclose(under(model, batch, whole), under(own, batch)), "the unembedding"
    else:
        upper = GraftOut(checkpoint=middle.path, from_=0)
        torch.testing.assert_close(under(own, batch, upper), under(own, batch), **close)


def test_grafts_that_overlap_are_refused(runs, batch):
    path = runs[1].path
    grafts = GraftIn(checkpoint=path, till=1), GraftOut(checkpoint=path, from_=0)
    with pytest.raises(UsageError, match="GraftIn.*GraftOut"):
        under(load_model(runs[0]), batch, *grafts)
    twice = GraftIn(checkpoint=path, till=0), GraftIn(checkpoint=runs[0].path, till=0)
    with pytest.raises(UsageError, match="GraftIn.*GraftIn"):
        under(load_model(runs[0]), batch, *twice)


@pytest.mark.parametrize("kind", GRAFTS)
def test_neither_the_replaced_half_nor_the_source_moves(runs, kind, tmp_path):
    """Under any penalty, and only what the graft does not replace is trained."""
    parent, graft = runs[1], GRAFTS[kind](runs[1].path)
    before = parent.checkpoint(8).tensors
    optim = replace(CONFIG.optim, l2=(("all", 0.1),), clip_norm=0.01)
    config = replace(CONFIG, init_seed=6, interventions=(graft,), optim=optim, checkpoint_every=1)
    run = train(config, tmp_path / "run", MACHINE)
    (part,) = graft.replaces()
    first, last = run.checkpoint(1).tensors, run.checkpoint(8).tensors
    for name, value in last.items():
        assert torch.equal(value, first[name]) == in_part(name, part), name
    for name, value in parent.checkpoint(8).tensors.items():
        assert torch.equal(value, before[name]), name
    (loaded,) = load_run(run.path).config.interventions
    assert (loaded.run_id, loaded.step) == (parent.config.run_id(), 8)
    assert run.config.run_id() != config.run_id(), "the source is part of the run's id"


def test_a_grafted_run_continues_by_its_config_and_by_its_folder(runs, tmp_path):
    graft = GraftIn(checkpoint=runs[1].checkpoint_path(4), till=0)
    config = replace(CONFIG, init_seed=7, n_steps=4, interventions=(graft,))
    train_or_resume(config, tmp_path / "run", MACHINE)
    again = train_or_resume(config, tmp_path / "run", MACHINE)
    assert again.config.interventions[0].step == 4
    (longer,) = resume(tmp_path / "run", n_steps=8)
    whole = train(replace(config, n_steps=8), tmp_path / "whole", MACHINE)
    for name, value in whole.checkpoint(8).tensors.items():
        assert torch.equal(value, longer.checkpoint(8).tensors[name]), name


@compiled
@pytest.mark.parametrize("kind", GRAFTS)
def test_compiled_training_under_a_graft_equals_eager_training(runs, kind, tmp_path):
    config = replace(CONFIG, init_seed=7, interventions=(GRAFTS[kind](runs[1].path),))
    eager = train(config, tmp_path / "eager", MACHINE).checkpoint(8).tensors
    compiled_run = train(config, tmp_path / "compiled", Machine("cpu", 1, "compiled"))
    for name, value in compiled_run.checkpoint(8).tensors.items():
        torch.testing.assert_close(value, eager[name], rtol=1e-4, atol=1e-6)


def test_checkpoints_of_any_number_of_sources_are_read_once(runs, monkeypatch):
    paths = [run.checkpoint_path(step) for run in runs for step in (4, 8)]
    grafts = [GraftIn(checkpoint=path, till=till) for path in paths for till in (0, 1)]
    configs = [replace(CONFIG, interventions=(each.resolved(),)) for each in grafts]
    sets = runs[0].evaluation_sets()
    resolved = resolve_recorded(configs, with_start=False)
    ensemble = Ensemble([replace(each, evaluation_sets=sets) for each in resolved], MACHINE)
    first = ensemble.evaluate()

    def reads(*_):
        raise AssertionError("a checkpoint is read again")

    monkeypatch.setattr("transformer.runs.models.load_run", reads)
    second = ensemble.evaluate()
    for number, metrics in first.items():
        assert torch.equal(metrics["icl"]["loss"], second[number]["icl"]["loss"])


def test_a_graft_is_a_node_of_a_plan_after_its_source(tmp_path):
    name = "checkpoints/step_000000004.safetensors"
    grafted = replace(CONFIG, interventions=(GraftOut(checkpoint=f"first/{name}", from_=0),))
    first = Train(name="first", config=replace(CONFIG, init_seed=6))
    plan = Plan([Train(name="second", config=grafted), first])
    assert [*plan.nodes] == ["first", "second"]
    for node in plan.nodes.values():
        node.execute(tmp_path, "cpu", 1)
        assert node.is_done(tmp_path)
    with pytest.raises(UsageError, match="second.*first"):
        Plan([Train(name="second", config=grafted)])
    with pytest.raises(UsageError, match="step 4 of first"):
        fewer = replace(first, config=replace(CONFIG, checkpoint_every=5))
        Plan([plan.nodes["second"], fewer])


def test_a_missing_source_is_reported_with_the_graft(tmp_path):
    parent = train(CONFIG, tmp_path / "parent", MACHINE)
    graft = GraftIn(checkpoint=parent.path, till=0)
    run = train(replace(CONFIG, interventions=(graft,)), tmp_path / "run", MACHINE)
    parent.path.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="^GraftIn of .*parent"):
        evaluate_checkpoint(run)


def test_preserved_activations_are_those_under_the_models_own_interventions(runs, batch):
    preserve = Preserve(what=("queries", "keys", "values"))
    for own in (GraftIn(checkpoint=runs[1].path, till=0), Ablate(heads="0:*")):
        model = load_model(runs[0])
        without = plain(model, batch)
        model.interventions = (own,)
        preserved = under(model, batch, preserve)
        torch.testing.assert_close(preserved, plain(model, batch))
        assert not torch.allclose(preserved, without)
