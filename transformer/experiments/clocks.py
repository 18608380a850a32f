"""Runs of our own: how learning rate, batch size and optimiser set the times of ICL.

All are the run `demo` but for the settings that they name.  *Grid*: rates times batch sizes, each
over a factor of 16 and more.  *Arms* change one thing: from the start, or from the base run's
checkpoint near Flip's peak.  An arm from the checkpoint starts with new moments and other batches;
`restarted` does so with nothing else changed, and is what these arms are compared with.

- Scale *cpu*: lengths are multiples of the times of a first experiment (four seeds of `demo`, two
  other batch sizes, one other rate); each is about three times the time of the fade.
- Scale *smoke*: 64 classes of glyphs and twenty steps.

*Larger batches*: the main run of the coopetition paper at scale cpu, with eight times the batch.
With the rate raised tenfold its late events come too late beside the early ones; by the exponents
of the grid's first nine cells, eight times the batch should restore the paper's proportions.

Adam's epsilon is raised to 1e-3, chosen here: the square root of its second moment is 6e-4 in the
median over label rows, and 3e-3 or more in the attention layers (base run, step 400).  Rates of sgd
with momentum 0.9 are three, as none is known to suit: in 400 steps the loss falls fastest at 0.3,
less so at 1, and 3 diverges.  The one with the highest peak of Flip, in the median over seeds, is
*the* sgd run; the same rates at four times the batch say what its clock is.
"""

import math
from dataclasses import replace

from transformer.config import EvaluationConfig, RunConfig, StartConfig
from transformer.config.run import Scale
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.experiments.presets import (
    Preset,
    demo,
    register_presets,
    with_data,
    with_optim,
)

SCALES: tuple[Scale, ...] = ("cpu", "smoke")
SEEDS = (5, 6, 7)
BASE = (6e-4, 32)  # of `demo`
RATES = (1.5e-4, 6e-4, 2.4e-3)
BATCHES = (8, 32, 128, 512)
CROSS = [(each, BASE[1]) for each in RATES] + [(BASE[0], each) for each in BATCHES]
CORNERS = [(rate, batch) for batch in (512, 8) for rate in (2.4e-3, 1.5e-4)]
FIRST = tuple(dict.fromkeys([BASE, *CROSS, *CORNERS]))  # the most informative cells
# between the others: are the logarithms of times straight in that of the rate?
LATER = ((3e-4, 32), (1.2e-3, 32), (1.5e-4, 128), (2.4e-3, 128))
BASE_STEPS = 32_000  # ICL has faded by 11,000 in all kept runs of `demo`
N_EVALUATIONS = 200
# checkpoints by share of the run: in the base run about emergence, peak and fade
CHECKPOINTS = (0.02, 0.05, 0.08, 0.2, 0.4)
PEAK = 0.08  # of the base run: step 2,560; Flip is at most 0.03 below its peak in all kept seeds
RESTARTED_DATA_SEED = 12  # the base run has seen the batches of its own seed
LOWERED = 10  # divides the rate
RAISED = 4  # multiplies the batch size
EPSILON = 1e-3
BETA2 = (0.99, 0.9999)  # the base run has 0.999
SGD_RATES = (0.03, 0.1, 0.3)
MOMENTUM = 0.9
# steps of arms from the checkpoint: more than twice the time to the fade where it is known
RESTARTED_STEPS = {
    "restarted": 20_000,
    "rate_lowered": 80_000,
    "batch_raised": 5_000,
    "labels_frozen": 30_000,
    "labels_frozen_rate_lowered": 80_000,
    "labels_tripled": 30_000,
}
SGD_STEPS = {32: 60_000, 128: 20_000}
MAIN = "main_batch_256"
MAIN_BATCH = 8 * 32
MAIN_STEPS = 16_000  # 4 million sequences, 2.5 times the expected time of the fade


def grid_name(rate: float, batch: int) -> str:
    """Return the name of the grid's runs at a rate and a batch size."""
    return f"grid_{rate:g}_{batch}"


