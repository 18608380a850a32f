"""Halves of other models: what they compute, in which runs, and what stays as it is."""

from dataclasses import replace

import pytest
import torch

from coopetition.tools.errors import UsageError, UserError
from tests.transformer.conftest import compiled, tiny_config
from tests.transformer.interventions.explicit import slow_intervened
from tests.transformer.model.textbook import EXACT
from transformer import load_model, train
from transformer.config.model import in_part
from transformer.config.plain import to_named_dict
from transformer.data.evaluators import evaluation_sets
from transformer.interventions import grafts as graft
from transformer.interventions.attention import Ablate, ClampPattern, Preserve
from transformer.interventions.grafts import GraftIn, GraftOut
from transformer.model.loaded import Model
from transformer.runs.loop import evaluate_checkpoint, resume, train_or_resume
from transformer.runs.prepare import load_each
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train
from transformer.training.ensemble import Ensemble
from transformer.training.machine import Machine

MACHINE = Machine("cpu", 1, "eager")
CONFIG = replace(tiny_config(), n_steps=8, checkpoint_every=4)
GRAFTS = {"GraftIn": lambda path: GraftIn(checkpoint=path, till=0)}
GRAFTS["GraftOut"] = lambda path: GraftOut(checkpoint=path, from_=0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grafts")
    return [
        train(replace(CONFIG, init_seed=seed), folder / f"run_{seed}", MACHINE) for seed in (5, 6)
    ]


def batch(n=5):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(20, (n, 2), generator=generator)
    exemplars = torch.rand(n, 3, 784, generator=generator, dtype=torch.float64)
    return exemplars, labels, labels[:, 0]


def under(model, *interventions):
    exemplars, labels, target = batch()
    with model.intervened(*interventions):
        return model.logits(exemplars, labels, target=target)


def doubled(run) -> Model:
    model = load_model(run)
    return Model(model.config, {name: value.double() for name, value in model.parameters.items()})


@pytest.mark.parametrize(
    ("kind", "beside"),
    [
        ("GraftIn", ()),
        ("GraftIn", (Ablate(heads="1:0"),)),
        ("GraftOut", ()),
        ("GraftOut", (ClampPattern(heads="0:1"),)),
    ],
)
def test_logits_are_those_of_the_slow_definition(runs, kind, beside):
    graft = GRAFTS[kind](runs[1].path)
    model, other = doubled(runs[0]), doubled(runs[1])
    do = {
        name: settings
        for each in (graft, *beside)
        for name, settings in to_named_dict(each).items()
    }
    found = under(model, graft, *beside)
    exemplars, labels, target = batch()
    for n in range(2):
        slow = slow_intervened(
            model.parameters,
            model.config,
            exemplars[n],
            labels[n],
            target[n],
            do=do,
            other=other.parameters,
        )
        torch.testing.assert_close(found[n], slow, **EXACT)


@pytest.mark.parametrize("kind", GRAFTS)
def test_a_graft_of_what_was_trained_under_a_graft_is_what_that_computes(runs, kind, tmp_path):
    """In both halves: its own never trained part has no say."""
    graft = GRAFTS[kind](runs[1].path)
    config = replace(CONFIG, init_seed=7, interventions=(graft,))
    middle = train(config, tmp_path / "run", MACHINE)
    model, own = load_model(runs[0]), load_model(middle)
    close = {"rtol": 1e-4, "atol": 1e-4}
    itself = under(own)
    if kind == "GraftOut":
        upper = GraftOut(checkpoint=middle.path, from_=0)
        torch.testing.assert_close(under(model, upper), under(model, graft), **close)
        whole = GraftIn(checkpoint=middle.path, till=1)
        assert not torch.allclose(under(model, whole), itself), "but for the unembedding"
    else:
        lower = GraftIn(checkpoint=middle.path, till=0)
        torch.testing.assert_close(under(model, lower), under(model, graft), **close)
        torch.testing.assert_close(
            under(own, GraftOut(checkpoint=middle.path, from_=0)), itself, **close
        )


def test_grafts_that_overlap_are_refused(runs):
    path = runs[1].path
    grafts = GraftIn(checkpoint=path, till=1), GraftOut(checkpoint=path, from_=0)
    with pytest.raises(UsageError, match="both set layer 1; leave one out"):
        under(load_model(runs[0]), *grafts)


@pytest.mark.parametrize("kind", GRAFTS)
def test_what_a_graft_stands_for_does_not_move_whatever_the_penalty(runs, kind, tmp_path):
    graft = GRAFTS[kind](runs[1].path)
    optim = replace(CONFIG.optim, l2=(("all", 0.1),), clip_norm=0.01)
    config = replace(CONFIG, init_seed=6, interventions=(graft,), optim=optim, checkpoint_every=1)
    run = train(config, tmp_path / "run", MACHINE)
    (part,) = graft.replaces()
    first, last = run.checkpoint(1).tensors, run.checkpoint(8).tensors
    moved = {name: not torch.equal(value, first[name]) for name, value in last.items()}
    assert {name for name in moved if not moved[name]} == {n for n in moved if in_part(n, part)}


def test_a_grafted_run_goes_on_by_its_config_and_by_its_folder(runs, tmp_path):
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


def test_no_number_of_grafted_runs_reads_checkpoints_at_every_evaluation(runs, monkeypatch):
    """Six grafts of different checkpoints, more than any cache of a few models holds."""
    paths = [run.checkpoint_path(step) for run in runs for step in (4, 8)]
    grafts = [GraftIn(checkpoint=path, till=till) for path in paths for till in (0, 1)]
    configs = [replace(CONFIG, interventions=(each.resolved(),)) for each in grafts]
    exemplars, sets = load_each(configs), [evaluation_sets(runs[0])] * len(configs)
    ensemble = Ensemble(configs, exemplars, sets, MACHINE)
    first, acted = ensemble.evaluate(), dict(ensemble.acted)

    def reads(*_):
        raise AssertionError("a checkpoint is read again")

    monkeypatch.setattr(graft, "load_model", reads)
    monkeypatch.setattr(graft, "load_run", reads)
    second = ensemble.evaluate()
    assert dict(ensemble.acted) == acted, "of one evaluation"
    for number, metrics in first.items():
        assert torch.equal(metrics["icl"]["loss"], second[number]["icl"]["loss"])


def test_a_graft_is_a_node_of_a_plan_after_what_it_is_grafted_with(tmp_path):
    name = "checkpoints/step_000000004.safetensors"
    grafted = replace(CONFIG, interventions=(GraftOut(checkpoint=f"first/{name}", from_=0),))
    first = Train(name="first", config=replace(CONFIG, init_seed=6))
    plan = Plan([Train(name="second", config=grafted), first])
    assert [*plan.nodes] == ["first", "second"]
    for node in plan.nodes.values():
        node.work(tmp_path, "cpu", 1)
        assert node.is_done(tmp_path)
    with pytest.raises(UsageError, match="second needs first, which is not in the plan"):
        Plan([Train(name="second", config=grafted)])
    with pytest.raises(UsageError, match="step 4 of first, which keeps no checkpoint of it"):
        fewer = replace(first, config=replace(CONFIG, checkpoint_every=5))
        Plan([plan.nodes["second"], fewer])


def test_a_parent_that_is_gone_is_told_as_the_grafts(runs, tmp_path):
    graft = GraftIn(checkpoint=runs[1].path, till=0)
    parent = train(CONFIG, tmp_path / "parent", MACHINE)
    graft = GraftIn(checkpoint=parent.path, till=0)
    run = train(replace(CONFIG, interventions=(graft,)), tmp_path / "run", MACHINE)
    parent.path.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="^GraftIn of .*parent: .* does not exist"):
        evaluate_checkpoint(run)


def test_what_is_preserved_is_what_the_model_computes_under_its_own_interventions(runs, tmp_path):
    """Not what it would compute without those that it was trained under."""
    own = (GraftIn(checkpoint=runs[1].path, till=0),)
    model = replace_interventions(load_model(runs[0]), own)
    plain = under(model)
    torch.testing.assert_close(under(model, Preserve(what=("queries", "keys", "values"))), plain)
    model = replace_interventions(load_model(runs[0]), (Ablate(heads="0:*"),))
    kept = under(model, Preserve(what=("queries", "keys", "values")))
    torch.testing.assert_close(kept, under(model))
    assert not torch.allclose(kept, under(load_model(runs[0])))


def replace_interventions(model: Model, interventions) -> Model:
    return Model(model.config, model.parameters, model.step, interventions)
