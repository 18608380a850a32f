"""The named runs against what the papers say of them."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest

from coopetition.compare.estimate import MIN_SAMPLES
from coopetition.tools.errors import UsageError
from transformer.config import RunConfig, to_dict
from transformer.data.evaluators import evaluators_of
from transformer.experiments.presets import PRESETS, Scale
from transformer.measures.events import WINDOW


@pytest.mark.parametrize(
    ("name", "scale"), [(name, scale) for name, each in PRESETS.items() for scale in each.scales]
)
def test_presets_survive_json(name, scale):
    config = PRESETS[name].config(scale)
    assert RunConfig.from_dict(json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize("scale", get_args(Scale))
def test_presets_that_start_from_others_find_their_checkpoint(scale):
    for preset in PRESETS.values():
        if scale not in preset.scales:
            continue
        config = preset.config(scale)
        if not preset.after:
            assert not config.start.step and config.start.parts == ("all",)
            continue
        source = PRESETS[preset.after].make(scale)
        assert source.is_checkpoint(config.start.step) and config.start.step <= source.n_steps
        assert source.model == config.model


@pytest.mark.parametrize(
    "name", [name for name in PRESETS if name.startswith(("coopetition/main", "within_class/"))]
)
def test_runs_that_figures_fit_theories_to_have_samples_enough(name):
    for scale in PRESETS[name].scales:
        config = PRESETS[name].config(scale)
        assert config.n_steps // config.evaluation.every + 1 >= MIN_SAMPLES


def test_the_published_steps_of_checkpoints():
    """Names of the paper's checkpoints, in sequences: multiples of 32 (spec, section 1)."""
    at = {
        name: 32 * PRESETS[f"coopetition/{name}"].make("paper").start.step
        for name in ("grafted_9.75M", "resumed_12M", "icl_only_clamped")
    }
    assert at == {
        "grafted_9.75M": 9_750_016,
        "resumed_12M": 12_000_000,  # the published script loads 10M's
        "icl_only_clamped": 20_000_000,
    }
    assert {4_250_016, 7_750_016} <= {
        32 * step for step in PRESETS["coopetition/main"].make("paper").checkpoint_at
    }


@pytest.mark.parametrize("scale", get_args(Scale))
def test_initial_values_of_the_papers_runs_are_the_papers(scale):
    models = {
        name: preset.config(scale).model
        for name, preset in PRESETS.items()
        if "/" in name and scale in preset.scales
    }
    assert {model.initialiser for model in models.values()} == {"paper"}


def test_the_main_run_keeps_what_the_histories_of_figures_3_and_14_need():
    """A dozen checkpoints between emergence (3.3M) and fade (6.3M), none far from the next."""
    for scale, faster in (("paper", 1), ("cpu", 10)):
        config = PRESETS["coopetition/main"].make(scale)
        until = [config.n_steps, 20_000_000 // 32 // faster]  # the figures' end
        kept = [step for step in range(1, min(until) + 1) if config.is_checkpoint(step)]
        at = [32 * faster * step / 1e6 for step in kept]
        assert sum(3.3 < each < 6.3 for each in at) >= 12
        gaps = [b - a for a, b in pairwise(at)]
        assert max(gaps) < 0.26 and at[-1] == pytest.approx(20, abs=0.01)


def test_lengths_are_the_published_ones():
    """Millions of sequences (spec, sections 6 and 7)."""
    lengths = {
        "main": 64,
        "one_layer": 64,
        "resumed_4M": 32,
        "matched": 20,
        "long": 320,
        "deep": 400,
    }
    for name, millions in lengths.items():
        assert 32 * PRESETS[f"coopetition/{name}"].make("paper").n_steps == millions * 10**6


def test_the_kept_run_is_main_at_scale_cpu_but_for_its_pixels_and_initial_values():
    kept, main = PRESETS["omniglot"].make("cpu"), PRESETS["coopetition/main"].make("cpu")
    assert (kept.optim, kept.evaluation) == (main.optim, main.evaluation)
    assert kept.data == replace(main.data, exemplars=kept.data.exemplars)
    assert kept.model == replace(main.model, initialiser="truncated")


# --- the transience paper


TRANSIENCE = [name for name in PRESETS if name.startswith("transience/")]


def test_a_scale_that_a_preset_lacks_is_refused():
    with pytest.raises(UsageError, match="gpu.*choose one of smoke, cpu, paper"):
        PRESETS["coopetition/main"].config("gpu")


@pytest.mark.parametrize("name", TRANSIENCE)
def test_transience_runs_have_the_evaluators_and_evaluations_that_their_events_need(name):
    """ICL needs a smoothing window; the IWL study of figure 11 needs the other evaluators."""
    assert PRESETS[name].seeds[:2] == (5, 6)
    for scale in PRESETS[name].scales:
        config = PRESETS[name].config(scale)
        if not config.data.exemplars.needs_path:
            wanted = {"train", "train_burst_2", "icl", "iwl", "ciwl", "flip"}
            assert wanted <= {*evaluators_of(config).data}
        assert config.n_steps // config.evaluation.every + 1 >= 2 * WINDOW
        assert config.is_checkpoint(config.n_steps)


def test_the_transience_default_is_the_published_one():
    """Section 2 of the paper's sheet of facts."""
    for scale in ("paper", "gpu"):
        config = PRESETS["transience/default"].config(scale)
        model, data = config.model, config.data
        assert (model.n_layers, model.d_model, model.n_heads, model.mlp_ratio) == (12, 64, 8, 4)
        assert (model.encoder, model.positions) == ("resnet", "sinusoidal")
        assert (data.context, data.burstiness, data.batch_size) == (8, 3, 32)
        assert (data.exemplars.n_classes, data.exemplars.n_exemplars) == (1600, 20)
        assert (config.optim.learning_rate, config.optim.warmup_steps) == (3e-4, 4000)
    assert PRESETS["transience/default"].config("paper").n_steps == 50_000_000


def test_a_larger_batch_sees_as_many_sequences_at_as_many_evaluations():
    for scale in get_args(Scale):
        one, other = (
            PRESETS[f"transience/{name}"].config(scale) for name in ("default", "large_batch")
        )
        assert other.data.batch_size == 4 * one.data.batch_size
        seen = [each.n_steps * each.sequences_per_step for each in (one, other)]
        assert seen[0] == seen[1]
        assert one.n_steps // one.evaluation.every == other.n_steps // other.evaluation.every
