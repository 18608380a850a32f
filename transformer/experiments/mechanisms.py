"""What is measured of the coopetition paper's models, over training and at the end.

Histories are those of figures 3 and 14; the rest is measured at the end of a run.
"""

from transformer.experiments.coopetition import steps
from transformer.experiments.preset import Scale
from transformer.interventions.graft_in import GraftIn
from transformer.interventions.graft_out import GraftOut
from transformer.runs.folder import checkpoint_name
from transformer.sweeps.measure import Readings

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
