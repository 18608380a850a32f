"""Plan of runs that fill some minutes of one GPU; `README.md` beside it says how to run it.

python -m tests.gpu.plan --runs runs/gpu --out curves [--minutes 9] [--dry-run]

Runs of the same shapes are trained together, in one node.  Nodes are planned in order of
importance, as long as their estimated time fits.
"""

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coopetition.tools.console import print_rows
from coopetition.tools.errors import UsageError, UserError
from transformer.config import ModelConfig, RunConfig
from transformer.config.run import Scale
from transformer.config.variants import check_together
from transformer.data.evaluators import evaluators_of
from transformer.data.exemplars.features import FeatureConfig
from transformer.experiments import coopetition, transience
from transformer.experiments.plans import FEATURES, feature_nodes, load_plan
from transformer.experiments.presets import Preset
from transformer.runs.export import export
from transformer.runs.folder import load_runs
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.train import Train
from transformer.training.activations import saved_numbers
from transformer.training.cost import moved_bytes, state_bytes
from transformer.training.machine import Machine

MINUTES = 9.0
SEEDS = tuple(range(5, 13))  # of the main run
MAX_BYTES = 16_000_000  # of the exported curves
N_CHECKPOINTS = 3


@dataclass(frozen=True, slots=True)
class Gpu:
    """Speeds of a GPU, as far as they are known: those that no run has measured are cautious."""

    bandwidth: float
    """Bytes of memory moved per second."""
    ratio: float = 1.5
    """Time of a step over that of moving its bytes: of compiled steps on a CPU."""
    kernel_s: float = 3e-6
    """Seconds of a kernel of a graph that moves few bytes (assumed)."""
    start_s: float = 60.0
    """Seconds until the first step of a node: imports, exemplars, compiling, check (assumed)."""
    disk: float = 0.5e9
    """Bytes of a state that are hashed and written per second (assumed)."""
    row_s: float = 1.5e-3
    """Seconds to write a run's metrics of a step."""

    def seconds(self, node: Train) -> float:
        """Return the estimated time of a node."""
        configs = [*node.configs.values()]
        first = configs[0]
        d_features = first.data.exemplars.feature_count()
        n_bytes = sum(moved_bytes(config, d_features) for config in configs)
        step = self.ratio * n_bytes / self.bandwidth + count_kernels(first.model) * self.kernel_s
        n_sequences = sum(
            config.evaluation.n_sequences * len(evaluators_of(config).data) for config in configs
        )
        # each number of the forward pass is written and read
        per_sequence = 2 * 4 * saved_numbers(first, d_features) / first.data.batch_size
        evaluation = self.ratio * n_sequences * per_sequence / self.bandwidth
        evaluation += len(configs) * self.row_s
        checkpoint = state_bytes(configs, d_features, 0) / self.disk
        return (
            self.start_s
            + node.n_steps * step
            + (node.n_steps / first.evaluation.every + 1) * evaluation
            + first.checkpoint_count() * checkpoint
        )


H200 = Gpu(4.8e12)  # as its maker states


def count_kernels(model: ModelConfig) -> int:
    """Return about how many kernels an eager step has; compiled ones have fewer."""
    of_layer = 60 if model.d_mlp else 37
    return 70 + of_layer * model.n_layers + (430 if model.encoder == "resnet" else 0)


def stacks(presets: dict[str, Preset]) -> list[Train]:
    """Return a node for each kind of shapes, which trains all its runs together."""
    groups: list[dict[str, RunConfig]] = []
    seen: set[str] = set()
    base = next(iter(presets.values())).config
    for name, preset in presets.items():
        for seed in preset.seeds:
            config = replace(_scheduled(preset.config, base, base.n_steps), init_seed=seed)
            if config.run_id() in seen:
                continue
            seen.add(config.run_id())
            group = next((each for each in groups if _is_alike(each, config)), None)
            if group is None:
                groups.append(group := {})
            group[f"{name},init_seed={seed}"] = config
    return [_node(group, presets) for group in groups]


def _is_alike(group: dict[str, RunConfig], config: RunConfig) -> bool:
    """Return whether a run can be trained together with others."""
    first = next(iter(group.values()))
    counts = [each.data.exemplars.feature_count() for each in (first, config)]
    try:
        check_together({"first": first, "other": config})
    except UsageError:
        return False
    return counts[0] == counts[1]


def _node(configs: dict[str, RunConfig], presets: dict[str, Preset]) -> Train:
    """Return a node that is called by the preset of its first run, as long as its longest one."""
    names = [*dict.fromkeys(name.partition(",")[0] for name in configs)]
    n_steps = max(presets[name].config.n_steps for name in names)
    first = next(iter(configs.values()))
    on_features = isinstance(first.data.exemplars, FeatureConfig)
    return Train(
        name=names[0],
        description=", ".join(names),
        config={name: _scheduled(each, first, n_steps) for name, each in configs.items()},
        exemplars=FEATURES if on_features else "",
    )


