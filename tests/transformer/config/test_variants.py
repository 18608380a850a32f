"""Variants of a config, and which of them can be trained together."""

import json
from dataclasses import replace

import pytest

from coopetition.tools.errors import UsageError
from transformer.config.variants import check_together, vary, with_texts
from transformer.interventions.attention import Ablate


def test_runs_are_varied_over_all_combinations(tiny):
    runs = vary(tiny, {"init_seed": ["5", "6"], "data.mode": ["bursty", "icl_only"]})
    assert list(runs) == [
        f"init_seed={seed},data.mode={mode}" for seed in (5, 6) for mode in ("bursty", "icl_only")
    ]
    last = runs["init_seed=6,data.mode=icl_only"]
    assert last.init_seed == 6 and last.data.mode == "icl_only"
    assert replace(last, init_seed=5, data=tiny.data) == tiny
    (mixed,) = vary(tiny, {"optim.l2": ['[["labels", 1e-4]]']}).values()
    assert mixed.optim.l2 == (("labels", 1e-4),)
    values = ["[]", '[{"Ablate": {"heads": ["0:1"]}}]']
    plain, ablated = vary(tiny, {"interventions": values}).items()
    assert plain == ("interventions=none", tiny)
    assert ablated[0] == "interventions=Ablate_heads_0_1"


def test_a_run_can_be_changed_by_a_text_of_any_length(tiny):
    heads = [f"{layer}:{head}" for layer in (0, 1) for head in (0, 1)]
    text = json.dumps([{"Ablate": {"heads": heads * 20}}])
    changed = with_texts(tiny, {"interventions": text, "init_seed": "6"})
    assert changed.interventions == (Ablate(heads=(*heads * 20,)),)
    assert replace(changed, interventions=(), init_seed=5) == tiny


@pytest.mark.parametrize(
    ("axes", "named"),
    [
        ({"seed": ["1"]}, "seed"),
        ({"data": ["1"]}, "data"),
        ({"init_seed.x": ["1"]}, "init_seed.x"),
        ({"init_seed": ["5", "5"]}, "init_seed=5 twice"),
        ({"init_seed": ["five"]}, "init_seed='five'"),
        ({"data.mode": ["all"]}, "mode 'all'"),
        ({"data.exemplars.n_classes": ["2"]}, "evaluation.n_classes=20"),
        ({"init_seed": ["1" * 300]}, "characters"),
    ],
)
def test_what_cannot_be_varied_is_refused(tiny, axes, named):
    with pytest.raises(UsageError) as caught:
        vary(tiny, axes)
    assert named in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("model.d_model", ["16", "32"]),
        ("data.batch_size", ["8", "16"]),
        ("optim.algorithm", ["adam", "sgd"]),
        ("optim.beta1", ["0.9", "0.5"]),
        ("precision", ["float32", "float64"]),
        ("n_steps", ["40", "50"]),
        ("evaluation.every", ["7", "8"]),
    ],
)
def test_runs_that_cannot_share_a_step_are_refused(tiny, field, values):
    with pytest.raises(UsageError) as caught:
        check_together(vary(tiny, {field: values}))
    assert all(text in str(caught.value) for text in (field, *values))
