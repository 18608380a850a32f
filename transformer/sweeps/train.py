"""The node that trains: a run, or runs that share a step."""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.run_files import read_metrics
from transformer.config import RunConfig, to_dict
from transformer.config.data import ExemplarConfig
from transformer.config.interventions import Intervention
from transformer.config.plain import difference
from transformer.config.variants import check_together
from transformer.data.exemplar_sets import load_exemplars, with_recorded_content
from transformer.runs.folder import RunFolder, load_run, load_runs
from transformer.runs.layout import ENSEMBLE, MANIFEST
from transformer.runs.loop import resume, train, train_together, with_recorded_ids
from transformer.runs.prepare import HALF
from transformer.sweeps.features import FEATURES, Features
from transformer.sweeps.plan import Node, grafted
from transformer.training.cost import disk_bytes
from transformer.training.machine import Machine


@dataclass(frozen=True, kw_only=True)
class Train(Node):
    """A run, or several that are trained as one, by name: those lie in folders within the node's.

    With `after`, they start from that node's run (`NODE/RUN` where it has several), at the step and
    with the parts that `config.start` names.  With `longer_than`, a single run goes on where that
    node's ends, which is the same but shorter: what they share is trained once, and checkpoints are
    kept as that one does.  With `exemplars`, they are trained on that node's features.  The
    `checkpoint` of a graft is a path within the folder of all runs: NODE/checkpoints/... .
    """

    uses_gpu: ClassVar[bool] = True

    config: RunConfig | Mapping[str, RunConfig]
    after: str = ""
    longer_than: str = ""
    exemplars: str = ""

    @property
    def configs(self) -> dict[str, RunConfig]:
        """Configs by the runs' names; that of a single run has none."""
        return {"": self.config} if isinstance(self.config, RunConfig) else dict(self.config)

    @property
    def needs(self) -> tuple[str, ...]:
        """The exemplars, and the runs that it starts from, goes on with, or is grafted with."""
        parent = self.after.partition("/")[0]
        grafts = (name for c in self.configs.values() for name in grafted(c.interventions))
        each = (self.exemplars, parent, self.longer_than, *grafts)
        return tuple(dict.fromkeys(filter(None, each)))

    def with_exemplars(self, change: Callable[[ExemplarConfig], ExemplarConfig]) -> "Train":
        """The same with its runs' exemplars changed, unless a node makes them."""
        if self.exemplars:
            return self
        each = {name: _changed(config, change) for name, config in self.configs.items()}
        return replace(self, config=each.get("", each))

    def check(self, nodes: Mapping[str, Node]) -> None:
        """Raise `UsageError` unless the checkpoints that it starts from will be there."""
        check_together(self.configs)
        self._check_exemplars(nodes)
        for config in self.configs.values():
            if config.start.given and not (self.after or config.start.path):
                raise UsageError(f"{self.name} starts from a checkpoint; say `after` which run")
            if self.after:
                self._check_start(config, nodes)
            check_grafts(self.name, config.interventions, nodes)
        if self.longer_than:
            self._check_longer(nodes)

    def _check_exemplars(self, nodes: Mapping[str, Node]) -> None:
        if self.exemplars and not isinstance(nodes[self.exemplars], Features):
            raise UsageError(f"{self.name} takes exemplars from {self.exemplars}, which makes none")
        for config in self.configs.values():
            if self.exemplars and not hasattr(config.data.exemplars, "fingerprint"):
                kind = type(config.data.exemplars).__name__
                raise UsageError(
                    f"{self.name} is trained on {self.exemplars}, but its exemplars are "
                    f"{kind}; make them FeatureConfig"
                )

    def _check_start(self, config: RunConfig, nodes: Mapping[str, Node]) -> None:
        parent, _, run = self.after.partition("/")
        source = nodes[parent]
        if not isinstance(source, Train):
            raise UsageError(f"{self.name} starts from {parent}, which trains nothing")
        if run not in source.configs:
            runs = ", ".join(f"{parent}/{each}".rstrip("/") for each in source.configs)
            raise UsageError(f"{self.name} starts from {self.after}; choose one of {runs}")
        if not _keeps(source.configs[run], config.start.step):
            raise UsageError(
                f"{self.name} starts from step {config.start.step} of {self.after}, which keeps no "
                "checkpoint of it; add it to its checkpoint_at"
            )
        shorter = nodes.get(source.longer_than)
        if isinstance(shorter, Train) and config.start.step < shorter.configs[""].n_steps:
            raise UsageError(
                f"{self.name} starts from step {config.start.step} of {parent}, which begins at "
                f"the end of {shorter.name}; start from that"
            )

    def _check_longer(self, nodes: Mapping[str, Node]) -> None:
        shorter = nodes[self.longer_than]
        if not (isinstance(shorter, Train) and self._is_longer(shorter)):
            raise UsageError(
                f"{self.name} goes on with {self.longer_than}, which is not the same single run, "
                "but shorter"
            )

    def _is_longer(self, shorter: "Train") -> bool:
        own, other = self.configs.get(""), shorter.configs.get("")
        if own is None or other is None or own.n_steps <= other.n_steps:
            return False
        from_the_same = (self.after, self.exemplars) == (shorter.after, shorter.exemplars)
        return from_the_same and own.run_id() == other.run_id()

    def is_done(self, runs: Path) -> bool:
        """Whether all steps of all runs are done."""
        if not self._has_begun(runs):
            return False
        there = load_runs(runs / self.name)
        self._check_same(runs, there)
        wanted = max(config.n_steps for config in self.configs.values())
        return all(run.is_finished() and run.config.n_steps >= wanted for run in there)

    def disk_bytes(self) -> int:
        """Of the checkpoints, if the exemplars have as many features as is assumed."""
        return sum(disk_bytes(c, c.data.exemplars.feature_count()) for c in self.configs.values())

    def share_done(self, runs: Path) -> float:
        """Evaluated steps of the run that has fewest."""
        shares = []
        for name, config in self.configs.items():
            rows = read_metrics(runs / self.name / name / "metrics.jsonl")
            shares.append(rows[-1]["step"] / config.n_steps if rows else 0.0)
        return min(shares)

    def work(self, runs: Path, device: str, threads: int) -> None:
        """Train the runs, or go on with them."""
        folder = runs / self.name
        if self._has_begun(runs):
            self._resume(runs, device, threads)
            return
        _remove_unmade(folder)
        _check_free(folder)
        if self.longer_than:
            _copy_end(load_run(runs / self.longer_than), folder)
            self._resume(runs, device, threads)
            return
        self._check_source(runs)
        configs = self._resolved(runs)
        machine = Machine.choose(device, threads, n_steps=next(iter(configs.values())).n_steps)
        if "" in configs:
            train(configs[""], folder, machine)
        else:
            train_together(configs, folder, machine)

    def _resume(self, runs: Path, device: str, threads: int) -> None:
        there = load_runs(runs / self.name)
        self._check_same(runs, there)
        if not any(run.steps() for run in there):
            self._check_source(runs)
        path = str(runs / self.exemplars / FEATURES) if self.exemplars else None
        configs = (*self.configs.values(), *(run.config for run in there))
        n_steps = max(config.n_steps for config in configs)  # it may have been taken further
        resume(runs / self.name, n_steps=n_steps, data_path=path, device=device, threads=threads)

    def _check_source(self, runs: Path) -> None:
        """Raise `UserError` unless the checkpoints that it starts from are there and sound."""
        if not self.after:
            return
        source = load_run(runs / self.after)
        for config in self.configs.values():
            if not source.is_sound(config.start.step):
                file = source.checkpoint_path(config.start.step)
                raise UserError(
                    f"{file}, from which {self.name} starts, is "
                    f"{'damaged' if file.exists() else 'missing'}; put it back, or move "
                    f"{runs / self.after.partition('/')[0]} away to have it made again, and sweep "
                    "with --retry"
                )

    def _has_begun(self, runs: Path) -> bool:
        """Whether its folder is one that training can go on with."""
        return (runs / self.name / (MANIFEST if "" in self.configs else ENSEMBLE)).exists()

    def _resolved(self, runs: Path) -> dict[str, RunConfig]:
        """The configs with where their exemplars and starts lie, and which those are, if there."""
        configs, file = self.configs, runs / self.exemplars / FEATURES
        if self.exemplars and file.exists():
            configs = {name: _read(config, file) for name, config in configs.items()}
        if self.after and (runs / self.after / MANIFEST).exists():
            source = load_run(runs / self.after)
            run_id = source.config.run_id() + HALF * source.config.keep_half
            found = {"path": str(source.path.resolve()), "run_id": run_id}
            configs = {
                name: replace(config, start=replace(config.start, **found))
                for name, config in configs.items()
            }
        return {
            name: replace(c, interventions=tuple(i.relative_to(runs) for i in c.interventions))
            for name, c in configs.items()
        }

    def _check_same(self, runs: Path, there: list[RunFolder]) -> None:
        """Raise `UserError` unless the runs in its folder are those of the plan.

        What they depend on counts too, where it is there to be compared.
        """
        for name, config in self._resolved(runs).items():
            found = next((r for r in there if name in ("", r.path.name)), None)
            if found is None:
                raise UserError(f"{runs / self.name} lacks the run {name}; move the folder away")
            expected = with_recorded_ids(config, found.config)
            if expected.run_id() != found.config.run_id():
                settings = (to_dict(c, for_id=True) for c in (found.config, expected))
                raise UserError(
                    f"{found.path} holds another run than the plan's ({difference(*settings)}); "
                    "move it away, or put back what it was made from"
                )


