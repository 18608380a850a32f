"""Training under interventions: with their gradient, compiled or not, alone or together."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from tests.transformer.conftest import draw_batch, make_state, numbers_at, randomise, tiny_config
from tests.transformer.model.textbook import make_model
from transformer import load_model, train
from transformer.config import OptimConfig
from transformer.config.interventions import Intervention
from transformer.data.evaluators import evaluation_sets
from transformer.data.exemplar_sets import load_exemplars
from transformer.interventions.attention import Ablate, ForbidPreviousToken, Preserve
from transformer.interventions.grafts import GraftIn, GraftOut
from transformer.measures.history import history
from transformer.measures.of_models import View
from transformer.model.loaded import Model
from transformer.model.transformer import cross_entropy, encode, logits_of_items
from transformer.runs.folder import load_run
from transformer.runs.loop import evaluate_checkpoint, train_together
from transformer.training.machine import Machine, can_compile
from transformer.training.step import RunSettings

CASES = {
    "none": "[]",
    "ablated": '{"Ablate": {"heads": ["0:1"]}}',
    "forbidden": '{"ForbidPreviousToken": {"heads": ["0:*"], "rows": "labels"}}',
    "clamped": '{"ClampPattern": {"heads": ["1:0"], "strength": 0.9}}',
    "kept": '[{"Preserve": {"what": ["keys"]}}, {"Ablate": {"heads": ["0:*"]}}]',
}
MACHINE = Machine("cpu", 1, "eager")


def settings_of(case: str, rate: float = 1e-3) -> RunSettings:
    optim = OptimConfig(learning_rate=rate)
    return RunSettings(3, optim, interventions=Intervention.from_json_text(CASES[case]))


def trained(state, n_steps: int = 20):
    """A state after some steps, of which all runs see the same."""
    alone, n_runs = make_state(state.model, [settings_of("none")]), len(state.loss_sum)
    for step in range(1, n_steps + 1):
        batch = (each.expand(n_runs, *each.shape[1:]) for each in draw_batch(alone, seed=step))
        state.step(*batch, numbers_at(state, [1e-3] * n_runs, step))
    return state


def test_runs_under_different_interventions_are_each_as_alone():
    model = make_model(2, mlp_ratio=2)
    together = trained(make_state(model, [settings_of(case) for case in CASES]))
    moved = []
    for number, case in enumerate(CASES):
        alone = trained(make_state(model, [settings_of(case)]))
        for name, value in alone.parameters.items():
            torch.testing.assert_close(together.parameters[name][number], value[0])
        moved.append(alone.parameters["W_U"])
    for one in moved[1:]:
        assert not torch.allclose(one, moved[0])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.skipif(not can_compile(torch.device("cpu")), reason="no C++ compiler")
def test_compiled_steps_are_plain_ones():
    """After 200 steps, of a run with a second pass and of all together."""
    model = make_model(2)
    for cases in (["kept"], list(CASES)):
        plain, compiled = (
            trained(
                make_state(
                    model,
                    [settings_of(case) for case in cases],
                    precision="float64",
                    execution=execution,
                ),
                200,
            )
            for execution in ("eager", "compiled")
        )
        for name, value in plain.parameters.items():
            torch.testing.assert_close(compiled.parameters[name], value, rtol=1e-6, atol=1e-6)


def operations(gradients, *arguments) -> list[object]:
    """What a function does, operation by operation: what a compiler sees."""
    graph = make_fx(gradients)(*arguments).graph
    return [node.target for node in graph.nodes if node.op == "call_function"]


def test_without_interventions_a_step_has_no_trace_of_them():
    """Its gradient is, operation for operation, that of the model's loss written out."""
    model = make_model(2, mlp_ratio=2)
    state, ablated = (make_state(model, [settings_of(case)]) for case in ("none", "ablated"))
    assert state.intervened is None
    batch = draw_batch(state)

    def loss(parameters, features, labels, target):
        items, _ = encode(parameters, model, features, training=True)
        z = logits_of_items(parameters, model, items, labels)
        each = cross_entropy(z, target)
        return each.sum(), each

    def written_out(*batch):
        return torch.func.grad(loss, has_aux=True)(state.parameters, *batch)

    def operations_of(each):
        return operations(lambda *batch: each._gradients(*batch)[:2], *batch)

    expected = operations(written_out, *batch)
    assert operations_of(state) == expected
    assert operations_of(ablated) != expected


