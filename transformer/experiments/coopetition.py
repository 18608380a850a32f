"""The runs of the coopetition paper (Singh et al. 2025), and what is measured of their models.

All runs are trained on features of drawings by a frozen encoder (`python -m transformer embed`),
from the paper's initial values. A run that starts from another's checkpoint counts its own
sequences, from 0.

- Scale *paper*: 12,800 classes, learning rate 1e-5, 64 million sequences.
- Scale *cpu*: the same classes, learning rate 1e-4 and a tenth of the sequences: ICL emerges some
  ten times as early (docs/results.md). Runs that end long after their result have half of these
  (`shorter`). The 12-layer runs have the paper's rate, 3e-4, and 60,000 steps.
- Scale *smoke*: 128 classes and some twenty steps, in which nothing is learnt.
"""

import math
from dataclasses import dataclass, replace

from transformer.config import (
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    StartConfig,
)
from transformer.config.run import Scale
from transformer.data.exemplars.features import FeatureConfig
from transformer.experiments.presets import (
    Preset,
    register_presets,
    with_data,
    with_model,
    with_optim,
)
from transformer.interventions.attention import Ablate, ForbidPreviousToken
from transformer.interventions.grafts import GraftIn, GraftOut
from transformer.runs.layout import checkpoint_name
from transformer.sweeps.measure import ModelTable

