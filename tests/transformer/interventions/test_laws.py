"""What must hold of interventions on any model."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from coopetition.tools.errors import UsageError
from tests.transformer.interventions.conftest import SMALL, drawn, plain, under
from tests.transformer.model.textbook import EXACT, slow_intervened
from transformer.config import ModelConfig, RunConfig, to_dict
from transformer.config.interventions import INTERVENTIONS, Intervention, check_interventions
from transformer.config.plain import to_named_dict
from transformer.interventions.attention import (
    Ablate,
    ClampPattern,
    CopyFromPattern,
    ForbidPreviousToken,
    Match,
    Preserve,
    PreviousToken,
    SilenceNonLabels,
    Temperature,
)
from transformer.interventions.grafts import GraftIn
from transformer.interventions.inputs import AblateEmbedding, At, PerfectPreviousTokenInput
from transformer.model.loaded import logits_by_head

MODELS = st.builds(
    ModelConfig,
    n_layers=st.integers(1, 3),
    n_heads=st.sampled_from([1, 2, 4]),
    d_model=st.just(8),
    mlp_ratio=st.sampled_from([0, 2]),
    positions=st.sampled_from(["learned", "sinusoidal", "rotary"]),
    norm=st.booleans(),
    attention_bias=st.booleans(),
)
SEEDS = st.integers(0, 2**16)
SHARES = st.floats(0, 1)
WHAT = st.sampled_from(["queries", "keys", "values", "patterns"])


def heads_of(config: ModelConfig, n_layers: int) -> st.SearchStrategy[str]:
    layer = st.integers(0, max(0, n_layers - 1))
    return st.builds("{}:{}".format, layer, st.integers(0, config.n_heads - 1))


def settings_of(config: ModelConfig) -> list[tuple[type[Intervention], dict]]:
    """Kinds of interventions that can act on a model, with strategies of their settings."""
    head = heads_of(config, config.n_layers)
    heads = st.lists(head, min_size=1, max_size=3).map(tuple)
    kinds: list[tuple[type[Intervention], dict]] = [
        (Ablate, {"heads": heads}),
        (AblateEmbedding, {}),
        (ClampPattern, {"heads": heads, "strength": SHARES}),
        (Match, {"heads": heads, "temperature": st.just(0.0) | st.floats(0.01, 10)}),
        (PreviousToken, {"heads": heads, "strength": SHARES}),
        (ForbidPreviousToken, {"heads": heads}),
        (Temperature, {"heads": heads, "temperature": st.floats(0.1, 10)}),
        (SilenceNonLabels, {"heads": heads}),
        (CopyFromPattern, {"head": head}),
        (Preserve, {"what": st.lists(WHAT, min_size=1, unique=True).map(tuple)}),
    ]
    if config.n_layers > 1:
        below = st.tuples(heads_of(config, config.n_layers - 1))
        labels = {"heads": below, "rows": st.just("labels")}
        layers = st.integers(1, config.n_layers - 1)
        kinds += [(PreviousToken, labels), (ForbidPreviousToken, labels)]
        kinds.append((PerfectPreviousTokenInput, {"layer": layers}))
    return kinds


def acting_on(config: ModelConfig) -> st.SearchStrategy[Intervention]:
    return st.one_of(st.builds(kind, **fields) for kind, fields in settings_of(config))


def models_and(n: int) -> st.SearchStrategy[tuple[ModelConfig, list[Intervention]]]:
    """A model, and so many interventions that can act on it."""
    return MODELS.flatmap(
        lambda config: st.tuples(
            st.just(config), st.lists(acting_on(config), min_size=n, max_size=n)
        )
    )


@settings(deadline=None, max_examples=100)
@given(models_and(1), SEEDS)
def test_an_intervention_is_its_slow_definition_inside_its_with_block_only(case, seed):
    config, (intervention,) = case
    run = RunConfig(model=config, interventions=(intervention,))
    assert RunConfig.from_dict(json.loads(json.dumps(to_dict(run)))) == run
    assert run.run_id() != replace(run, interventions=()).run_id()
    model, *batch = drawn(config, seed)
    before = plain(model, batch)
    with pytest.raises(ZeroDivisionError), model.intervened(intervention) as intervened:
        z = model.logits(*batch[:2], target=batch[2])
        assert intervened.acted[intervention] >= 1
        raise ZeroDivisionError
    assert torch.equal(plain(model, batch), before)
    first = (each[0] for each in batch)
    slow = slow_intervened(model.parameters, config, *first, do=to_named_dict(intervention))
    torch.testing.assert_close(z[0], slow, **EXACT)


@settings(deadline=None, max_examples=60)
@given(models_and(2), SEEDS)
def test_the_order_of_interventions_does_not_matter(case, seed):
    config, (one, other) = case
    try:
        check_interventions((one, other), config)
    except UsageError:
        reject()  # they contradict each other
    model, *batch = drawn(config, seed)
    both = under(model, batch, one, other)
    torch.testing.assert_close(under(model, batch, other, one), both, **EXACT)


@settings(deadline=None, max_examples=30)
@given(MODELS, SEEDS)
def test_cached_activations_are_those_of_the_logits(config, seed):
    """With every row of the last layer, and under an intervention too."""
    model, *batch = drawn(config, seed)
    last = f"blocks.{config.n_layers - 1}."
    for interventions in ((), (Preserve(what=("values",)), AblateEmbedding())):
        with model.intervened(*interventions):
            z, cache = model.run_with_cache(*batch[:2])
            torch.testing.assert_close(z, plain(model, batch), **EXACT)
        assert torch.equal(z, cache["logits"])
        pattern = cache[last + "pattern"]
        n_tokens = pattern.shape[-1]
        assert pattern.shape == (4, config.n_heads, n_tokens, n_tokens)
        torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern[..., 0]), **EXACT)
        assert not pattern.triu(1).any()
        assert cache[last + "resid_post"].shape == (4, n_tokens, config.d_model)


def test_every_kind_is_tried():
    """Those of grafts are in `test_grafts`."""
    tried = {kind.__name__ for kind, _ in settings_of(SMALL)}
    assert tried | {"GraftIn", "GraftOut"} == {*INTERVENTIONS}


INERT = [  # the second has no effect beside the first
    (Preserve(what="patterns"), Temperature(heads="0:*", temperature=2)),
    (Preserve(what="patterns"), SilenceNonLabels(heads="1:0")),
    (Preserve(what="patterns"), ForbidPreviousToken(heads="0:0")),
    (ClampPattern(heads="1:0"), Temperature(heads="1:0", temperature=2)),
    (ClampPattern(heads=("0:*", "1:*")), Temperature(heads="1:0", temperature=2)),
    (Match(heads="1:*"), SilenceNonLabels(heads=("1:0", "1:1"))),
    (PreviousToken(heads="0:0"), Temperature(heads="0:0", temperature=2)),
    (Ablate(heads="0:*"), Temperature(heads="0:1", temperature=2)),
    (Ablate(heads="0:0"), PreviousToken(heads="0:0")),
    (PerfectPreviousTokenInput(), Ablate(heads="0:*")),
    (PerfectPreviousTokenInput(), PreviousToken(heads="0:0")),
    (PerfectPreviousTokenInput(), Preserve(what=("queries", "keys"))),
    (CopyFromPattern(head="0:0"), Ablate(heads="1:0")),
    (CopyFromPattern(head="1:0"), Temperature(heads="1:1", temperature=2)),
    (CopyFromPattern(head="0:0"), PerfectPreviousTokenInput()),
]


@pytest.mark.parametrize("pair", INERT, ids=lambda pair: " ".join(type(e).__name__ for e in pair))
def test_an_intervention_without_effect_is_refused(pair):
    """And indeed it has none."""
    first, inert = pair
    with pytest.raises(UsageError, match=f"{type(inert).__name__}.* no effect"):
        check_interventions(pair, SMALL)
    model, *batch = drawn()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformer.model.hooks.check_interventions", lambda *_: None)
        both = under(model, batch, *pair)
    torch.testing.assert_close(both, under(model, batch, first), **EXACT)


def test_the_same_twice_is_refused_unless_it_is_the_same_as_once():
    model, *batch = drawn()
    ban = ForbidPreviousToken(heads="0:*", rows="labels")
    added = At(names="blocks.0.z", function=lambda name, value, scene: value + 1)
    heated = Temperature(heads="0:0", temperature=2.0)
    for pair in ((heated, heated), (added, added), (ban, PreviousToken(heads="0:0"))):
        with pytest.raises(UsageError, match="both set"):
            under(model, batch, *pair)
    check_interventions((ban, ClampPattern(heads="0:0")), SMALL)
    for one in (Ablate(heads="0:0"), Preserve(what="keys")):
        assert torch.equal(under(model, batch, one, one), under(model, batch, one))


def test_a_function_of_ones_own_returns_a_tensor_and_is_in_no_config():
    added = At(names="blocks.0.z", function=lambda name, value, scene: value + 1)
    with pytest.raises(UsageError, match="At"):
        RunConfig(interventions=(added,))
    with pytest.raises(UsageError, match="At"):
        At(names=(), function=added.function)
    model, *batch = drawn()
    wrong = At(names="blocks.0.z", function=lambda name, value, scene: value.numpy())
    with pytest.raises(UsageError, match="ndarray") as refused:
        under(model, batch, wrong)
    assert "\n" not in str(refused.value)


def test_other_values_are_refused_and_whole_numbers_are_floats():
    model, *batch = drawn()
    for other in ("Ablate", {"Ablate": {"heads": ["0:0"]}}, Ablate, 3):
        with pytest.raises(UsageError, match="intervention"):
            under(model, batch, other)
        with pytest.raises(UsageError, match="intervention"):
            RunConfig(interventions=other)
    ids = {
        RunConfig(interventions=(Temperature(heads="0:0", temperature=each),)).run_id()
        for each in (2, 2.0)
    }
    assert len(ids) == 1
    for wrong in (
        lambda: Ablate(heads=0),
        lambda: ClampPattern(heads="0:0", strength="0.5"),
        lambda: GraftIn(checkpoint=3, till=0),
        lambda: Preserve(what=3),
    ):
        with pytest.raises(UsageError):
            wrong()


@settings(deadline=None, max_examples=20)
@given(MODELS, SEEDS)
def test_the_contribution_of_a_head_is_what_its_ablation_removes(config, seed):
    """In the last layer without an MLP, at the scale of the whole residual."""
    config = replace(config, mlp_ratio=0)
    model, *batch = drawn(config, seed)
    by_head, rest = logits_by_head(model, *batch[:2])
    assert by_head.shape == (4, config.n_layers, config.n_heads, 3)
    z = plain(model, batch).gather(1, batch[1])
    torch.testing.assert_close(by_head.sum((1, 2)) + rest, z, **EXACT)
    if not config.norm:
        head = f"{config.n_layers - 1}:0"
        without = under(model, batch, Ablate(heads=(head,))).gather(1, batch[1])
        torch.testing.assert_close(by_head[:, -1, 0], z - without, **EXACT)