def test_ablated_heads_have_no_gradient():
    model = make_model(2)
    state = randomise(make_state(model, [settings_of("ablated")]))
    gradients, _, _ = state._gradients(*draw_batch(state))
    own = gradients["blocks.0.W_QKV"][0, :, 1]
    assert not own.any() and gradients["blocks.0.W_QKV"][0, :, 0].all()


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    config = replace(tiny_config(), n_steps=8, checkpoint_every=4)
    return train(config, tmp_path_factory.mktemp("parent") / "run", MACHINE)


@pytest.mark.parametrize(
    "graft, own",
    [
        (lambda p: GraftIn(checkpoint=str(p), till=0), "output.0"),
        (lambda p: GraftOut(checkpoint=str(p), from_=0), "input.0"),
    ],
)
def test_a_grafted_half_does_not_move(parent, tmp_path, graft, own):
    """Of the model's own parameters, those that the graft stands for; nor does the other run's."""
    from transformer.config.model import in_part

    before = {n: v.clone() for n, v in parent.checkpoint(8).tensors.items()}
    config = replace(
        tiny_config(),
        init_seed=6,
        interventions=(graft(parent.path),),
        n_steps=8,
        checkpoint_every=1,
    )
    run = train(config, tmp_path / "run", MACHINE)
    first, last = run.checkpoint(1).tensors, run.checkpoint(8).tensors
    for name, value in last.items():
        if in_part(name, own):
            assert not torch.equal(value, first[name]), name
        else:
            assert torch.equal(value, first[name]), name
    for name, value in parent.checkpoint(8).tensors.items():
        assert torch.equal(value, before[name])
    loaded = load_run(run.path).config.interventions[0]
    assert (loaded.run_id, loaded.step) == (parent.config.run_id(), 8)
    assert run.config.run_id() != config.run_id(), "what is grafted is part of the run's identity"


def test_a_run_is_evaluated_under_what_it_was_trained_under(parent, tmp_path, call):
    forbid = ForbidPreviousToken(heads=("0:*",), rows="labels")
    run = train(replace(tiny_config(), interventions=(forbid,)), tmp_path / "run", MACHINE)
    found = evaluate_checkpoint(run)
    row = run.metrics()[-1]
    assert found.metrics["icl"]["loss"] == pytest.approx(row["icl/loss"], rel=1e-5)
    assert found.acted[forbid] > 0
    assert "ForbidPreviousToken" in call("transformer", "show", run.path)
    further = evaluate_checkpoint(run, interventions=(Ablate(heads=("1:*",)),))
    assert further.metrics["icl"]["loss"] != found.metrics["icl"]["loss"]
    assert {*further.acted} == {forbid, Ablate(heads=("1:*",))}


def test_what_a_run_was_trained_under_can_be_left_out(tmp_path, call):
    """As the papers' code does: what is given replaces it."""
    forbid, ablate = ForbidPreviousToken(heads=("0:*",), rows="labels"), Ablate(heads=("1:*",))
    run = train(replace(tiny_config(), interventions=(forbid,)), tmp_path / "run", MACHINE)
    model = load_model(run)
    plain = Model(model.config, model.parameters, model.step)
    for given in ((), (ablate,)):
        found = evaluate_checkpoint(run, interventions=given, replace_own=True)
        assert {*found.acted} == {*given}
        with plain.intervened(*given):
            view = View(plain, "icl", load_exemplars(run.config.data.exemplars),
                        evaluation_sets(run)["icl"])  # fmt: skip
            expected = view.metric("loss")
        assert found.metrics["icl"]["loss"] == pytest.approx(expected, rel=1e-5)
        out = tmp_path / f"{len(given)}.csv"
        about = history(run, ["accuracy"], out, interventions=given, replace_own=True)
        assert about["replaces"] and about != history(run, ["accuracy"], tmp_path / "own.csv")
        rows = [
            row
            for row in csv.DictReader(out.read_text().splitlines())
            if row["step"] == str(model.step)
        ]
        (loss,) = (r["value"] for r in rows if (r["evaluator"], r["what"]) == ("icl", "loss"))
        assert float(loss) == pytest.approx(expected, rel=1e-5)
    printed = call("transformer", "evaluate", run.path, "--json", "--replace-interventions")
    assert json.loads(printed)["interventions"] == []


def test_runs_of_an_ensemble_differ_in_interventions(tmp_path):
    config = replace(tiny_config(), n_steps=4)
    configs = {
        "plain": config,
        "kept": replace(config, interventions=(Preserve(what=("keys",)), Ablate(heads=("0:*",)))),
    }
    runs = train_together(configs, tmp_path / "runs", MACHINE)
    plain, kept = (run.metrics()[-1]["train/loss"] for run in runs)
    assert plain != kept
    assert evaluation_sets(runs[0]).keys() == evaluation_sets(runs[1]).keys()
