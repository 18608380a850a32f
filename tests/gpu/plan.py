"""Plan of runs that fill some minutes of one GPU; `README.md` beside it says how to run it.

tests/gpu/plan.sh --runs runs/gpu --out curves [--minutes 9] [--dry-run] [--quick]

Runs of the same shapes are trained together, in one node.  Nodes are planned in order of
importance, as long as their estimated time fits.
"""

import argparse
import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from coopetition.tools.console import print_rows
from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import check_writable
from transformer.config import ModelConfig, RunConfig
from transformer.config.run import Scale
from transformer.config.variants import check_together
from transformer.data.exemplars.features import FeatureConfig
from transformer.experiments import coopetition, transience
from transformer.experiments.plans import FEATURES, feature_nodes
from transformer.experiments.presets import Preset
from transformer.runs.export import check_output, export
from transformer.runs.folder import RunFolder, load_runs
from transformer.runs.layout import ENSEMBLE, MANIFEST
from transformer.runs.session import catch_stop_signals
from transformer.sweeps.features import Features
from transformer.sweeps.plan import ALL_NODES, Node, Plan
from transformer.sweeps.status import NodeStatus, plan_status
from transformer.sweeps.train import Train
from transformer.training.activations import saved_elements
from transformer.training.cost import (
    batch_bytes,
    count_elements,
    evaluation_pieces,
    state_bytes,
    trained_shapes,
)
from transformer.training.machine import Machine

MINUTES, MAX_MINUTES = 9.0, 24 * 60.0
SEEDS = tuple(range(5, 13))  # of the main run
MAX_BYTES = 16_000_000  # of the exported curves
N_CHECKPOINTS = 3
STOP_S = 30.0  # in which a sweep that is asked to stop writes its checkpoints
FILE = Path(__file__)
QUICK = FILE.with_name("quick_plan.py")
GPU = Machine("cuda", 1, "auto")
UPDATE_PASSES = 10  # times that a step with Adam reads or writes a number per parameter
SAVED_PASSES = 4  # likewise for a number that the forward pass keeps
FEATURE_PASSES = 9  # likewise for a feature: gathered, scaled, shifted, copied into a graph, used
NUMBER_BYTES = 4  # of a parameter in float32
GATHER_KERNELS = 6  # kernels that gather the features of a set of exemplars
METRIC_KERNELS = 55  # kernels that compute metrics from logits
STOPPED = (129, 130, 137, 143)  # exit codes of SIGHUP, SIGINT, SIGKILL and SIGTERM
DEVICE_HELP = "Device, such as cuda:1 or cpu (default: cuda)."
# runs the trainer as `python -m transformer` does, until the other end of its standard input closes
TRAINER = """
import os, runpy, signal, threading
stop = lambda: os.read(0, 1) or os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=stop, daemon=True).start()
runpy.run_module("transformer", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True, slots=True)
class Gpu:
    """Speeds of a GPU; those that no run has measured are cautious."""

    bandwidth: float
    """Bytes of memory moved per second."""
    ratio: float = 1.5
    """Time of a step over the time that moving its bytes takes (on a CPU, compiled: 1.5)."""
    kernel_s: float = 3e-6
    """Seconds of a kernel of a graph that moves few bytes (assumed)."""
    launch_s: float = 10e-6
    """Seconds in which the CPU starts a kernel outside a graph (assumed)."""
    start_s: float = 60.0
    """Seconds until the first step of a node: imports, exemplars, compiling, check (assumed)."""
    disk: float = 0.5e9
    """Bytes of a state that are hashed and written per second (assumed)."""
    row_s: float = 1.5e-3
    """Seconds to write a run's metrics of a step."""
    drawing_s: float = 5e-4
    """Seconds to make the features of a drawing (assumed)."""

    def seconds(self, node: Node) -> float:
        """Return the estimated time of a node."""
        if isinstance(node, Features):
            drawings = node.drawings
            return self.start_s + drawings.n_classes * drawings.n_exemplars * self.drawing_s
        if not isinstance(node, Train):
            return self.start_s
        configs = [*node.configs.values()]
        first = configs[0]
        d_features = first.data.exemplars.feature_count()
        checkpoint = state_bytes(configs, d_features, 0) / self.disk
        return (
            self.start_s
            + node.n_steps * self._step(configs, d_features)
            + (node.n_steps / first.evaluation.every + 1) * self._evaluation(configs, d_features)
            + first.checkpoint_count() * checkpoint
        )

    def _step(self, configs: list[RunConfig], d_features: int) -> float:
        """Return the seconds of a step."""
        n_kernels = count_kernels(configs[0].model) + GATHER_KERNELS * count_sets(configs)
        return self._moving(configs, d_features) + n_kernels * self.kernel_s

    def _moving(self, configs: list[RunConfig], d_features: int) -> float:
        """Return the seconds in which a step moves its bytes."""
        n_bytes = sum(moved_bytes(config, d_features) for config in configs)
        return self.ratio * n_bytes / self.bandwidth

    def _evaluation(self, configs: list[RunConfig], d_features: int) -> float:
        """Return the seconds of an evaluation, and of the eager step for the gradients' norms."""
        first = configs[0]
        # each number of the forward pass is written and read
        per_sequence = 2 * NUMBER_BYTES * saved_elements(first, d_features) / first.data.batch_size
        seconds = self._moving(configs, d_features) + len(configs) * self.row_s
        n_launches = count_kernels(first.model)
        for piece, count in evaluation_pieces(configs, GPU).items():
            n_bytes = count * piece.n_runs * piece.n_sequences * per_sequence
            seconds += self.ratio * n_bytes / self.bandwidth
            n_launches += count * (
                count_forward_kernels(first.model)
                + GATHER_KERNELS * count_sets(configs)
                + METRIC_KERNELS * math.ceil(piece.n_sequences / piece.n_logits)
            )
        return seconds + n_launches * self.launch_s


