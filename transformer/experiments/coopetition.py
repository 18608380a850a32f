"""The runs of the coopetition paper (Singh et al. 2025), main text and appendix.

All are trained on features of drawings by a frozen encoder (`python -m transformer embed`), from
the paper's initial values.  Scale *paper*: 12,800 classes, learning rate 1e-5, 64 million
sequences.  Scale *cpu*: the same classes, learning rate 1e-4 and a tenth of the sequences: ICL
emerges some ten times as early (README); runs that show what they show long before the paper's end
have half of these (`SHORTER`).  The 12-layer runs have the paper's rate, 3e-4, at both,
and 60,000 steps at scale cpu.  Scale *smoke*: 128 classes and some twenty steps, in which nothing
is learnt.
A run that starts from another's checkpoint counts its own sequences, from 0.

What is measured of the coopetition paper's models, over training and at the end.

Histories are those of figures 3 and 14; the rest is measured at the end of a run.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from transformer.config import (
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    StartConfig,
)
from transformer.config.interventions import Intervention
from transformer.data.exemplars.features import FeatureConfig
from transformer.experiments.presets import (
    PRESETS,
    Preset,
    Scale,
    with_data,
    with_model,
    with_optim,
)
from transformer.interventions.attention import Ablate, ForbidPreviousToken
from transformer.interventions.grafts import GraftIn, GraftOut
from transformer.runs.layout import checkpoint_name
from transformer.sweeps.measure import Readings

BATCH = 32
FASTER: dict[Scale, int] = {"paper": 1, "cpu": 10, "smoke": 100_000}
FEWER: dict[Scale, int] = {"paper": 1, "cpu": 1, "smoke": 100}  # classes
# of ICL-only runs, resumed ones, and those of more than 64 million sequences
SHORTER: dict[Scale, float] = {"paper": 1, "cpu": 2, "smoke": 1}
RATE: dict[Scale, float] = {"paper": 1e-5, "cpu": 1e-4, "smoke": 1e-3}
EVALUATION: dict[Scale, EvaluationConfig] = {
    "paper": EvaluationConfig(every=3125, n_sequences=5000),  # 100,000 sequences apart
    "cpu": EvaluationConfig(),
    "smoke": EvaluationConfig(every=2, n_sequences=50, n_classes=16),
}
INTERVENED: dict[Scale, float] = {"paper": 20, "cpu": 40, "smoke": 20}  # fades later at cpu
MILLION = 10**6
SHOWN = 20  # of its millions of sequences, in most of the paper's figures
# initial seeds of the main run, and of those that are held against it or against ICL alone, seed by
# seed
SEEDS = (5, 6, 7)
DATA_SEED = 2  # of all runs but those of `SEED_GRID`
# initial and data seeds of the paper's figure 7, and those that make a grid with them
PAPER_SEEDS = ((5, 3), (5, 4), (6, 2), (6, 3), (7, 2))
SEED_GRID = tuple((init, data) for init in (*SEEDS, 8) for data in (DATA_SEED, 3, 4))
# millions of sequences of CIWL-only training after which others start
GRAFTED_AT = (4, 8, 9.75, 9.8, 15, 20, 25, 31.5, 32, 48, 64)
RESUMED_AT = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16)  # the paper's begin at 4
CLAMPED_AT = 20  # of the main run, for the ICL-only run with its second half
KEPT_AT = (4.25, 7.75, 15, 20, 64)  # of the main run, for figures


def steps(millions: float, scale: Scale) -> int:
    """Steps in which so many millions of the paper's sequences are seen."""
    return math.ceil(millions * MILLION / BATCH / FASTER[scale])


