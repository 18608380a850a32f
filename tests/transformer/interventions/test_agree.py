"""Interventions together against their slow definitions; alone: `test_laws`."""

import pytest
import torch

from tests.transformer.conftest import BATCH, draw_batch
from tests.transformer.model.textbook import EXACT, make, make_model, of_run, slow_intervened
from transformer.config.interventions import Intervention
from transformer.config.plain import from_named_dicts
from transformer.model.loaded import Model

CASES = {
    "clamp an earlier layer": {"ClampPattern": {"heads": ["0:0"], "strength": 0.25}},
    "perfect input, copied": {
        "PerfectPreviousTokenInput": {"layer": 1},
        "CopyFromPattern": {"head": "1:0"},
    },
    **{
        f"only {kept} recomputed": {
            "Ablate": {"heads": ["0:0", "0:1"]},
            "Preserve": {"what": [w for w in ("queries", "keys", "values") if w != kept]},
        }
        for kept in ("queries", "keys", "values")
    },
    "patterns kept": {"Ablate": {"heads": ["0:0", "0:1"]}, "Preserve": {"what": ["patterns"]}},
    "one head copies": {
        "AblateEmbedding": {},
        "Ablate": {"heads": ["0:0", "0:1", "1:0"]},
        "Preserve": {"what": ["patterns", "values"]},
        "ClampPattern": {"heads": ["1:1"], "strength": 0.4},
    },
}


@pytest.mark.parametrize(
    "variant", [{}, {"mlp_ratio": 4, "attention_bias": True, "positions": "rotary"}]
)
@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_slow_definition(case, variant):
    model = make_model(2, **variant)
    train_state = make(model, n_runs=1)
    features, labels, target = (each[0] for each in draw_batch(train_state))
    target = torch.where(torch.arange(BATCH) < 2, labels[0], target)  # and some that are not there
    p = of_run(train_state, 0)
    interventions = from_named_dicts(
        Intervention, [{name: settings} for name, settings in CASES[case].items()], "case"
    )
    found = Model(model, p, interventions=interventions).logits(
        features.transpose(0, 1), labels.T, target=target
    )
    for n in (1, 3):
        slow = slow_intervened(p, model, features[:, n], labels[:, n], target[n], do=CASES[case])
        torch.testing.assert_close(found[n], slow, **EXACT)
    plain = Model(model, p).logits(features.transpose(0, 1), labels.T)
    assert not torch.allclose(found, plain), "it did nothing"
