"""Runs that are evaluated together, as on a GPU, against each alone."""

from dataclasses import replace

import pytest
import torch

from tests.transformer.conftest import CountCalls
from transformer import in_memory
from transformer.config.interventions import Intervention
from transformer.measures import metrics as measured
from transformer.training import ensemble as ensemble_module
from transformer.training.machine import Machine

HERE = Machine("cpu", 1, "eager")
INTERVENTIONS = (
    "[]",
    '[{"Preserve": {"what": ["keys"]}}, {"Ablate": {"heads": ["0:*"]}}]',
    '{"ClampPattern": {"heads": ["1:0"], "strength": 0.9}}',
)


@pytest.fixture
def ensemble(tiny):
    """Runs that differ in seeds, exemplars and interventions, after some steps."""
    configs = [
        replace(
            tiny,
            init_seed=number,
            data_seed=number,
            interventions=Intervention.from_json_text(text),
            data=replace(
                tiny.data, exemplars=replace(tiny.data.exemplars, seed=max(0, number - 1))
            ),
        )
        for number, text in enumerate(INTERVENTIONS)
    ]
    ensemble = in_memory(*configs, machine=HERE)
    for _ in range(3):
        ensemble.advance()
    return ensemble


def test_metrics_may_be_given_by_name(ensemble):
    assert [*ensemble.metric_rows(evaluated=ensemble.evaluate())] == [0, 1, 2]


@pytest.mark.parametrize("n_failed", [0, 1, 2, 3])
def test_runs_are_evaluated_together_as_alone(ensemble, n_failed):
    ensemble.failures = dict.fromkeys(range(n_failed), "given up")
    alone = ensemble.evaluate()
    ensemble.device = torch.device("cuda")  # where runs are evaluated together
    together = ensemble.evaluate()
    assert [*together] == [*alone] == [*range(n_failed, 3)]
    for number, by_evaluator in alone.items():
        torch.testing.assert_close(together[number], by_evaluator, equal_nan=True)
    assert ensemble.metric_rows(together).keys() == alone.keys()


def test_a_device_evaluates_at_once_what_has_the_same_shapes(ensemble):
    ensemble.device = torch.device("cuda")
    assert ensemble._groups_to_evaluate() == [[0, 1, 2]]
    del ensemble.evaluation_sets[1]["iwl"]
    assert ensemble._groups_to_evaluate() == [[0, 2], [1]]
    ensemble.failures = {0: "given up"}
    assert ensemble._groups_to_evaluate() == [[1], [2]]


def test_each_run_has_features_of_its_own_exemplars(ensemble):
    """Runs 0 and 1 share a set."""
    assert len({id(each) for each in ensemble.exemplars}) == 2
    index = torch.randint(20, (3, ensemble.config.data.context + 1, 5))
    features = ensemble._features(index)
    for number, exemplars in enumerate(ensemble.exemplars):
        assert torch.equal(features[number], exemplars.features(index[number]))


def test_the_runs_of_an_evaluation_are_sorted_by_exemplars_once(ensemble, monkeypatch):
    """Not for each of five evaluators; a single set needs no numbers of its runs on the device."""
    made, sort = [], ensemble_module.RunExemplars
    monkeypatch.setattr(ensemble_module, "RunExemplars", lambda sets: made.append(1) or sort(sets))
    ensemble.device = torch.device("cuda")
    ensemble.evaluate()
    assert len(made) == 1
    with CountCalls() as mode:
        sort(ensemble.exemplars[:2])
    assert mode.n_calls == 0


def test_a_device_takes_the_sequences_of_all_runs_in_pieces(ensemble, monkeypatch):
    """The size of pieces changes nothing."""
    whole = ensemble._evaluate_together(ensemble.live)
    monkeypatch.setattr(measured, "CHUNK", 7)
    monkeypatch.setattr(measured, "CACHED", 100)
    pieces = ensemble._evaluate_together(ensemble.live)
    for number, by_evaluator in whole.items():
        torch.testing.assert_close(pieces[number], by_evaluator, equal_nan=True)


def test_pieces_fit_into_the_memory_that_all_runs_share(tiny):
    """Each of twice as many runs evaluates half as many sequences at once."""
    sizes = {}
    for n_runs in (1, 2, 64):
        shape = n_runs, 12_800
        sizes[n_runs] = measured.piece_sizes(tiny.model, shape, 3, 4, is_cpu=False)
    assert sizes[1][0] // 2 == sizes[2][0] and sizes[1][1] // 2 == sizes[2][1]
    assert min(sizes[64]) > 1
    few = measured.piece_sizes(tiny.model, shape, 3, 4, is_cpu=False, is_intervened=True)
    assert few == (sizes[64][1], sizes[64][1])
