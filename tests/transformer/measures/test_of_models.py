"""Measures of models against their definitions, written out on the patterns and logits."""

from dataclasses import replace

import pytest
import torch

from tests.transformer.conftest import tiny_config
from transformer import load_model, train
from transformer.config import ModelConfig
from transformer.data.exemplar_sets import load_exemplars
from transformer.interventions.attention import Ablate, ClampPattern, Preserve
from transformer.interventions.inputs import AblateEmbedding, At
from transformer.measures import MEASURES
from transformer.measures.of_models import PARTS, View
from transformer.model.loaded import Model
from transformer.training.machine import Machine


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = replace(tiny_config(), n_steps=8, checkpoint_every=4)
    return train(config, tmp_path_factory.mktemp("measured") / "run", Machine("cpu", 1, "eager"))


@pytest.fixture
def view_of(run):
    """A view of the run's model by evaluator."""
    exemplars, sets = load_exemplars(run.config.data.exemplars), run.evaluation_sets()
    return lambda evaluator: View(load_model(run), evaluator, exemplars, sets[evaluator])


def inputs_of(view):
    features = view.exemplars.features(view.sequences.exemplars.T)
    return features, view.sequences.labels.T, view.sequences.target


def values(view, measure, **wanted):
    """The values of the rows of a measure that have certain columns."""
    rows = MEASURES[measure](view)
    return [row["value"] for row in rows if wanted.items() <= row.items()]


def test_attention_measures_are_those_of_the_patterns(view_of):
    """Against a loop over the sequences one by one."""
    view = view_of("flip")
    features, labels, target = inputs_of(view)
    _, cache = view.model.run_with_cache(features, labels, names="blocks.*.pattern")
    expected = {name: [] for name in ("strength", "correct", "previous", "self")}
    of_sequence, by_token = {}, []
    for n, (row, right) in enumerate(zip(labels, target, strict=True)):
        for head in view.heads:
            query = cache["blocks.1.pattern"][n, head, -1]
            first = cache["blocks.0.pattern"][n, head]
            at = 1 if row[0] == right else 3
            expected["strength"].append(float(query[at] - query[4 - at]))
            expected["correct"].append(float(query[at]))
            expected["previous"].append(float(first[1, 0] + first[3, 2]) / 2)
            expected["self"].append(float(first[1, 1] + first[3, 3]) / 2)
            of_sequence[n, head] = expected["strength"][-1]
            if head == 0 and at == 3:
                by_token.append(query)
    found = {
        "strength": values(view, "induction_strength", layer=1),
        "correct": values(view, "query_attention", layer=1, what="correct"),
        "previous": values(view, "previous_token", layer=0),
        "self": values(view, "self_attention", layer=0),
    }
    for name, own in found.items():
        mean = sum(expected[name]) / len(expected[name])
        assert sum(own) / len(own) == pytest.approx(mean, abs=1e-6), name
    rows = {
        (row["at"], row["head"]): row["value"] for row in MEASURES["strength_by_sequence"](view)
    }
    assert rows == pytest.approx(of_sequence, abs=1e-6)
    row = values(view, "query_row", layer=1, head=0, what="target in pair 2")
    assert row == pytest.approx(torch.stack(by_token).mean(0).tolist(), abs=1e-6)


@pytest.mark.parametrize("measure", [n for n, each in MEASURES.items() if each.per == "evaluator"])
def test_every_measure_gives_finite_numbers(view_of, measure):
    own = values(view_of("ciwl"), measure)
    assert own and torch.tensor(own).isfinite().all()


@pytest.mark.parametrize("measure", ["composition", "paths"])
def test_the_first_row_is_what_training_recorded(run, view_of, measure):
    first = next(iter(MEASURES[measure](view_of("ciwl"))))
    recorded = run.metrics()[-1]["ciwl/in_context_accuracy"]
    assert (first["what"], first["value"]) == ("default", pytest.approx(recorded))


def test_accuracies_are_those_under_the_interventions(view_of):
    """Each written out by hand, on one evaluator."""
    view = view_of("ciwl")
    features, labels, target = inputs_of(view)

    def accuracy(*interventions) -> float:
        with view.model.intervened(*interventions):
            z = view.model.logits(features, labels, target=target)
        in_context = z.gather(1, labels)
        right = in_context.argmax(1) == (labels == target[:, None]).int().argmax(1)
        return pytest.approx(float(right.float().mean()))

    silent = Ablate(heads="0:*")
    kept = Preserve(what=("queries", "keys", "values"))
    only_keys = accuracy(silent, Preserve(what=("queries", "values")))
    assert values(view, "composition", what="only keys recomputed") == [only_keys]
    assert values(view, "composition", what="kept") == [accuracy(silent, kept)]
    alone = (AblateEmbedding(), Preserve(what=("patterns", "values")))
    assert values(view, "paths", what="heads alone") == [accuracy(*alone)]
    assert values(view, "paths", what="no heads") == [accuracy(Ablate(heads=("0:*", "1:*")))]
    others = [f"{layer}:{h}" for layer in (0, 1) for h in view.heads if (layer, h) != (1, 1)]
    clamp = ClampPattern(heads="1:1", strength=1.0)
    clamped = accuracy(*alone, Ablate(heads=others), clamp)
    assert values(view, "copying", head=1, at=1.0) == [clamped]


def test_superposition_changes_one_head_while_all_attend_to_labels_only(view_of):
    """The manipulation of figure 15c, written again as a function of the attention scores."""
    view = view_of("train")
    rows = [*MEASURES["superposition"](view, temperatures=(0.1, 1.0))]
    assert len(rows) == 2 * len(view.heads)

    def heated(head, temperature):
        def act(name, scores, scene):
            scores = scores.clone()
            scores[:, :, -1, ::2] = -1e9
            scores[:, head, -1] /= temperature
            return scores

        return view.metric("in_context_probability", At(names="blocks.1.attn_scores", function=act))

    for row in rows:
        assert (row["what"], row["layer"]) == ("one of all", 1)
        assert row["value"] == pytest.approx(heated(row["head"], row["at"]), abs=1e-6)
    assert len({row["value"] for row in rows if row["at"] == 1.0}) == 1
    assert len({row["value"] for row in rows if row["at"] == 0.1}) > 1
    (common,) = MEASURES["common_temperature"](view, temperatures=(1.0,))
    assert common["value"] == pytest.approx(view.metric("in_context_probability"))


def test_a_view_measures_the_model_under_its_present_interventions(view_of):
    view = view_of("flip")
    before = view.patterns[1].clone()
    with view.model.intervened(ClampPattern(heads="1:*", strength=0.75)):
        assert not torch.allclose(view.patterns[1], before)
        assert values(view, "induction_strength", layer=1, head=0) == [pytest.approx(0.5)]
    assert torch.equal(view.patterns[1], before)


@pytest.mark.parametrize("has_mlp", [False, True])
def test_weight_norms_have_a_column_for_every_part(has_mlp):
    parameters = {"W_E": torch.tensor([[3.0, 4.0]]), "b_E": torch.zeros(2), "W_U": torch.zeros(2)}
    if has_mlp:
        parameters["blocks.0.W_in"] = torch.tensor([2.0])
    (row,) = MEASURES["weight_norms"](Model(ModelConfig(), parameters))
    assert [*row] == [*PARTS]
    assert row["encoder"] == 5 and row["unembedding"] == 0, "a norm of 0 is one"
    assert row["mlp"] == (2 if has_mlp else None) and row["labels"] is None