def check_grafts(
    name: str, interventions: Iterable[Intervention], nodes: Mapping[str, Node]
) -> None:
    """Raise `UsageError` unless what a node's interventions are grafted from will be there."""
    for each in interventions:
        node, *within = Path(each.source).parts or ("/",)
        if node == "/":
            continue  # of no node
        source = nodes[node]
        if not isinstance(source, Train):
            raise UsageError(f"{name} is grafted with {node}, which trains nothing")
        run = within.pop(0) if within and within[0] != "checkpoints" else ""
        if run not in source.configs:
            runs = ", ".join(f"{node}/{other}".rstrip("/") for other in source.configs)
            raise UsageError(f"{name} is grafted with {node}/{run}; choose one of {runs}")
        step = re.search(r"\d+", within[-1]) if within else None
        if step and not _keeps(source.configs[run], int(step[0])):
            raise UsageError(
                f"{name} is grafted with step {int(step[0])} of {node}, which keeps no checkpoint "
                "of it; add it to its checkpoint_at"
            )


def _keeps(config: RunConfig, step: int) -> bool:
    """Whether a finished run has the weights of a step."""
    for_good = config.keep[0] == "all" or step in (*config.checkpoint_at, config.n_steps)
    return 1 <= step <= config.n_steps and config.is_checkpoint(step) and for_good