def base(scale: Scale, millions: float = 64, kept_at: tuple[float, ...] = ()) -> RunConfig:
    """The main run's settings, for so many of the paper's millions of sequences."""
    return RunConfig(
        model=ModelConfig(initialiser="paper"),
        data=DataConfig(exemplars=_features(12800, 20, scale)),
        optim=OptimConfig(learning_rate=RATE[scale]),
        evaluation=EVALUATION[scale],
        n_steps=steps(millions, scale),
        checkpoint_every=steps(16, scale),
        checkpoint_at=tuple(sorted({steps(each, scale) for each in kept_at})),
    )


def _features(n_classes: int, n_exemplars: int, scale: Scale) -> FeatureConfig:
    return FeatureConfig(n_classes=n_classes // FEWER[scale], n_exemplars=n_exemplars)


def main(scale: Scale) -> RunConfig:
    """The main run, with the paper's 400 checkpoints for the histories of figures 3 and 14.

    They are 50,000 of the paper's sequences apart until 20 million, rounded up to whole batches:
    5,000 at scale cpu.
    """
    return base(scale, kept_at=(*KEPT_AT, *(k / 20 for k in range(1, 401))))


def ciwl_only(scale: Scale) -> RunConfig:
    """CIWL-only data, with the checkpoints that grafts and resumed runs start from."""
    return with_data(base(scale, kept_at=(*GRAFTED_AT, *RESUMED_AT)), mode="ciwl_only")


def icl_only(scale: Scale) -> RunConfig:
    """ICL-only data."""
    return with_data(base(scale, 64 / SHORTER[scale]), mode="icl_only")


def grafted(millions: float) -> Callable[[Scale], RunConfig]:
    """ICL-only training with everything after the first layer taken over, and kept as it is."""

    def make(scale: Scale) -> RunConfig:
        start = StartConfig(step=steps(millions, scale), parts=("output.0",))
        return replace(icl_only(scale), start=start, frozen=("output.0",))

    return make


def resumed(millions: float) -> Callable[[Scale], RunConfig]:
    """Ordinary training from the weights of a CIWL-only run."""

    def make(scale: Scale) -> RunConfig:
        start = StartConfig(step=steps(millions, scale))
        return replace(base(scale, 32 / SHORTER[scale]), start=start)

    return make


def matched(scale: Scale) -> RunConfig:
    """Query and context show the same drawing."""
    return with_data(base(scale, 20), mode="matched")


def deep(scale: Scale) -> RunConfig:
    """12 layers with MLPs and sinusoidal positions, 8 pairs in context."""
    config = base(scale, 400)
    exemplars = config.data.exemplars
    n_steps, every = {
        "paper": (config.n_steps, 62500),  # 2 million sequences apart
        "cpu": (60000, 1000),
        "smoke": (20, 10),
    }[scale]
    config = with_data(config, context=8, burstiness=3)
    config = with_model(config, n_layers=12, mlp_ratio=4, positions="sinusoidal")
    return replace(
        with_optim(config, learning_rate=3e-4),
        evaluation=replace(
            EVALUATION[scale],
            every=every,
            n_sequences=min(1000, EVALUATION[scale].n_sequences),
            n_classes=exemplars.n_classes,
            n_exemplars=exemplars.n_exemplars,
        ),
        n_steps=n_steps,
        checkpoint_every=n_steps // 10,
    )


def deep_matched(scale: Scale) -> RunConfig:
    """`deep` on matched data."""
    return with_data(deep(scale), mode="matched")


def long(scale: Scale) -> RunConfig:
    """The main run's settings for five times as long."""
    return base(scale, 320 / SHORTER[scale])


def seeded(init_seed: int, data_seed: int) -> Callable[[Scale], RunConfig]:
    """The main run's settings with other seeds."""
    return lambda scale: replace(base(scale), init_seed=init_seed, data_seed=data_seed)


def positioned(positions: str) -> Callable[[Scale], RunConfig]:
    """The main run's settings with positions that are not learned."""
    return lambda scale: with_model(base(scale), positions=positions)


def sized(
    n_classes: int, n_exemplars: int, millions: float, mlp_ratio: int = 0
) -> Callable[[Scale], RunConfig]:
    """The main run's settings on a part of the data."""

    def make(scale: Scale) -> RunConfig:
        config = base(scale, millions / SHORTER[scale])
        exemplars = _features(n_classes, n_exemplars, scale)
        return with_model(with_data(config, exemplars=exemplars), mlp_ratio=mlp_ratio)

    return make


def intervened(*interventions: Intervention) -> Callable[[Scale], RunConfig]:
    """The main run under interventions, for as long as the paper shows it."""
    return lambda scale: replace(base(scale, INTERVENED[scale]), interventions=interventions)


def shallow(scale: Scale) -> RunConfig:
    """One layer."""
    return with_model(base(scale), n_layers=1)


def presets() -> dict[str, Preset]:
    """All of them by name, in the order in which a plan makes them."""
    presets = {
        "main": Preset(main, "figures 1-3, 5, 7, 14: the main run", seeds=SEEDS),
        "ciwl_only": Preset(ciwl_only, "figure 4: CIWL-only data", seeds=SEEDS),
        "icl_only": Preset(icl_only, "figure 4a: ICL-only data", seeds=SEEDS),
        "icl_only_clamped": Preset(
            grafted(CLAMPED_AT),
            "figure 4a: ICL-only, second half that of main",
            "coopetition/main",
            SEEDS,
        ),
    }
    for millions in GRAFTED_AT:
        presets[f"grafted_{millions:g}M"] = Preset(
            grafted(millions),
            f"figure 4b: ICL-only, second half that of CIWL-only at {millions:g}M",
            "coopetition/ciwl_only",
            SEEDS,
        )
    for millions in RESUMED_AT:
        presets[f"resumed_{millions:g}M"] = Preset(
            resumed(millions),
            f"figure 4c: from CIWL-only at {millions:g}M (add these to its own) on ordinary data",
            "coopetition/ciwl_only",
            SEEDS,
        )
    presets |= {
        "matched": Preset(matched, "figure 6: matched data", seeds=SEEDS),
        "long": Preset(long, "figure 11: five times as long"),
    }
    for init_seed, data_seed in PAPER_SEEDS:
        presets[f"seeds_{init_seed}_{data_seed}"] = Preset(
            seeded(init_seed, data_seed), "figure 7: other seeds (init, data)"
        )
    for init_seed, data_seed in SEED_GRID:
        if (init_seed, data_seed) not in ((SEEDS[0], DATA_SEED), *PAPER_SEEDS):
            presets[f"seeds_{init_seed}_{data_seed}"] = Preset(
                _until(SHOWN, seeded(init_seed, data_seed)),
                "seeds' events: the rest of a grid with figure 7 (init, data)",
            )
    for positions in ("sinusoidal", "rotary"):
        presets[positions] = Preset(positioned(positions), f"figure 8: {positions} positions")
    for n_classes, n_exemplars in ((12800, 20), (12800, 5), (1600, 20), (1600, 5)):
        name = f"{n_classes}x{n_exemplars}"
        if name != "12800x20":
            presets[name] = Preset(
                sized(n_classes, n_exemplars, 100),
                "figure 9: classes x exemplars",
                seeds=SEEDS if n_classes == 12800 else (),
            )
        presets[f"mlp_{name}"] = Preset(
            sized(n_classes, n_exemplars, 320, mlp_ratio=4), "figure 10: the same with MLPs"
        )
    presets["one_layer"] = Preset(shallow, "figure 13: one layer", seeds=SEEDS)
    presets["no_previous_token"] = Preset(
        intervened(ForbidPreviousToken(heads=("0:*",), rows="labels")),
        "figure 18: labels never attend to the token before them",
    )
    presets["three_heads_ablated"] = Preset(
        intervened(Ablate(heads=("0:1", "0:4", "0:7"))), "figure 18: without three heads"
    )
    presets["deep"] = Preset(deep, "figure 6: 12 layers")
    presets["deep_matched"] = Preset(deep_matched, "figure 6: 12 layers, matched data")
    return presets


def early_presets() -> dict[str, Preset]:
    """Main runs, one of either strategy's data and those that start from these: their beginning.

    With those of other seeds, each for as long as figure 1 shows.
    """
    every = presets()
    early = {"main": replace(every["main"], make=_until(SHOWN, main))}
    resumed_runs = (f"resumed_{millions}M" for millions in (3, 4, 5, 6))
    for name in ("icl_only", "icl_only_clamped", "ciwl_only", *resumed_runs):
        early[name] = replace(every[name], make=_until(10, every[name].make), seeds=SEEDS[:1])
    for name, preset in every.items():
        if name.startswith("seeds_"):
            early[name] = replace(preset, make=_until(SHOWN, preset.make))
    return early


def _until(millions: float, make: Callable[[Scale], RunConfig]) -> Callable[[Scale], RunConfig]:
    """So many of the paper's millions of sequences."""
    return lambda scale: replace(make(scale), n_steps=steps(millions, scale))


for name, preset in presets().items():
    PRESETS.register(f"coopetition/{name}")(preset)


# millions of sequences of the main run from which figure 3c takes the first layer: where Flip is
# what it is in the paper's run at 4.25, 7.75 and 15 (at its peak, 0.31, 0.045), in ours of a scale
LAYER_1_AT: dict[Scale, dict[str, float]] = {
    "paper": {"peak": 5.5, "fall": 10.5, "end": 20},
    "cpu": {"peak": 5.5, "fall": 17, "end": 48},
    "smoke": {"peak": 5.5, "fall": 10.5, "end": 20},
}
LAYER_2_AT = 20  # and figure 3b the second
EVALUATORS = ("train", "icl", "ciwl", "flip")


def at_the_end(run: str) -> list[Readings]:
    """What a run's last model does, and by which heads: figures 2, 12, 15 and section 4."""
    return [
        Readings(
            name=f"mechanisms_{run}",
            what="figures 2, 12, section 4",
            of=run,
            measures=("composition", "copying", "paths", "query_row"),
            evaluators=EVALUATORS,
        ),
        Readings(
            name=f"superposition_{run}",
            what="figure 15",
            of=run,
            measures=(
                "head_alone",
                "superposition",
                "common_temperature",
                "strength_by_sequence",
            ),
            evaluators=("train",),
        ),
    ]


def over_training(run: str, n_steps: int, scale: Scale) -> list[Readings]:
    """Attention during a main run, and its curves with one layer fixed to a checkpoint of it.

    Of checkpoints, those within the run.
    """

    def checkpoint(millions: float) -> str:
        return f"{run}/{checkpoint_name(steps(millions, scale))}"

    swaps = {"layer_2_fixed": GraftOut(checkpoint=checkpoint(LAYER_2_AT), from_=0)} | {
        f"layer_1_of_{name}": GraftIn(checkpoint=checkpoint(millions), till=0)
        for name, millions in LAYER_1_AT[scale].items()
        if steps(millions, scale) <= n_steps
    }
    return [
        Readings(
            name=f"induction_{run}",
            what="figure 3a",
            of=run,
            steps="all",
            measures=("induction_strength",),
            evaluators=("flip",),
        ),
        Readings(
            name=f"label_attention_{run}",
            what="figure 14",
            of=run,
            steps="all",
            measures=("previous_token", "self_attention"),
            evaluators=EVALUATORS,
        ),
        *(
            Readings(
                name=f"{name}_{run}",
                what="figure 3b" if name == "layer_2_fixed" else "figure 3c",
                of=run,
                steps="spaced",
                measures=("accuracy",),
                evaluators=EVALUATORS,
                interventions=(swap,),
            )
            for name, swap in swaps.items()
        ),
    ]
