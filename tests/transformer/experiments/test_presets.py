"""The presets against what the papers say of them."""

from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest

from coopetition.fitting.estimate import MIN_SAMPLES
from transformer.config import RunConfig
from transformer.config.run import Scale
from transformer.data.evaluators import evaluators_of
from transformer.experiments.presets import PRESETS
from transformer.measures.transience import WINDOW

ALL = {
    (name, scale): preset.at(scale) for name, preset in PRESETS.items() for scale in preset.scales
}


def at_paper(name: str) -> RunConfig:
    return PRESETS[f"coopetition/{name}"].config("paper")


def test_presets_start_from_checkpoints_that_others_keep():
    for (_, scale), preset in ALL.items():
        start = preset.config.start
        if not preset.starts_from:
            assert not start.step and start.parts == ("all",)
            continue
        source = ALL[preset.starts_from, scale].config
        assert source.is_checkpoint(start.step) and start.step <= source.n_steps
        assert source.model == preset.config.model


def test_runs_have_the_papers_initial_values_and_enough_samples_for_theories():
    for (name, _), preset in ALL.items():
        config = preset.config
        assert "/" not in name or config.model.initialiser == "paper"
        if name.startswith(("coopetition/main", "within_class/")):
            assert config.n_steps // config.evaluation.every + 1 >= MIN_SAMPLES


def test_checkpoints_and_lengths_are_the_published_ones():
    """Checkpoints are named by sequences, multiples of 32 (spec, section 1; lengths: 6 and 7)."""
    names = ("grafted_9.75M", "resumed_12M", "icl_only_clamped")
    starts = [32 * at_paper(name).start.step for name in names]
    assert starts == [9_750_016, 12_000_000, 20_000_000]  # 12M: the published script loads 10M's
    kept = {32 * step for step in at_paper("main").checkpoint_at}
    assert {4_250_016, 7_750_016} <= kept
    lengths = {"main": 64, "one_layer": 64, "resumed_4M": 32, "matched": 20, "long": 320}
    for name, millions in (lengths | {"deep": 400}).items():
        assert 32 * at_paper(name).n_steps == millions * 10**6


def test_the_main_run_keeps_the_checkpoints_of_figures_3_and_14():
    """A dozen between emergence (3.3M) and fade (6.3M), none far from the next."""
    for scale, faster in (("paper", 1), ("cpu", 10)):
        config = PRESETS["coopetition/main"].config(scale)
        last = min(config.n_steps, 20_000_000 // 32 // faster)  # the figures' end
        kept = [step for step in range(1, last + 1) if config.is_checkpoint(step)]
        at = [32 * faster * step / 1e6 for step in kept]
        assert sum(3.3 < each < 6.3 for each in at) >= 12
        assert max(b - a for a, b in pairwise(at)) < 0.26 and at[-1] == pytest.approx(20, abs=0.01)


def test_the_kept_run_differs_from_main_only_in_pixels_and_initial_values():
    kept, main = PRESETS["omniglot"].config("cpu"), PRESETS["coopetition/main"].config("cpu")
    assert (kept.optim, kept.evaluation) == (main.optim, main.evaluation)
    assert kept.data == replace(main.data, exemplars=kept.data.exemplars)
    assert kept.model == replace(main.model, initialiser="truncated")


def test_transience_runs_are_evaluated_as_their_events_need():
    """ICL needs a smoothing window; the IWL study of figure 11 needs the other evaluators."""
    wanted = {"train", "train_burst_2", "icl", "iwl", "ciwl", "flip"}
    for (name, _), preset in ALL.items():
        if not name.startswith("transience/"):
            continue
        assert preset.seeds[:2] == (5, 6)
        config = preset.config
        if not config.data.exemplars.needs_path:
            assert wanted <= {*evaluators_of(config).data}
        assert config.n_steps // config.evaluation.every + 1 >= 2 * WINDOW
        assert config.is_checkpoint(config.n_steps)


@pytest.mark.parametrize("scale", ["paper", "gpu"])
def test_the_transience_default_is_the_published_one(scale):
    """Section 2 of the paper's sheet of facts."""
    config = PRESETS["transience/default"].config(scale)
    model, data = config.model, config.data
    assert (model.n_layers, model.d_model, model.n_heads, model.mlp_ratio) == (12, 64, 8, 4)
    assert (model.encoder, model.positions) == ("resnet", "sinusoidal")
    assert (data.context, data.burstiness, data.batch_size) == (8, 3, 32)
    assert (data.exemplars.n_classes, data.exemplars.n_exemplars) == (1600, 20)
    assert (config.optim.learning_rate, config.optim.warmup_steps) == (3e-4, 4000)
    assert config.n_steps == 50_000_000 or scale == "gpu"


@pytest.mark.parametrize("scale", get_args(Scale))
def test_a_larger_batch_sees_as_many_sequences_at_as_many_evaluations(scale):
    names = ("transience/default", "transience/large_batch")
    one, other = (PRESETS[name].config(scale) for name in names)
    assert other.data.batch_size == 4 * one.data.batch_size
    assert one.n_steps * one.sequences_per_step == other.n_steps * other.sequences_per_step
    assert one.n_steps // one.evaluation.every == other.n_steps // other.evaluation.every