BATCH_SIZE = 32
MILLION = 10**6
SHOWN = 20  # millions of sequences that most of the paper's figures show
# initial seeds of the main run, and of those that are compared with it or with ICL alone
SEEDS = (5, 6, 7)
DATA_SEED = 2  # of all runs but those of `SEED_GRID`
# initial and data seeds of the paper's figure 7, and those that make a grid with them
PAPER_SEEDS = ((5, 3), (5, 4), (6, 2), (6, 3), (7, 2))
SEED_GRID = tuple((init, data) for init in (*SEEDS, 8) for data in (DATA_SEED, 3, 4))
# millions of sequences of CIWL-only training after which others start
GRAFTED_AT = (4, 8, 9.75, 9.8, 15, 20, 25, 31.5, 32, 48, 64)
RESUMED_AT = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16)  # the paper's begin at 4
CLAMPED_AT = 20  # of the main run, whose second half an ICL-only run is given
# of the main run: for figures, and the paper's 400 checkpoints for the histories of figures 3
# and 14, 50,000 of the paper's sequences apart until 20 million
MAIN_AT = (4.25, 7.75, 15, 20, 64, *(k / 20 for k in range(1, 401)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Settings that all runs of a scale share."""

    faster: int
    """Divides the paper's numbers of sequences."""
    shorter: float = 1
    """Divides those of ICL-only and resumed runs, and of more than 64 million, once more."""
    fewer_classes: int = 1
    """Divides the numbers of classes."""
    learning_rate: float
    evaluation: EvaluationConfig
    intervened: float
    """Millions of sequences of runs under interventions."""
    deep_steps: int
    """Steps of the 12-layer runs."""
    deep_every: int
    """Steps between two evaluations of the 12-layer runs."""


SIZES: dict[Scale, Size] = {
    "paper": Size(
        faster=1,
        learning_rate=1e-5,
        evaluation=EvaluationConfig(every=3125, n_sequences=5000),  # 100,000 sequences apart
        intervened=20,
        deep_steps=12_500_000,
        deep_every=62_500,  # 2 million sequences apart
    ),
    "cpu": Size(
        faster=10,
        shorter=2,
        learning_rate=1e-4,
        evaluation=EvaluationConfig(),
        intervened=40,  # ICL fades later
        deep_steps=60_000,
        deep_every=1000,
    ),
    "smoke": Size(
        faster=100_000,
        fewer_classes=100,
        learning_rate=1e-3,
        evaluation=EvaluationConfig(every=2, n_sequences=50, n_classes=16),
        intervened=20,
        deep_steps=20,
        deep_every=10,
    ),
}
SCALES = tuple(SIZES)


def steps(millions: float, scale: Scale) -> int:
    """Return the steps in which a run sees `millions` million sequences of the paper."""
    return math.ceil(millions * MILLION / BATCH_SIZE / SIZES[scale].faster)


def base(scale: Scale, millions: float = 64, kept_at: tuple[float, ...] = ()) -> RunConfig:
    """Return the settings of the main run, for `millions` million sequences of the paper.

    `kept_at` are the millions of sequences at which checkpoints are kept in addition.
    """
    size = SIZES[scale]
    return RunConfig(
        model=ModelConfig(initialiser="paper"),
        data=DataConfig(exemplars=_features(12800, 20, scale)),
        optim=OptimConfig(learning_rate=size.learning_rate),
        evaluation=size.evaluation,
        n_steps=steps(millions, scale),
        checkpoint_every=steps(16, scale),
        checkpoint_at=tuple(sorted({steps(each, scale) for each in kept_at})),
    )


def _features(n_classes: int, n_exemplars: int, scale: Scale) -> FeatureConfig:
    n_classes //= SIZES[scale].fewer_classes
    return FeatureConfig(n_classes=n_classes, n_exemplars=n_exemplars)


def _deep(scale: Scale) -> RunConfig:
    """Return 12 layers with MLPs and sinusoidal positions, and 8 pairs in context."""
    size, config = SIZES[scale], base(scale)
    config = with_data(config, context=8, burstiness=3)
    config = with_model(config, n_layers=12, mlp_ratio=4, positions="sinusoidal")
    exemplars = config.data.exemplars
    return replace(
        with_optim(config, learning_rate=3e-4),
        evaluation=replace(
            size.evaluation,
            every=size.deep_every,
            n_sequences=min(1000, size.evaluation.n_sequences),
            n_classes=exemplars.n_classes,
            n_exemplars=exemplars.n_exemplars,
        ),
        n_steps=size.deep_steps,
        checkpoint_every=size.deep_steps // 10,
    )


def presets(scale: Scale) -> dict[str, Preset]:
    """Return all runs of the paper by name, in the order in which a plan trains them."""
    presets: dict[str, Preset] = {}

    def add(
        name: str,
        description: str,
        config: RunConfig,
        seeds: tuple[int, ...] = (),
        starts_from: str = "",
    ) -> None:
        presets[name] = Preset(
            config=config,
            description=description,
            starts_from=starts_from and f"coopetition/{starts_from}",
            seeds=seeds,
        )

    shorter = SIZES[scale].shorter
    ciwl_only = with_data(base(scale, kept_at=(*GRAFTED_AT, *RESUMED_AT)), mode="ciwl_only")
    icl_only = with_data(base(scale, 64 / shorter), mode="icl_only")

    def grafted(millions: float) -> RunConfig:
        """Return ICL-only training with everything after the first layer copied and frozen."""
        start = StartConfig(step=steps(millions, scale), parts=("output.0",))
        return replace(icl_only, start=start, frozen=("output.0",))

    add("main", "figures 1-3, 5, 7, 14: the main run", base(scale, kept_at=MAIN_AT), SEEDS)
    add("ciwl_only", "figure 4: CIWL-only data", ciwl_only, SEEDS)
    add("icl_only", "figure 4a: ICL-only data", icl_only, SEEDS)
    clamped = "figure 4a: ICL-only data, second half of main"
    add("icl_only_clamped", clamped, grafted(CLAMPED_AT), SEEDS, "main")
    for millions in GRAFTED_AT:
        description = f"figure 4b: ICL-only data, second half of CIWL-only at {millions:g}M"
        add(f"grafted_{millions:g}M", description, grafted(millions), SEEDS, "ciwl_only")
    for millions in RESUMED_AT:
        config = replace(base(scale, 32 / shorter), start=StartConfig(step=steps(millions, scale)))
        description = f"figure 4c: ordinary data, from CIWL-only at {millions:g}M"
        add(f"resumed_{millions:g}M", description, config, SEEDS, "ciwl_only")
    matched = with_data(base(scale, 20), mode="matched")
    add("matched", "figure 6: matched data", matched, SEEDS)
    add("long", "figure 11: five times as many sequences", base(scale, 320 / shorter))
    for init_seed, data_seed in PAPER_SEEDS:
        config = replace(base(scale), init_seed=init_seed, data_seed=data_seed)
        add(f"seeds_{init_seed}_{data_seed}", "figure 7: other seeds (init, data)", config)
    for init_seed, data_seed in SEED_GRID:
        if (init_seed, data_seed) not in ((SEEDS[0], DATA_SEED), *PAPER_SEEDS):
            config = replace(base(scale, SHOWN), init_seed=init_seed, data_seed=data_seed)
            description = "our figure `seeds`: with figure 7, a grid of seeds (init, data)"
            add(f"seeds_{init_seed}_{data_seed}", description, config)
    for positions in ("sinusoidal", "rotary"):
        config = with_model(base(scale), positions=positions)
        add(positions, f"figure 8: {positions} positions", config)
    for n_classes, n_exemplars in ((12800, 20), (12800, 5), (1600, 20), (1600, 5)):
        name, exemplars = f"{n_classes}x{n_exemplars}", _features(n_classes, n_exemplars, scale)
        if name != "12800x20":
            config = with_data(base(scale, 100 / shorter), exemplars=exemplars)
            seeds = SEEDS if n_classes == 12800 else ()
            add(name, "figure 9: classes x exemplars", config, seeds)
        config = with_data(base(scale, 320 / shorter), exemplars=exemplars)
        add(f"mlp_{name}", "figure 10: figure 9 with MLPs", with_model(config, mlp_ratio=4))
    add("one_layer", "figure 13: one layer", with_model(base(scale), n_layers=1), SEEDS)
    intervened = base(scale, SIZES[scale].intervened)
    for name, description, intervention in (
        (
            "no_previous_token",
            "figure 18: labels never attend to the token before them",
            ForbidPreviousToken(heads=("0:*",), rows="labels"),
        ),
        (
            "three_heads_ablated",
            "figure 18: without three heads",
            Ablate(heads=("0:1", "0:4", "0:7")),
        ),
    ):
        add(name, description, replace(intervened, interventions=(intervention,)))
    add("deep", "figure 6: 12 layers", _deep(scale))
    deep_matched = with_data(_deep(scale), mode="matched")
    add("deep_matched", "figure 6: 12 layers, matched data", deep_matched)
    return presets


def early_presets(scale: Scale) -> dict[str, Preset]:
    """Return the runs of figures 1 and 4c and all seeds, for as long as these figures show."""
    full = presets(scale)
    early = {"main": _until(SHOWN, full["main"], scale)}
    resumed = (f"resumed_{millions}M" for millions in (3, 4, 5, 6))
    for name in ("icl_only", "icl_only_clamped", "ciwl_only", *resumed):
        early[name] = replace(_until(10, full[name], scale), seeds=SEEDS[:1])
    for name in full:
        if name.startswith("seeds_"):
            early[name] = _until(SHOWN, full[name], scale)
    return early


def _until(millions: float, preset: Preset, scale: Scale) -> Preset:
    """Return a preset that ends after `millions` million sequences of the paper."""
    return replace(preset, config=replace(preset.config, n_steps=steps(millions, scale)))


register_presets("coopetition", presets, SCALES)


# millions of sequences of the main run from which figure 3c takes the first layer: where Flip is
# as in the paper's run at 4.25, 7.75 and 15 (at its peak, 0.31, 0.045), in our run of each scale
LAYER_1_AT: dict[Scale, dict[str, float]] = {
    "paper": {"peak": 5.5, "fall": 10.5, "end": 20},
    "cpu": {"peak": 5.5, "fall": 17, "end": 48},
    "smoke": {"peak": 5.5, "fall": 10.5, "end": 20},
}
LAYER_2_AT = 20  # and figure 3b the second
MEASURED_ON = ("train", "icl", "ciwl", "flip")  # evaluators


def measures_at_end(run: str) -> list[ModelTable]:
    """Return the measures of a run's last model, by head: figures 2, 12, 15 and section 4."""
    mechanisms = ("composition", "copying", "paths", "query_row")
    heads = ("head_alone", "superposition", "common_temperature", "strength_by_sequence")
    return [
        _model_table("mechanisms", run, "figures 2, 12, section 4", mechanisms),
        _model_table("superposition", run, "figure 15", heads, ("train",)),
    ]


def measures_over_training(run: str, n_steps: int, scale: Scale) -> list[ModelTable]:
    """Return attention during a main run, and its curves with one layer from a checkpoint of it.

    Checkpoints after the end of the run are left out.
    """

    def checkpoint(millions: float) -> str:
        return f"{run}/{checkpoint_name(steps(millions, scale))}"

    induction = _model_table("induction", run, "figure 3a", ("induction_strength",), ("flip",))
    attention = ("previous_token", "self_attention")
    whole = [induction, _model_table("label_attention", run, "figure 14", attention)]
    tables = [replace(each, steps="all") for each in whole]
    grafts = {"layer_2_fixed": GraftOut(checkpoint=checkpoint(LAYER_2_AT), from_=0)} | {
        f"layer_1_of_{name}": GraftIn(checkpoint=checkpoint(millions), till=0)
        for name, millions in LAYER_1_AT[scale].items()
        if steps(millions, scale) <= n_steps
    }
    for name, graft in grafts.items():
        figure = "figure 3b" if name == "layer_2_fixed" else "figure 3c"
        curves = _model_table(name, run, figure, ("accuracy",))
        tables.append(replace(curves, steps="spaced", interventions=(graft,)))
    return tables


def _model_table(
    name: str,
    run: str,
    description: str,
    measures: tuple[str, ...],
    evaluators: tuple[str, ...] = MEASURED_ON,
) -> ModelTable:
    return ModelTable(
        name=f"{name}_{run}",
        description=description,
        of=run,
        measures=measures,
        evaluators=evaluators,
    )
