"""Plans by name: all runs of a paper, with what is measured of them; and plans of the user's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from coopetition.tools.commands import run_as_program
from coopetition.tools.errors import UsageError
from transformer.config import RunConfig
from transformer.config.encoders import ReductionConfig
from transformer.config.registry import Registry, load_plugin
from transformer.data.encoders.efficientnet import EfficientNetConfig
from transformer.data.encoders.own import OwnConfig, TrainingConfig
from transformer.data.exemplars.features import FeatureConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import RAW_SIDE, OmniglotConfig
from transformer.experiments import coopetition as coopetition_paper
from transformer.experiments import transience as transience_paper
from transformer.experiments import within_class as within_class_runs
from transformer.experiments.coopetition import at_the_end, over_training
from transformer.experiments.plan_file import read_plan
from transformer.experiments.presets import Preset, Scale
from transformer.sweeps.call import Call
from transformer.sweeps.features import Features, TrainEncoder
from transformer.sweeps.local import work
from transformer.sweeps.measure import Measure
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.report import n_steps
from transformer.sweeps.train import Train

PLANS: Registry[Callable[[Scale], Plan]] = Registry("plan", "transformer.experiments")
FEATURES = "features"  # name of the node that makes them
COMPONENTS = 16  # of the features: with more, ICL fades long after the paper's (docs/trainer.md)


@PLANS.register("coopetition")
def coopetition(scale: Scale) -> Plan:
    """All runs of the coopetition paper."""
    return _coopetition(coopetition_paper.presets(), scale)


@PLANS.register("coopetition_early")
def coopetition_early(scale: Scale) -> Plan:
    """Those of figures 1 and 4c, as far as these figures go: a tenth of their steps or less."""
    return _coopetition(coopetition_paper.early_presets(), scale)


def _coopetition(presets: dict[str, Preset], scale: Scale) -> Plan:
    nodes: list[Node] = _glyph_features() if scale == "smoke" else [_omniglot_features()]
    trained = runs_of(presets, scale)
    for node in trained:
        nodes.append(node)
        if node.name.startswith(("main_", "ciwl_only_")):
            name = f"weight_norms_{node.name}"
            nodes.append(Measure(name=name, measure="weight_norms", of=(node.name,)))
            nodes += at_the_end(node.name)
        if node.name.startswith("main_"):
            nodes += over_training(node.name, n_steps(node), scale)
    return Plan([*nodes, events_of(trained)])


def _omniglot_features() -> Features:
    """Omniglot by an ImageNet encoder."""
    return Features(
        name=FEATURES,
        drawings=OmniglotConfig(side=RAW_SIDE),
        encoder=EfficientNetConfig(),
        reduction=ReductionConfig(components=COMPONENTS),
    )


def _glyph_features() -> list[Node]:
    """Glyphs by our own encoder, which is hardly trained."""
    glyphs = GlyphConfig(n_classes=32, n_exemplars=4, seed=1_000_000)
    training = TrainingConfig(glyphs=glyphs, n_steps=10, batch_size=32)
    features = Features(
        name=FEATURES,
        drawings=GlyphConfig(n_classes=128),
        encoder=OwnConfig(),
        reduction=ReductionConfig(components=32),
        after="encoder",
    )
    return [TrainEncoder(name="encoder", config=training), features]


@PLANS.register("transience")
def transience(scale: Scale) -> Plan:
    """All runs of the transience paper but those on tokens, the most important first."""
    features = _glyph_features() if scale == "smoke" else [_omniglot_features()]
    trained = runs_of(transience_paper.presets(), scale)
    return Plan([*trained, *features, transience_of(trained)])


@PLANS.register("transience_tokens")
def transience_tokens(scale: Scale) -> Plan:
    """Its runs on token embeddings, whose file is given by `--data tokens PATH`."""
    trained = runs_of(transience_paper.token_presets(), scale)
    return Plan([*trained, transience_of(trained)])


@PLANS.register("within_class")
def within_class(scale: Scale) -> Plan:
    """Runs of our own on Gaussian classes that vary within by different amounts."""
    trained = runs_of(within_class_runs.presets(), scale)
    return Plan([*trained, events_of(trained)])


def events_of(trained: list[Train]) -> Measure:
    """The table at the end: when ICL emerged, peaked and faded in every run."""
    names = tuple(node.name for node in trained)
    return Measure(name="events", measure="events", of=names, what="of every run")


def transience_of(trained: list[Train]) -> Measure:
    """Return the table at the end: onset, peak and half-decay of ICL in every run."""
    names = tuple(node.name for node in trained)
    return Measure(name="transience", measure="transience", of=names, what="of every run")


def runs_of(presets: dict[str, Preset], scale: Scale) -> list[Train]:
    """The runs of presets, each made once however many presets it is.

    One of which there are several initial seeds is called `NAME_SEED`; with `together`, one node
    has the preset's name and trains all seeds, in folders `init_seed=SEED`.
    """
    nodes: dict[tuple[str, str], Train] = {}  # by run id and where they start
    for name, preset in presets.items():
        config = preset.config(scale)
        if preset.together:
            node = _ensemble(name, preset, config)
            key = (config.run_id(), "")
            nodes[key] = _both(nodes[key], node) if key in nodes else node
            continue
        parent = preset.after.rpartition("/")[2]
        for seed in preset.seeds or (config.init_seed,):
            after = f"{parent}_{seed}" if parent and presets[parent].seeds else parent
            node = Train(
                name=f"{name}_{seed}" if preset.seeds else name,
                what=preset.what,
                config=replace(config, init_seed=seed),
                after=after,
                exemplars=_features_of(config),
            )
            key = (replace(config, init_seed=seed).run_id(), after)
            if key in nodes and config.n_steps > n_steps(nodes[key]):
                key, node = (name, ""), replace(node, longer_than=nodes[key].name)
            nodes[key] = _both(nodes[key], node) if key in nodes else node
    return [*nodes.values()]


def _ensemble(name: str, preset: Preset, config: RunConfig) -> Train:
    """Return the node that trains a preset at all its seeds."""
    return Train(
        name=name,
        what=preset.what,
        config={f"init_seed={seed}": replace(config, init_seed=seed) for seed in preset.seeds},
        exemplars=_features_of(config),
    )


def _features_of(config: RunConfig) -> str:
    """Return the node whose features a run is trained on; empty if it is not of features."""
    return FEATURES if isinstance(config.data.exemplars, FeatureConfig) else ""


def _both(one: Train, other: Train) -> Train:
    """Return the node of two presets of one run: all seeds, the longer, all checkpoints."""
    configs = other.configs | one.configs
    for name in one.configs.keys() & other.configs.keys():
        each, also = one.configs[name], other.configs[name]
        longer = max(each, also, key=lambda config: config.n_steps)
        kept = tuple(sorted({*each.checkpoint_at, *also.checkpoint_at}))
        configs[name] = replace(longer, checkpoint_at=kept)
    return replace(one, config=configs.get("", configs), also=(*one.also, other.name))


def plan_of(call: Call) -> Plan:
    """The plan that a call is of."""
    for plugin in call.plugins:
        load_plugin(plugin)
    return load_plan(call.plan, call.scale).with_files(dict(call.data))


def do_node(call: Call, name: str) -> None:
    """Do a node of a sweep in this process; see `transformer.sweeps.local`."""
    plan = plan_of(call)
    if name not in plan.nodes:
        raise UsageError(f"node {name!r} is not in the plan; --dry-run lists those that are")
    work(plan, name, call.runs, call.device, call.threads)


def node_process(call: Call, name: str) -> int:
    """`do_node` as what a process does: its exit code, after one line if it failed."""

    def run() -> int:
        do_node(call, name)
        return 0

    return run_as_program(run, f"sweep: {name}")


def load_plan(source: str, scale: Scale) -> Plan:
    """The plan of a name, of a Python file that defines `PLAN`, or of a TOML file."""
    path = Path(source)
    if path.suffix == ".py":
        plan = getattr(load_plugin(path), "PLAN", None)
        if not isinstance(plan, Plan):
            raise UsageError(
                f"{source} defines no PLAN; make one of `transformer.sweeps.plan.Plan`"
            )
        return plan
    if path.suffix == ".toml":
        return read_plan(path, scale)
    if source not in PLANS:
        raise UsageError(
            f"plan {source!r} is unknown; choose one of {', '.join(PLANS)}, or give a file, .py "
            "or .toml"
        )
    return PLANS[source](scale)