H200 = Gpu(4.8e12)  # as its maker states


def moved_bytes(config: RunConfig, d_features: int) -> int:
    """Return the bytes that a step of one run in float32 moves to and from memory at least.

    Matrix products read parameters twice; gradients are written and read, and Adam reads and writes
    parameters and moments.  What the forward pass keeps is written and read twice, with its slope.
    """
    n_parameters = count_elements(trained_shapes(config, d_features))
    moved = UPDATE_PASSES * n_parameters + SAVED_PASSES * saved_elements(config, d_features)
    return NUMBER_BYTES * moved + FEATURE_PASSES * batch_bytes([config], d_features)


def count_kernels(model: ModelConfig) -> int:
    """Return about how many kernels an eager step has; compiled ones have fewer."""
    of_layer = 60 if model.d_mlp else 37
    return 70 + of_layer * model.n_layers + (430 if model.encoder == "resnet" else 0)


def count_forward_kernels(model: ModelConfig) -> int:
    """Return about how many kernels a forward pass has, from features to the final residual."""
    of_layer = 18 if model.d_mlp else 12
    return 10 + of_layer * model.n_layers + (330 if model.encoder == "resnet" else 0)


def count_sets(configs: list[RunConfig]) -> int:
    """Return how many sets of exemplars runs have."""
    return len({config.data.exemplars for config in configs})