def presets(scale: Scale) -> dict[str, Preset]:
    """Return the grid and the arms, in the order in which the plan trains them."""
    grid = {
        grid_name(rate, batch): Preset(
            config=replace(_cell(rate, batch, scale), keep=("all", "all")),
            description=f"grid: rate {rate:g}, batch {batch}",
            seeds=SEEDS,
            together=True,
        )
        for rate, batch in (*FIRST, *LATER)
    }
    first = {grid_name(*cell): grid[grid_name(*cell)] for cell in FIRST}
    return first | _main(scale) | _from_peak(scale) | grid | _from_start(scale)


def _cell(rate: float, batch: int, scale: Scale) -> RunConfig:
    """Return the run of a cell; a lower rate and a smaller batch make it longer."""
    faster = (rate / BASE[0]) ** 0.75 * batch / BASE[1]  # rounded from the first experiment
    config = with_data(with_optim(demo(), learning_rate=rate), batch_size=batch)
    return _with_length(config, BASE_STEPS / faster, scale)


def _main(scale: Scale) -> dict[str, Preset]:
    config = demo()
    if scale != "smoke":
        from transformer.experiments import coopetition  # imports torch: too slow for a list

        config = coopetition.base(scale)
    config = with_data(config, batch_size=MAIN_BATCH)
    preset = Preset(
        config=_with_length(config, MAIN_STEPS, scale),
        description=f"the main run of the coopetition paper, batch {MAIN_BATCH}",
        seeds=SEEDS,
        together=True,
    )
    return {MAIN: preset}


def _with_length(config: RunConfig, n_steps: float, scale: Scale) -> RunConfig:
    """Return a run of about `n_steps`, with evaluations and checkpoints at shares of them."""
    evaluation = EvaluationConfig(every=math.ceil(n_steps / N_EVALUATIONS))
    length, shares = N_EVALUATIONS * evaluation.every, CHECKPOINTS
    if scale == "smoke":
        config = with_data(config, exemplars=GlyphConfig(n_classes=64))
        length, shares = 20, (PEAK,)
        evaluation = EvaluationConfig(every=2, n_sequences=50)
    return replace(
        config,
        evaluation=evaluation,
        n_steps=length,
        checkpoint_every=0,
        checkpoint_at=tuple(sorted({math.ceil(share * length) for share in shares})),
    )


def _from_peak(scale: Scale) -> dict[str, Preset]:
    """Return the arms that start from the base run, each seed from its own."""
    base = _cell(*BASE, scale)
    start = StartConfig(step=math.ceil(PEAK * base.n_steps))
    base = replace(base, start=start, data_seed=RESTARTED_DATA_SEED)
    lowered = with_optim(base, learning_rate=BASE[0] / LOWERED)
    arms = {
        "restarted": base,
        "rate_lowered": lowered,
        "batch_raised": with_data(base, batch_size=RAISED * BASE[1]),
        "labels_frozen": replace(base, frozen=("labels",)),
        "labels_frozen_rate_lowered": replace(lowered, frozen=("labels",)),
        "labels_tripled": with_optim(base, rate_factors=(("labels", 3.0),)),
    }
    return {
        name: Preset(
            config=_with_length(config, RESTARTED_STEPS[name], scale),
            description=f"arm from Flip's peak: {name.replace('_', ' ')}",
            starts_from=f"clocks/{grid_name(*BASE)}",
            seeds=SEEDS,
        )
        for name, config in arms.items()
    }


def _from_start(scale: Scale) -> dict[str, Preset]:
    """Return the arms with another optimiser from the first step on."""
    base = _cell(*BASE, scale)
    arms = {f"beta2_{beta2:g}": with_optim(base, beta2=beta2) for beta2 in BETA2}
    arms[f"epsilon_{EPSILON:g}"] = with_optim(base, epsilon=EPSILON)
    for batch, n_steps in SGD_STEPS.items():
        for rate in SGD_RATES:
            sgd = with_optim(base, algorithm="sgd", momentum=MOMENTUM, learning_rate=rate)
            config = _with_length(with_data(sgd, batch_size=batch), n_steps, scale)
            arms[f"sgd_{rate:g}_{batch}"] = config
    return {
        name: Preset(
            config=config,
            description=f"arm from the start: {name.replace('_', ' ')}",
            seeds=SEEDS,
            together=True,
        )
        for name, config in arms.items()
    }


register_presets("clocks", presets, SCALES)
