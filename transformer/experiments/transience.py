"""The runs of the transience paper (Singh et al. 2023).

Scale *paper*: 12 layers with MLPs, 8 pairs in context, 1,600 Omniglot characters through a jointly
trained ResNet, warm-up and inverse square root to 3e-4, 50 million steps.  Values that the paper
does not state are this project's choice and marked so.  Scale *cpu*: 28 x 28 pixels through a
linear map, 2 layers unless the preset says otherwise, a constant rate of 3e-4, 100,000 steps, and
12,800 classes: with 1,600, four layers learn CIWL at once and no ICL.  Scale *smoke*: 40 steps of
those of scale cpu, on the same data.
At both, no drawing stands twice in a sequence (Chan et al. draw the two extra items apart), where
there are enough of a class and it is not the sampler of the other paper.
The ResNet's batch norms span the 288 images of a batch (on eight devices, as Chan et al. trained,
36 each).  At scale cpu there is no ResNet, so `l2_encoder` penalises the linear map and says
nothing of the paper's claim about the encoder.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from transformer.config import (
    DataConfig,
    EvaluationConfig,
    ExemplarConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
)
from transformer.data.exemplars.features import FeatureConfig
from transformer.data.exemplars.omniglot import OmniglotConfig
from transformer.data.exemplars.tokens import TokenConfig
from transformer.experiments.preset import PRESETS, Preset, Scale, with_data, with_model, with_optim

N_STEPS: dict[Scale, int] = {"paper": 50_000_000, "cpu": 100_000, "smoke": 40}
P_BURSTY = (0.0, 0.5, 0.9, 1.0)  # chosen here
DEPTHS = (4, 8, 12, 24)  # chosen here
EXEMPLARS = (1, 5, 10, 20)  # chosen here
CLASSES = (1600, 3200, 6400, 12800)  # the ends are the paper's
L2 = (1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3)  # chosen here; the paper's threshold is 1e-4
ZIPF = (0.5, 1.0, 1.5, 2.0)  # chosen here
WIDTHS = (32, 64, 128)
MODULE_L2 = 1e-4  # chosen here

Change = Callable[[RunConfig], RunConfig]


def default(scale: Scale) -> RunConfig:
    """The setting of figure 1."""
    paper = scale == "paper"
    n_classes = 1600 if paper else 12800
    optim = OptimConfig(learning_rate=3e-4)
    return RunConfig(
        model=ModelConfig(
            n_layers=12 if paper else 2,
            mlp_ratio=4,
            positions="sinusoidal",
            attention_bias=True,
            encoder="resnet" if paper else "linear",
            initialiser="paper",
        ),
        data=DataConfig(
            exemplars=OmniglotConfig(n_classes=n_classes, side=105 if paper else 28),
            context=8,
            burstiness=3,
            distractor_may_match=True,
            repeats=False,
        ),
        optim=replace(optim, schedule="inverse_sqrt", warmup_steps=4000) if paper else optim,
        evaluation=EvaluationConfig(
            every=15625 if paper else 1000, n_classes=n_classes, n_exemplars=20
        ),
        n_steps=N_STEPS[scale],
        checkpoint_every=500_000 if paper else 20_000,
    )


def changed(change: Change) -> Callable[[Scale], RunConfig]:
    """The default setting with one change."""
    return lambda scale: change(default(scale))


def _data(**changes: Any) -> Change:
    return lambda config: with_data(config, **changes)


def _model(**changes: Any) -> Change:
    return lambda config: with_model(config, **changes)


def _optim(**changes: Any) -> Change:
    return lambda config: with_optim(config, **changes)


def _kept(**sizes: int) -> Change:
    """So many classes or exemplars of the default's."""
    return lambda config: _exemplars(config.data.exemplars.changed(**sizes))(config)


def _exemplars(exemplars: ExemplarConfig) -> Change:
    def change(config: RunConfig) -> RunConfig:
        # too few for a sequence without repeats
        repeats = config.data.repeats or exemplars.n_exemplars <= config.data.context
        evaluation = replace(
            config.evaluation,
            n_classes=exemplars.n_classes,
            n_exemplars=exemplars.n_exemplars,
        )
        data = replace(config.data, exemplars=exemplars, repeats=repeats)
        return replace(config, data=data, evaluation=evaluation)

    return change