def _scheduled(config: RunConfig, like: RunConfig, n_steps: int) -> RunConfig:
    """Return a run of so many steps that is evaluated as another one, with few checkpoints."""
    return replace(
        config,
        n_steps=n_steps,
        evaluation=replace(config.evaluation, every=like.evaluation.every),
        checkpoint_every=-(-n_steps // N_CHECKPOINTS),
        checkpoint_at=(),
        keep=("1", "last"),
    )


def candidates(scale: Scale) -> list[Train]:
    """Return all nodes in order of importance: many runs of transience, main runs, others."""
    first, *others = stacks(transience.presets(scale))
    main = replace(coopetition.presets(scale)["main"], seeds=SEEDS)
    return [first, *stacks({"main": main}), *others]


def fitting(nodes: Iterable[Train], minutes: float, gpu: Gpu) -> list[Train]:
    """Return the nodes that fit into the time, each if there is time left for it."""
    left, found = 60 * minutes, []
    for node in nodes:
        if (seconds := gpu.seconds(node)) <= left:
            left -= seconds
            found.append(node)
    return found


def make_plan(scale: Scale) -> Plan:
    """Return the nodes that fit, at scale cpu, into nine minutes of an H200."""
    names = {node.name for node in fitting(candidates("cpu"), MINUTES, H200)}
    chosen: list[Node] = [node for node in candidates(scale) if node.name in names]
    return Plan([*feature_nodes(scale), *chosen])


PLAN = make_plan("cpu")  # what the command `sweep` runs


def rows(minutes: float, gpu: Gpu) -> list[dict[str, Any]]:
    """Return each node with its estimated time, and those of `transience` at scale gpu."""
    nodes = candidates("cpu")
    names = [node.name for node in fitting(nodes, minutes, gpu)]
    whole = stacks(transience.presets("gpu"))
    return [
        {
            "node": node.name,
            "scale": scale,
            "runs": len(node.configs),
            "steps": node.n_steps,
            "seconds": round(gpu.seconds(node)),
            "planned": "yes" if scale == "cpu" and node.name in names else "no",
        }
        for scale, each in (("cpu", nodes), ("gpu", whole))
        for node in each
    ]


def export_curves(runs: Path, nodes: Iterable[str], out: Path) -> int:
    """Write the curves of all runs that have some, and return the bytes of the folder."""
    for name in nodes:
        for run in load_runs(runs / name) if (runs / name).exists() else ():
            if run.metrics():
                (out / name).mkdir(parents=True, exist_ok=True)
                export(run, out / name / f"{run.path.name}.csv")
    return sum(file.stat().st_size for file in out.rglob("*") if file.is_file())


def sweep(arguments: list[str], minutes: float) -> int:
    """Run a plan until the time is over; its processes then write checkpoints and stop."""
    process = subprocess.Popen([sys.executable, "-m", "transformer", "sweep", *arguments])
    try:
        return process.wait(60 * minutes)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        return process.wait()
    except KeyboardInterrupt:  # the sweep has received it, too
        return process.wait()


def main(arguments: list[str] | None = None) -> int:
    """Run the plan, or continue it, and export its curves; return the exit code of the sweep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--out", type=Path, default=Path("curves"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--plan", default=__file__, help="another file that defines PLAN")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="then it stops")
    parser.add_argument("--only", nargs="+", default=[], help="nodes, to split the plan")
    parser.add_argument("--bandwidth", type=float, default=H200.bandwidth, help="bytes per second")
    parser.add_argument("--dry-run", action="store_true", help="print the estimated times")
    flags = parser.parse_args(arguments)
    if flags.dry_run:
        found = rows(flags.minutes, Gpu(bandwidth=flags.bandwidth))
        print_rows(found, as_json=False)
        total = sum(row["seconds"] for row in found if row["planned"] == "yes")
        print(f"planned: {total} s of {60 * flags.minutes:.0f} s")
        return 0
    Machine.choose(flags.device, 1)  # raises in one line if it is not there
    only = ["--only", *flags.only] if flags.only else []
    place = ["--runs", str(flags.runs), "--device", flags.device]
    code = sweep([flags.plan, *place, *only], flags.minutes)
    plan = load_plan(flags.plan, "cpu").nodes
    nodes = [name for name, node in plan.items() if isinstance(node, Train)]
    n_bytes = export_curves(flags.runs, nodes, flags.out)
    print(f"curves: {n_bytes / 1e6:.1f} MB in {flags.out}")
    if n_bytes > MAX_BYTES:
        raise UserError(f"{flags.out} has {n_bytes:,} bytes, more than {MAX_BYTES:,}; thin them")
    if code:
        print("not all is done: run the same command again to continue")
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"tests.gpu.plan: {error}")
