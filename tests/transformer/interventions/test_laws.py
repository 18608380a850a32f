"""What must hold of interventions on any model."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from coopetition.tools.errors import UsageError
from tests.transformer.conftest import draw_batch, tiny_config
from tests.transformer.interventions.test_agree import CASES
from tests.transformer.model.textbook import EXACT, make, of_run
from transformer import load_model, train
from transformer.config import ModelConfig, RunConfig
from transformer.config.interventions import INTERVENTIONS, Intervention, check_interventions
from transformer.config.plain import from_named_dicts, to_named_dict
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
from transformer.interventions.grafts import GraftIn, GraftOut
from transformer.interventions.inputs import AblateEmbedding, At, PerfectPreviousTokenInput
from transformer.model.attribution import logits_by_head
from transformer.model.loaded import Model
from transformer.training.machine import Machine

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


def drawn(config: ModelConfig, seed: int):
    """A random model, and exemplars, labels and targets, of which each is in context."""
    train_state = make(config, n_runs=1)
    features, labels, _ = (each[0] for each in draw_batch(train_state, seed))
    model = Model(config, of_run(train_state, 0))
    return model, features.transpose(0, 1), labels.T, labels[seed % len(labels)]


def under(model: Model, batch, *interventions: Intervention) -> torch.Tensor:
    exemplars, labels, target = batch
    with model.intervened(*interventions):
        return model.logits(exemplars, labels, target=target)


def plain(model: Model, batch) -> torch.Tensor:
    return model.logits(*batch[:2])


def acting_on(config: ModelConfig) -> st.SearchStrategy[Intervention]:
    """Interventions that can act on a model."""
    layer = st.integers(0, config.n_layers - 1)
    head = st.builds("{}:{}".format, layer, st.integers(0, config.n_heads - 1))
    heads = st.lists(head, min_size=1, max_size=3).map(tuple)
    below = st.builds(
        "{}:{}".format,
        st.integers(0, max(0, config.n_layers - 2)),
        st.integers(0, config.n_heads - 1),
    )
    kinds = [
        st.builds(Ablate, heads=heads),
        st.builds(AblateEmbedding),
        st.builds(ClampPattern, heads=heads, strength=SHARES),
        st.builds(Match, heads=heads, temperature=st.floats(0.01, 10)),
        st.builds(PreviousToken, heads=heads, strength=SHARES),
        st.builds(ForbidPreviousToken, heads=heads),
        st.builds(Temperature, heads=heads, temperature=st.floats(0.1, 10)),
        st.builds(SilenceNonLabels, heads=heads),
        st.builds(CopyFromPattern, head=head),
        st.builds(
            Preserve,
            what=st.lists(
                st.sampled_from(["queries", "keys", "values", "patterns"]), min_size=1, unique=True
            ).map(tuple),
        ),
    ]
    if config.n_layers > 1:
        kinds.append(st.builds(PreviousToken, heads=st.tuples(below), rows=st.just("labels")))
        kinds.append(
            st.builds(PerfectPreviousTokenInput, layer=st.integers(1, config.n_layers - 1))
        )
    return st.one_of(kinds)


def models_and(n: int) -> st.SearchStrategy[tuple[ModelConfig, list[Intervention]]]:
    """A model, and so many interventions that can act on it."""
    return MODELS.flatmap(
        lambda config: st.tuples(
            st.just(config), st.lists(acting_on(config), min_size=n, max_size=n)
        )
    )


@settings(deadline=None, max_examples=60)
@given(models_and(1), SEEDS)
def test_each_ends_with_its_with_and_acts_in_it(case, seed):
    config, (intervention,) = case
    model, *batch = drawn(config, seed)
    before = plain(model, batch)
    with pytest.raises(ZeroDivisionError), model.intervened(intervention) as intervened:
        model.logits(*batch[:2], target=batch[2])
        assert intervened.acted[intervention] >= 1
        raise ZeroDivisionError
    assert torch.equal(plain(model, batch), before)
    with model.intervened() as intervened:
        assert torch.equal(plain(model, batch), before)
        assert not intervened.acted


@settings(deadline=None, max_examples=60)
@given(models_and(1))
def test_each_can_be_written_down(case):
    config, (intervention,) = case
    assert from_named_dicts(Intervention, to_named_dict(intervention), "here") == (intervention,)
    run = RunConfig(model=config, interventions=(intervention,))
    assert RunConfig.from_dict(_through_json(run)) == run
    assert run.run_id() != replace(run, interventions=()).run_id()


def _through_json(run):
    import json

    from transformer.config import to_dict

    return json.loads(json.dumps(to_dict(run)))


@settings(deadline=None, max_examples=30)
@given(MODELS, SEEDS)
def test_queries_and_keys_preserved_are_patterns_preserved(config, seed):
    model, *batch = drawn(config, seed)
    changed = AblateEmbedding()
    by_parts = under(model, batch, changed, Preserve(what=("queries", "keys")))
    assert torch.equal(by_parts, under(model, batch, changed, Preserve(what=("patterns",))))
    everything = Preserve(what=("queries", "keys", "values"))
    assert torch.equal(under(model, batch, everything), plain(model, batch))


@settings(deadline=None, max_examples=30)
@given(MODELS, SEEDS)
def test_a_layer_without_heads_is_its_path_alone(config, seed):
    """As if what its attention adds were 0."""
    model, *batch = drawn(config, seed)
    bias = model.parameters.get("blocks.0.b_O")

    def nothing(name, value, scene):
        return torch.zeros_like(value) + (0 if bias is None else bias)

    path = under(model, batch, At(names=("blocks.0.attn_out",), function=nothing))
    torch.testing.assert_close(under(model, batch, Ablate(heads=("0:*",))), path, **EXACT)


@settings(deadline=None, max_examples=30)
@given(MODELS, SEEDS, SHARES, st.data())
def test_a_clamp_of_swapped_labels_is_the_opposite_clamp(config, seed, strength, data):
    """With two pairs, the target at one of them."""
    model, exemplars, _, _ = drawn(replace(config, positions="rotary"), seed)
    heads = (f"{data.draw(st.integers(0, config.n_layers - 1))}:0",)
    labels = torch.tensor([[1, 2], [3, 4], [5, 6], [0, 7]])
    one, other = labels.unbind(1)
    right = under(
        model, (exemplars[:, :3], labels, one), ClampPattern(heads=heads, strength=strength)
    )
    wrong = under(
        model, (exemplars[:, :3], labels, other), ClampPattern(heads=heads, strength=1 - strength)
    )
    torch.testing.assert_close(right, wrong, **EXACT)


@settings(deadline=None, max_examples=60)
@given(models_and(2), SEEDS)
def test_the_order_of_a_tuple_does_not_matter(case, seed):
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
def test_a_temperature_of_1_is_none(config, seed):
    model, *batch = drawn(config, seed)
    heated = under(model, batch, Temperature(heads=("0:*",), temperature=1.0))
    assert torch.equal(heated, plain(model, batch))


@settings(deadline=None, max_examples=30)
@given(MODELS, SEEDS)
def test_what_is_looked_at_is_what_is_computed(config, seed):
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


@pytest.fixture(scope="module")
def runs():
    with tempfile.TemporaryDirectory() as folder:
        config = replace(tiny_config(), n_steps=8, checkpoint_every=4)
        run = train(config, Path(folder) / "run", Machine("cpu", 1, "eager"))
        other = train(
            replace(config, init_seed=6), Path(folder) / "other", Machine("cpu", 1, "eager")
        )
        yield run, other


def _batch(run):
    generator = torch.Generator().manual_seed(0)
    exemplars = torch.rand(5, 3, 784, generator=generator)
    labels = torch.randint(20, (5, 2), generator=generator)
    return exemplars, labels, labels[:, 0]


@pytest.mark.parametrize("layer", [0, 1])
def test_a_graft_of_its_own_is_none(runs, layer):
    run, _ = runs
    model, batch = load_model(run), _batch(run)
    for graft in (
        GraftIn(checkpoint=str(run.path), till=layer),
        GraftOut(checkpoint=str(run.checkpoint_path(8)), from_=layer),
    ):
        torch.testing.assert_close(under(model, batch, graft), plain(model, batch))
        assert graft.resolved().run_id == run.config.run_id()
        assert graft.resolved().step == 8


@pytest.mark.parametrize("layer", [0, 1])
def test_two_grafts_are_the_two_halves(runs, layer):
    """Of two models, the lower half of one and the upper half of the other, from either side."""
    run, other = runs
    batch = _batch(run)
    grafted_in = under(
        load_model(other), batch, GraftIn(checkpoint=str(run.checkpoint_path(4)), till=layer)
    )
    grafted_out = under(
        load_model(run, 4), batch, GraftOut(checkpoint=str(other.path), from_=layer)
    )
    torch.testing.assert_close(grafted_in, grafted_out)
    assert not torch.allclose(grafted_in, plain(load_model(other), batch))


def test_every_kind_is_tried():
    """Against its slow definition, grafts in `test_grafts`."""
    tried = {name for case in CASES.values() for name in case}
    assert tried | {"GraftIn", "GraftOut"} == {*INTERVENTIONS}


INERT = [
    (Preserve(what="patterns"), Temperature(heads="0:*", temperature=2)),
    (Preserve(what="patterns"), SilenceNonLabels(heads="1:0")),
    (Preserve(what="patterns"), ForbidPreviousToken(heads="0:0")),
    (ClampPattern(heads="1:0"), Temperature(heads="1:0", temperature=2)),
    (Match(heads="1:*"), SilenceNonLabels(heads=("1:0", "1:1"))),
    (PreviousToken(heads="0:0"), Temperature(heads="0:0", temperature=2)),
    (Ablate(heads="0:*"), Temperature(heads="0:1", temperature=2)),
    (Ablate(heads="0:0"), PreviousToken(heads="0:0")),
    (PerfectPreviousTokenInput(), Ablate(heads="0:*")),
    (PerfectPreviousTokenInput(), PreviousToken(heads="0:0")),
    (CopyFromPattern(head="0:0"), Ablate(heads="1:0")),
    (CopyFromPattern(head="1:0"), Temperature(heads="1:1", temperature=2)),
]


@pytest.mark.parametrize("pair", INERT, ids=lambda pair: " ".join(type(e).__name__ for e in pair))
def test_what_has_no_effect_beside_another_is_refused(pair):
    """And indeed it has none."""
    first, inert = pair
    config = ModelConfig(n_layers=2, n_heads=2, d_model=8)
    with pytest.raises(UsageError, match=f"{type(inert).__name__}.* has no effect"):
        check_interventions(pair, config)
    model, *batch = drawn(config, seed=1)

    def acted(*interventions):
        exemplars, labels, target = batch
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(inert), "touches", lambda self, model: frozenset())
            with model.intervened(*interventions):
                return model.logits(exemplars, labels, target=target)

    torch.testing.assert_close(acted(*pair), acted(first), **EXACT)


def test_the_same_twice_is_refused_where_twice_is_not_once():
    model, *batch = drawn(ModelConfig(n_layers=2, n_heads=2, d_model=8), seed=1)
    heated = Temperature(heads="0:0", temperature=2.0)
    added = At(names="blocks.0.z", function=lambda name, value, scene: value + 1)
    for each in (heated, added):
        with pytest.raises(UsageError, match="both set"):
            under(model, batch, each, each)
    ablated = Ablate(heads="0:0")
    assert torch.equal(under(model, batch, ablated, ablated), under(model, batch, ablated))


def test_a_clamp_of_the_query_and_a_ban_on_labels_go_together():
    config = ModelConfig(n_layers=2, n_heads=2, d_model=8)
    ban = ForbidPreviousToken(heads="0:*", rows="labels")
    check_interventions((ban, ClampPattern(heads="0:0")), config)
    with pytest.raises(UsageError, match="both set the labels' attention of 0:0"):
        check_interventions((ban, PreviousToken(heads="0:0")), config)


def test_a_model_is_computed_under_what_it_says_now():
    model, *batch = drawn(ModelConfig(n_layers=2, n_heads=2, d_model=8), seed=1)
    plain = plain_of(model, batch)
    model.interventions = (Ablate(heads="0:*"),)
    ablated = plain_of(model, batch)
    model.interventions = (AblateEmbedding(),)
    assert not torch.allclose(plain_of(model, batch), ablated)
    model.interventions = ()
    assert torch.equal(plain_of(model, batch), plain)


def plain_of(model: Model, batch) -> torch.Tensor:
    return model.logits(*batch[:2])


def test_a_function_of_ones_own_cannot_be_kept():
    added = At(names="blocks.0.z", function=lambda name, value, scene: value + 1)
    with pytest.raises(UsageError, match="cannot be written down"):
        RunConfig(interventions=(added,))
    with pytest.raises(UsageError, match="At names no sites"):
        At(names=(), function=added.function)
    model, *batch = drawn(ModelConfig(n_layers=2, n_heads=2, d_model=8), seed=1)
    wrong = At(names="blocks.0.z", function=lambda name, value, scene: value.numpy())
    with pytest.raises(UsageError, match="that is no tensor; expected") as told:
        under(model, batch, wrong)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "given", ["Ablate", {"Ablate": {"heads": ["0:0"]}}, Ablate, 3], ids=lambda each: str(each)[:9]
)
def test_what_is_no_intervention_is_told(given):
    model, *batch = drawn(ModelConfig(n_layers=2, n_heads=2, d_model=8), seed=1)
    with pytest.raises(UsageError, match="is no intervention; give values of them"):
        under(model, batch, given)
    with pytest.raises(UsageError, match="give a tuple of them|is no intervention"):
        RunConfig(interventions=given)


def test_numbers_from_python_are_one_identity():
    for one, other in ((2, 2.0),):
        ids = {
            RunConfig(interventions=(Temperature(heads="0:0", temperature=t),)).run_id()
            for t in (one, other)
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
def test_what_a_head_says_directly_is_what_its_ablation_takes(config, seed):
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