def _frozen(exemplars: ExemplarConfig) -> Change:
    """Exemplars that a frozen network encodes, a constant rate, the other paper's sampler."""

    def change(config: RunConfig) -> RunConfig:
        config = _exemplars(exemplars)(config)
        config = with_model(config, encoder="linear", attention_bias=False)
        config = with_data(config, distractor_may_match=False, repeats=True)
        return with_optim(config, schedule="constant", warmup_steps=0)

    return change


def p_bursty(share: float) -> Callable[[Scale], RunConfig]:
    """Figure 3, the schedule and length of Chan et al. (2022)."""

    def make(scale: Scale) -> RunConfig:
        if share in (0, 1):
            config = _data(mode="bursty" if share else "random")(default(scale))
        else:
            config = _data(mixture=(("bursty", share), ("random", 1 - share)))(default(scale))
        return replace(config, n_steps=500_000) if scale == "paper" else config

    return make


def tokens(n_classes: int, n_exemplars: int, seed: int) -> Callable[[Scale], RunConfig]:
    """Figure 7: clustered token embeddings, 2 million steps."""

    def make(scale: Scale) -> RunConfig:
        exemplars = TokenConfig(n_classes=n_classes, n_exemplars=n_exemplars, seed=seed)
        config = _frozen(exemplars)(default(scale))
        if scale != "paper":
            return config
        evaluation = replace(config.evaluation, every=3125)
        return replace(config, evaluation=evaluation, n_steps=2_000_000)

    return make


def presets() -> dict[str, Preset]:
    """All of them by name."""
    presets = {"default": Preset(default, "figures 1, 11: the default setting")}

    def add(name: str, change: Change, what: str) -> None:
        presets[name] = Preset(changed(change), what)

    for share in P_BURSTY:
        presets[f"p_bursty_{share:g}"] = Preset(p_bursty(share), "figure 3: P(bursty)")
    for depth in DEPTHS:
        add(f"depth_{depth}", _model(n_layers=depth), "figure 4: depth")
    for n in EXEMPLARS:
        add(f"exemplars_{n}", _kept(n_exemplars=n), "figure 5: exemplars of a class")
    for n in CLASSES:
        add(f"classes_{n}", _kept(n_classes=n), "figure 6: classes")
    for n_classes, n_exemplars in ((1600, 10), (3200, 5)):
        for seed in (4, 5):
            presets[f"tokens_{n_classes}x{n_exemplars}_{seed}"] = Preset(
                tokens(n_classes, n_exemplars, seed), "figure 7: token embeddings, k-means seed"
            )
    for c in L2:
        add(f"l2_{c:g}", _optim(l2=(("all", c),)), "figures 8, 15: L2 on all weights")
    for exponent in ZIPF:
        add(
            f"zipf_{exponent:g}",
            _data(zipf_exponent=exponent, zipf_rarest_first=True),
            "figure 9: Zipf exponent, class 0 the rarest",
        )
    for width in WIDTHS:
        add(f"width_{width}", _model(d_model=width), "figure 10: width")
        for mode in ("icl_only", "no_support"):
            add(f"width_{width}_{mode}", _width_control(width, mode), "figure 10: its controls")
    for n_classes in (1600, 12800):
        features = _frozen(FeatureConfig(n_classes=n_classes, n_exemplars=20))
        add(f"features_{n_classes}", features, "figure 12: features of a frozen network")
    for part in ("mlp", "encoder", "attention"):
        add(f"l2_{part}", _optim(l2=((part, MODULE_L2),)), "figure 16: L2 on one module")
    return presets


def _width_control(width: int, mode: str) -> Change:
    """ICL-only or IWL-only data; two classes fill the context where labels are a pair."""
    data = _data(mode=mode, burstiness=4, distractor_may_match=False)
    return lambda config: data(_model(d_model=width)(config))


for name, preset in presets().items():
    PRESETS.register(f"transience/{name}")(preset)
