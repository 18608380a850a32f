"""Plans by name: all runs of a paper and what is measured of them; and plans in files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from coopetition.tools.commands import run_as_program
from coopetition.tools.errors import UsageError
from transformer.config.encoders import ReductionConfig
from transformer.config.registry import Registry, load_plugin
from transformer.config.run import Scale
from transformer.data.encoders.efficientnet import EfficientNetConfig
from transformer.data.encoders.own import OwnConfig, TrainingConfig
from transformer.data.exemplars.features import FeatureConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import RAW_SIDE, OmniglotConfig
from transformer.experiments import clocks as clocks_runs
from transformer.experiments import coopetition as coopetition_paper
from transformer.experiments import transience as transience_paper
from transformer.experiments import within_class as within_class_runs
from transformer.experiments.plan_file import read_plan
from transformer.experiments.presets import Preset, check_scale
from transformer.sweeps.features import Features, TrainEncoder
from transformer.sweeps.measure import RunTable
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.train import Train
from transformer.sweeps.work import run_node

PLANS: Registry[Callable[[Scale], Plan]] = Registry("plan", "transformer.experiments")
FEATURES = "features"  # name of the node that makes them
COMPONENTS = 16  # of the features: with more, ICL fades long after the paper's (docs/trainer.md)


@PLANS.register("coopetition")
def coopetition(scale: Scale) -> Plan:
    """Return all runs of the coopetition paper."""
    return _coopetition_plan(coopetition_paper.presets, scale)


@PLANS.register("coopetition_early")
def coopetition_early(scale: Scale) -> Plan:
    """Return the runs of figures 1 and 4c, a tenth of their steps or less."""
    return _coopetition_plan(coopetition_paper.early_presets, scale)


def _coopetition_plan(presets: Callable[[Scale], dict[str, Preset]], scale: Scale) -> Plan:
    check_scale(scale, coopetition_paper.SCALES)
    nodes = feature_nodes(scale)
    trained = training_nodes(presets(scale))
    for node in trained:
        nodes.append(node)
        if node.name.startswith(("main_", "ciwl_only_")):
            name = f"weight_norms_{node.name}"
            nodes.append(RunTable(name=name, measure="weight_norms", of=(node.name,)))
            nodes += coopetition_paper.measures_at_end(node.name)
        if node.name.startswith("main_"):
            nodes += coopetition_paper.measures_over_training(node.name, node.n_steps, scale)
    return Plan([*nodes, _final_measure("events", trained)])


@PLANS.register("transience")
def transience(scale: Scale) -> Plan:
    """Return all runs of the transience paper but those on tokens, the most important first."""
    trained = training_nodes(transience_paper.presets(scale))
    return Plan([*trained, *feature_nodes(scale), _final_measure("transience", trained)])


@PLANS.register("transience_tokens")
def transience_tokens(scale: Scale) -> Plan:
    """Return its runs on token embeddings, whose file is given by `--data tokens PATH`."""
    trained = training_nodes(transience_paper.token_presets(scale))
    return Plan([*trained, _final_measure("transience", trained)])


@PLANS.register("within_class")
def within_class(scale: Scale) -> Plan:
    """Return our runs on Gaussian classes with different variation within classes."""
    check_scale(scale, within_class_runs.SCALES)
    trained = training_nodes(within_class_runs.presets(scale))
    return Plan([*trained, _final_measure("events", trained)])


@PLANS.register("clocks")
def clocks(scale: Scale) -> Plan:
    """Return our runs at different learning rates, batch sizes and optimisers."""
    check_scale(scale, clocks_runs.SCALES)
    trained = training_nodes(clocks_runs.presets(scale))
    cross = tuple(dict.fromkeys(clocks_runs.grid_name(*cell) for cell in clocks_runs.CROSS))
    measures = ("weight_norms", "gradients", "sharpness")
    tables = [RunTable(name=each, measure=each, of=cross) for each in measures]
    features = [] if scale == "smoke" else feature_nodes(scale)  # of the runs in larger batches
    return Plan([*trained, *features, *tables])


def _final_measure(measure: str, trained: list[Train]) -> RunTable:
    """Return the last node: a measure of every run."""
    names = tuple(node.name for node in trained)
    return RunTable(name=measure, measure=measure, of=names, description="of every run")


def feature_nodes(scale: Scale) -> list[Node]:
    """Return the nodes of the features: Omniglot by an ImageNet encoder.

    At scale smoke: glyphs by the package's encoder, which is hardly trained.
    """
    if scale != "smoke":
        encoder, reduction = EfficientNetConfig(), ReductionConfig(components=COMPONENTS)
        drawings = OmniglotConfig(side=RAW_SIDE)
        return [Features(name=FEATURES, drawings=drawings, encoder=encoder, reduction=reduction)]
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


def training_nodes(presets: dict[str, Preset]) -> list[Train]:
    """Return the nodes that train presets, each run once even if several presets are that run.

    A preset with several seeds becomes nodes NAME_SEED; with `together`, one node of its name that
    trains all seeds, in folders `init_seed=SEED`.
    """
    nodes: dict[tuple[str, str], Train] = {}  # by run id and where they start
    for name, preset in presets.items():
        for node in _nodes_of(name, presets):
            key = (next(iter(node.configs.values())).run_id(), node.after)
            if key not in nodes:
                nodes[key] = node
            elif node.n_steps > nodes[key].n_steps and not preset.together:
                nodes[node.name, ""] = replace(node, extends=nodes[key].name)
            else:
                nodes[key] = _merged(nodes[key], node)
    return [*nodes.values()]


def _nodes_of(name: str, presets: dict[str, Preset]) -> Iterator[Train]:
    """Yield the nodes of one preset."""
    preset = presets[name]
    config = preset.config
    on_features = isinstance(config.data.exemplars, FeatureConfig)
    node = Train(
        name=name,
        description=preset.description,
        config=config,
        after=preset.starts_from.rpartition("/")[2],
        exemplars=FEATURES if on_features else "",
    )
    configs = {seed: replace(config, init_seed=seed) for seed in preset.seeds}
    if not preset.seeds:
        yield node
    elif preset.together:
        yield replace(node, config={f"init_seed={seed}": each for seed, each in configs.items()})
    else:
        for seed, each in configs.items():
            source = presets.get(node.after)
            after = node.after
            if source and source.seeds:
                after += f"/init_seed={seed}" if source.together else f"_{seed}"
            yield replace(node, name=f"{name}_{seed}", config=each, after=after)


def _merged(one: Train, other: Train) -> Train:
    """Return the node of two presets of one run: all seeds, the longer, all checkpoints."""
    configs = other.configs | one.configs
    for name in one.configs.keys() & other.configs.keys():
        pair = one.configs[name], other.configs[name]
        longer = max(pair, key=lambda config: config.n_steps)
        kept = sorted({*pair[0].checkpoint_at, *pair[1].checkpoint_at})
        configs[name] = replace(longer, checkpoint_at=tuple(kept))
    return replace(one, config=configs.get("", configs), aliases=(*one.aliases, other.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A call of the command `sweep`, from which another process makes the same plan."""

    plan: str
    """The name of a plan, or a file."""
    runs: Path
    scale: Scale = "cpu"
    data: tuple[tuple[str, Path], ...] = ()
    """Kinds of exemplars and their files."""
    device: str = "auto"
    threads: int = 1
    plugins: tuple[str, ...] = ()

    def load_plan(self) -> Plan:
        """Return the plan, with the files of exemplars filled in."""
        for plugin in self.plugins:
            load_plugin(plugin)
        return load_plan(self.plan, self.scale).with_files(dict(self.data))

    def run_node(self, name: str) -> None:
        """Do a node of the plan in this process."""
        plan = self.load_plan()
        if name not in plan.nodes:
            raise UsageError(f"node {name!r} is not in the plan; --dry-run lists all nodes")
        run_node(plan, name, self.runs, self.device, self.threads)

    def work(self, name: str) -> int:
        """Do a node and return the exit code, after one line that says why it failed.

        The code is 0 if the node is done, 75 if another process works on it, 128 plus the number
        of a signal that stopped it, and otherwise 1 or 2.
        """

        def run() -> int:
            self.run_node(name)
            return 0

        return run_as_program(run, f"sweep: {name}")


def load_plan(source: str, scale: Scale) -> Plan:
    """Return the plan of a name, of a Python file that defines `PLAN`, or of a TOML file."""
    path = Path(source)
    if path.suffix == ".py":
        plan = getattr(load_plugin(path), "PLAN", None)
        if not isinstance(plan, Plan):
            raise UsageError(f"{source} defines no PLAN; define a `transformer.sweeps.plan.Plan`")
        return plan
    if path.suffix == ".toml":
        return read_plan(path, scale)
    if source not in PLANS:
        raise UsageError(
            f"plan {source!r} is unknown; choose one of {', '.join(PLANS)}, or give a file, .py "
            "or .toml"
        )
    return PLANS[source](scale)
