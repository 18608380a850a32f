"""Training under interventions: with their gradient, compiled or not, alone or together."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from tests.transformer.conftest import (
    compiled,
    draw_batch,
    make_state,
    numbers_at,
    randomise,
)
from tests.transformer.interventions.conftest import CONFIG, MACHINE
from tests.transformer.model.textbook import make_model
from transformer import load_model, train
from transformer.config import OptimConfig
from transformer.config.interventions import Intervention
from transformer.data.exemplar_sets import load_exemplars
from transformer.interventions.attention import Ablate, ForbidPreviousToken
from transformer.measures.of_models import View
from transformer.model.transformer import cross_entropy, encode, logits_of_items
from transformer.runs.evaluation import evaluate_checkpoint
from transformer.runs.measures import write_model_table
from transformer.training.step import RunSettings

CASES = {
    "none": "[]",
    "ablated": '{"Ablate": {"heads": ["0:1"]}}',
    "forbidden": '{"ForbidPreviousToken": {"heads": ["0:*"], "rows": "labels"}}',
    "clamped": '{"ClampPattern": {"heads": ["1:0"], "strength": 0.9}}',
    "kept": '[{"Preserve": {"what": ["keys"]}}, {"Ablate": {"heads": ["0:*"]}}]',
}
FORBID = ForbidPreviousToken(heads=("0:*",), rows="labels")
ABLATE = Ablate(heads=("1:*",))


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


@compiled
def test_compiled_steps_are_plain_ones():
    """After 200 steps, of a run with a second pass and of all together."""
    model = make_model(2)
    for cases in (["kept"], list(CASES)):
        plain, fast = (
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
            torch.testing.assert_close(fast.parameters[name], value, rtol=1e-6, atol=1e-6)


def test_without_interventions_a_step_computes_the_written_out_loss_and_nothing_else():
    """Operation for operation, as a compiler sees them."""
    model = make_model(2, mlp_ratio=2)
    state, ablated = (make_state(model, [settings_of(case)]) for case in ("none", "ablated"))
    assert state.intervened is None
    batch = draw_batch(state)

    def loss(parameters, features, labels, target):
        items, _ = encode(parameters, model, features, training=True)
        each = cross_entropy(logits_of_items(parameters, model, items, labels), target)
        return each.sum(), each

    def written_out(*batch):
        return torch.func.grad(loss, has_aux=True)(state.parameters, *batch)

    def operations(gradients):
        graph = make_fx(gradients)(*batch).graph
        return [node.target for node in graph.nodes if node.op == "call_function"]

    plain, changed = (
        operations(lambda *batch, own=each: own._traceable_gradients(*batch)[:2])
        for each in (state, ablated)
    )
    assert plain == operations(written_out)
    assert changed != plain


def test_ablated_heads_have_no_gradient():
    model = make_model(2)
    state = randomise(make_state(model, [settings_of("ablated")]))
    gradients, _, _ = state._gradients(*draw_batch(state))
    own = gradients["blocks.0.W_QKV"][0, :, 1]
    assert not own.any() and gradients["blocks.0.W_QKV"][0, :, 0].all()


@pytest.fixture(scope="module")
def forbidden(tmp_path_factory):
    """A run that was trained under an intervention."""
    config = replace(CONFIG, interventions=(FORBID,))
    return train(config, tmp_path_factory.mktemp("forbidden") / "run", MACHINE)


def test_a_run_is_evaluated_under_what_it_was_trained_under(forbidden, call):
    found = evaluate_checkpoint(forbidden)
    row = forbidden.metrics()[-1]
    assert found.metrics["icl"]["loss"] == pytest.approx(row["icl/loss"], rel=1e-5)
    assert found.acted[FORBID] > 0
    assert "ForbidPreviousToken" in call("transformer", "show", forbidden.path)
    further = evaluate_checkpoint(forbidden, interventions=(ABLATE,))
    assert further.metrics["icl"]["loss"] != found.metrics["icl"]["loss"]
    assert {*further.acted} == {FORBID, ABLATE}


@pytest.mark.parametrize("given", [(), (ABLATE,)])
def test_what_a_run_was_trained_under_can_be_left_out(forbidden, given, tmp_path, call):
    """As the papers' code does: what is given replaces it."""
    model = load_model(forbidden)
    model.interventions = given
    exemplars = load_exemplars(forbidden.config.data.exemplars)
    expected = View(model, "icl", exemplars, forbidden.evaluation_sets()["icl"]).metric("loss")
    found = evaluate_checkpoint(forbidden, interventions=given, replace_own=True)
    assert {*found.acted} == {*given}
    assert found.metrics["icl"]["loss"] == pytest.approx(expected, rel=1e-5)
    out, evaluators = tmp_path / "table.csv", {"steps": [8], "evaluators": ["icl"]}
    about = write_model_table(
        forbidden, ["accuracy"], out, interventions=given, replace_own=True, **evaluators
    )
    own = write_model_table(forbidden, ["accuracy"], tmp_path / "own.csv", **evaluators)
    assert about["replaces"] and about != own
    rows = csv.DictReader(out.read_text().splitlines())
    (loss,) = (float(row["value"]) for row in rows if row["what"] == "loss")
    assert loss == pytest.approx(expected, rel=1e-5)
    flags = ("--json", "--replace-interventions")
    assert (
        json.loads(call("transformer", "evaluate", forbidden.path, *flags))["interventions"] == []
    )