def stacks(presets: dict[str, Preset]) -> list[Train]:
    """Return a node for each kind of shapes, which trains all its runs together."""
    groups: list[dict[str, RunConfig]] = []
    seen: set[str] = set()
    base = next(iter(presets.values())).config
    for name, preset in presets.items():
        for seed in preset.seeds:
            config = replace(_comparable(preset.config, base), init_seed=seed)
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
    """Return a node of the name of its first run's preset, with the steps of its longest run."""
    names = [*dict.fromkeys(name.partition(",")[0] for name in configs)]
    n_steps = max(presets[name].config.n_steps for name in names)
    schedule: dict[str, Any] = {
        "n_steps": n_steps,
        "checkpoint_every": -(-n_steps // N_CHECKPOINTS),
        "keep": ("1", "last"),
    }
    on_features = isinstance(next(iter(configs.values())).data.exemplars, FeatureConfig)
    return Train(
        name=names[0],
        description=", ".join(names),
        config={name: replace(each, **schedule) for name, each in configs.items()},
        exemplars=FEATURES if on_features else "",
    )


def _comparable(config: RunConfig, base: RunConfig) -> RunConfig:
    """Return a run with the steps, checkpoints and times of evaluation of another one."""
    return replace(
        config,
        n_steps=base.n_steps,
        evaluation=replace(config.evaluation, every=base.evaluation.every),
        checkpoint_every=base.checkpoint_every,
        checkpoint_at=(),
    )


@cache
def candidates(scale: Scale) -> list[Train]:
    """Return all nodes in order of importance: many runs of transience, main runs, others."""
    first, *others = stacks(transience.presets(scale))
    main = replace(coopetition.presets(scale)["main"], seeds=SEEDS)
    return [first, *stacks({"main": main}), *others]


def select_fitting(nodes: Iterable[Train], minutes: float, gpu: Gpu) -> list[Train]:
    """Return the nodes that fit into the time, each if there is time left for it."""
    left, found = 60 * minutes, []
    for node in nodes:
        if (seconds := gpu.seconds(node)) <= left:
            left -= seconds
            found.append(node)
    return found


@cache
def make_plan(scale: Scale) -> Plan:
    """Return the nodes that fit, at scale cpu, into nine minutes of an H200.

    The runs that need no features come first.
    """
    names = {node.name for node in select_fitting(candidates("cpu"), MINUTES, H200)}
    chosen: list[Node] = [node for node in candidates(scale) if node.name in names]
    return Plan([*chosen, *feature_nodes(scale)])


PLAN = make_plan("cpu")  # what the command `sweep` runs


def node_rows(plan: Plan, statuses: dict[str, NodeStatus]) -> list[dict[str, Any]]:
    """Return each node with its estimated time, 0 if it is done."""
    return [
        {
            "node": name,
            "runs": len(node.configs) if isinstance(node, Train) else None,
            "steps": node.n_steps or None,
            "state": statuses[name].state,
            "seconds": 0 if statuses[name].state == "done" else round(H200.seconds(node)),
        }
        for name, node in plan.nodes.items()
    ]


def curve_files(runs: Path, nodes: Iterable[str], out: Path) -> dict[Path, RunFolder]:
    """Return the runs in a folder by the files of their curves."""
    folders = {name: runs / name for name in nodes}
    return {
        out / name / f"{run.path.name}.csv": run
        for name, folder in folders.items()
        if any((folder / file).exists() for file in (ENSEMBLE, MANIFEST))
        for run in load_runs(folder)
    }


def check_curves(runs: Path, nodes: list[str], out: Path) -> None:
    """Raise `UsageError` if the curves cannot be written, or would replace those of other runs."""
    check_writable(out / "curves.csv")
    files = curve_files(runs, nodes, out)
    for file, run in files.items():
        check_output(run, file)
    found = {
        file.with_suffix(".csv")
        for name in nodes
        for kind in ("csv", "json")
        for file in (out / name).glob(f"*.{kind}")
    }
    if others := sorted(found - {*files}):
        raise UsageError(f"{others[0]} is not of a run in {runs}; choose another --out")


def export_curves(runs: Path, nodes: list[str], out: Path) -> int:
    """Write the curves of all runs that have some, and return their bytes."""
    n_bytes = 0
    for file, run in curve_files(runs, nodes, out).items():
        if run.metrics():
            file.parent.mkdir(parents=True, exist_ok=True)
            export(run, file)
            n_bytes += sum(each.stat().st_size for each in (file, file.with_suffix(".json")))
    return n_bytes


def run_for(command: list[str], seconds: float) -> int:
    """Run a command for a time, and return its exit code, 128 plus the number of a signal.

    When the time is over, it gets SIGTERM, and signals of this process are passed on to it; it is
    killed with all its processes if it then takes longer than `STOP_S`.  Its standard input is a
    pipe that closes when this process has died, even by SIGKILL.
    """
    end, killed_at, n_sent = time.monotonic() + seconds, math.inf, 0
    with (
        catch_stop_signals() as signals,
        # in a session of its own: a terminal's Ctrl-C reaches it only from here, once
        subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process,
    ):
        while process.poll() is None:
            now = time.monotonic()
            if now > end and not signals:
                signals.append(signal.SIGTERM)
            for number in signals[n_sent:]:
                process.send_signal(number)
            if signals and not n_sent:
                killed_at = now + STOP_S
            n_sent = len(signals)
            if now > killed_at:
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
    code = process.returncode
    return code if code >= 0 else 128 - code


def check_minutes(minutes: float) -> None:
    """Raise `UsageError` for a time that is not positive, or longer than a day."""
    if not 0 < minutes <= MAX_MINUTES:
        raise UsageError(f"--minutes {minutes}: choose more than 0 and at most {MAX_MINUTES:g}")


def main(arguments: list[str] | None = None) -> int:
    """Run the plan, or continue it, and export its curves; return the exit code of the sweep."""
    parser = argparse.ArgumentParser(
        prog="tests/gpu/plan.sh", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--runs", type=Path, help="Folder of the runs (default: runs/gpu; --quick: runs/gpu_quick)."
    )
    parser.add_argument(
        "--out", type=Path, help="Folder of the curves (default: curves; --quick: curves_quick)."
    )
    parser.add_argument("--device", default="cuda", help=DEVICE_HELP)
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="Stop after this many minutes (default: 9)."
    )
    parser.add_argument("--only", nargs="+", default=ALL_NODES, help="Nodes (default: all).")
    parser.add_argument("--retry", action="store_true", help="Run failed nodes again.")
    parser.add_argument("--dry-run", action="store_true", help="Print the estimated times.")
    parser.add_argument("--quick", action="store_true", help="Train tiny runs, to try the plan.")
    flags = parser.parse_args(arguments)
    check_minutes(flags.minutes)
    suffix = "_quick" * flags.quick
    runs, out = flags.runs or Path(f"runs/gpu{suffix}"), flags.out or Path(f"curves{suffix}")
    plan = make_plan("smoke" if flags.quick else "cpu").select(flags.only)
    if flags.dry_run:
        _print_plan(plan, plan_status(plan, runs), flags.minutes)
        return 0
    names = [name for name, node in plan.nodes.items() if isinstance(node, Train)]
    check_curves(runs, names, out)
    Machine.choose(flags.device, 1)  # raises in one line if it is not there
    command = [sys.executable, "-c", TRAINER, "sweep", str(QUICK if flags.quick else FILE)]
    command += ["--runs", str(runs), "--device", flags.device, "--only", *flags.only]
    code = run_for([*command, *(["--retry"] if flags.retry else [])], 60 * flags.minutes)
    if code == UsageError.exit_code:
        return code
    try:
        n_bytes = export_curves(runs, names, out)
    except UsageError as error:  # runs were trained: the flags were not wrong
        raise UserError(str(error)) from error
    print(f"curves: {n_bytes / 1e6:.1f} MB in {out}" if n_bytes else "no curves so far")
    if is_large := n_bytes > MAX_BYTES:
        print(f"warning: {out} has more than {MAX_BYTES:,} bytes; thin it", file=sys.stderr)
    if code in STOPPED:
        print("stopped: run the same command again to continue")
    return code or int(is_large)


def _print_plan(plan: Plan, statuses: dict[str, NodeStatus], minutes: float) -> None:
    """Print each node with its state and estimated time, and why nodes failed."""
    rows = node_rows(plan, statuses)
    print_rows(rows, as_json=False)
    for name, status in statuses.items():
        if status.state == "failed":
            print(f"{name}: {status.message}")
    total = sum(row["seconds"] for row in rows)
    print(f"estimated time: {total} s; a call stops after {60 * minutes:.0f} s")