def _changed(config: RunConfig, change: Callable[[ExemplarConfig], ExemplarConfig]) -> RunConfig:
    return replace(config, data=replace(config.data, exemplars=change(config.data.exemplars)))


@cache
def _fingerprint(exemplars: ExemplarConfig, changed_at: int) -> str:
    """Of a file's exemplars; read once, unless the file changes."""
    return load_exemplars(exemplars).fingerprint()


def _read(config: RunConfig, file: Path) -> RunConfig:
    """A run's config with the features that lie in a file."""
    exemplars = config.data.exemplars.with_fields(path=str(file), fingerprint="")
    found = with_recorded_content(exemplars, _fingerprint(exemplars, file.stat().st_mtime_ns))
    return replace(config, data=replace(config.data, exemplars=found))


def _copy_end(run: RunFolder, folder: Path) -> None:
    """Copy a finished run, of its checkpoints and states the last: whole or not at all."""
    last = run.checkpoint_path(run.config.n_steps)
    of_steps = {str(last.parent), str(run.state_path(run.config.n_steps).parent)}
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a copy that was killed

    def left_out(within: str, names: list[str]) -> list[str]:
        """Locks, temporary files, and earlier steps."""
        return [n for n in names if n[0] == "." or (within in of_steps and n != last.name)]

    shutil.copytree(run.path, temporary, ignore=left_out)
    os.replace(temporary, folder)


def _remove_unmade(folder: Path) -> None:
    """Remove what a kill leaves of an ensemble's folder that was being made: nothing trained."""
    for run in folder.glob("*/") if folder.is_dir() else ():
        visible = {file.name for file in run.iterdir() if file.name[0] != "."}
        if not visible or (MANIFEST in visible and "metrics.jsonl" not in visible):
            shutil.rmtree(run)


def _check_free(folder: Path) -> None:
    """Raise `UserError` if a folder holds what is no run that could be gone on with."""
    if folder.is_file() or (folder.is_dir() and any(f.name[0] != "." for f in folder.iterdir())):
        raise UserError(f"{folder} is there and holds no run of the plan's; move it away")
