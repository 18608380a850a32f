"""Nodes that train runs."""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

from coopetition.tools.errors import UsageError, UserError
from transformer.config import RunConfig, to_dict
from transformer.config.data import ExemplarConfig
from transformer.config.interventions import Intervention
from transformer.config.plain import difference
from transformer.config.variants import check_together
from transformer.data.exemplar_sets import load_exemplars, with_recorded_content
from transformer.data.exemplars.features import FeatureConfig
from transformer.runs.folder import RunFolder, load_run, load_runs
from transformer.runs.layout import ENSEMBLE, MANIFEST, METRICS
from transformer.runs.metrics import whole_lines
from transformer.runs.prepare import HALF
from transformer.runs.train import Diverged, resume, train, train_together, with_recorded_ids
from transformer.sweeps.features import FEATURES, Features
from transformer.sweeps.plan import Node, graft_sources
from transformer.training.cost import disk_bytes
from transformer.training.machine import Machine


@dataclass(frozen=True, kw_only=True)
class Train(Node):
    """A run, or several runs by name that are trained together, in folders within the node's.

    With `after`, the runs start from that node's run (`NODE/RUN` where it has several), at the step
    and with the parts of `config.start`. With `extends`, a single run continues that node, which
    must be the same run but shorter: the shared steps are trained once, and of their checkpoints
    the last is copied. With `exemplars`, the runs are trained on that node's features. The
    `checkpoint` of a graft is a path within the folder of all runs: NODE/checkpoints/... .
    """

    uses_gpu: ClassVar[bool] = True

    config: RunConfig | Mapping[str, RunConfig]
    after: str = ""
    extends: str = ""
    exemplars: str = ""

    @property
    def configs(self) -> dict[str, RunConfig]:
        """Return configs by the runs' names; a single run has an empty name."""
        return {"": self.config} if isinstance(self.config, RunConfig) else dict(self.config)

    @property
    def n_steps(self) -> int:
        return max(config.n_steps for config in self.configs.values())

    @property
    def needs(self) -> tuple[str, ...]:
        parent = self.after.partition("/")[0]
        grafts = (name for c in self.configs.values() for name in graft_sources(c.interventions))
        names = (self.exemplars, parent, self.extends, *grafts)
        return tuple(dict.fromkeys(filter(None, names)))

    def with_exemplars(self, change: Callable[[ExemplarConfig], ExemplarConfig]) -> "Train":
        if self.exemplars:
            return self
        configs = {
            name: replace(c, data=replace(c.data, exemplars=change(c.data.exemplars)))
            for name, c in self.configs.items()
        }
        return replace(self, config=configs.get("", configs))

    def check(self, nodes: Mapping[str, Node]) -> None:
        check_together(self.configs)
        if self.exemplars and not isinstance(nodes[self.exemplars], Features):
            raise UsageError(f"{self.name} takes exemplars from {self.exemplars}, which makes none")
        for config in self.configs.values():
            kind = type(config.data.exemplars)
            if self.exemplars and not issubclass(kind, FeatureConfig):
                raise UsageError(
                    f"{self.name} is trained on {self.exemplars}, but its exemplars are "
                    f"{kind.__name__}; make them FeatureConfig"
                )
            if config.start.given and not (self.after or config.start.path):
                raise UsageError(f"{self.name} starts from a checkpoint; say `after` which run")
            if self.after:
                self._check_start(config.start.step, nodes)
            check_grafts(self.name, config.interventions, nodes)
        if self.extends and not self._extends(nodes[self.extends]):
            raise UsageError(
                f"{self.name} extends {self.extends}, which is not the same single run, but shorter"
            )

    def _check_start(self, step: int, nodes: Mapping[str, Node]) -> None:
        parent, _, run = self.after.partition("/")
        purpose = f"{self.name} starts from"
        _check_kept(purpose, parent, step, find_run(purpose, parent, run, nodes), nodes)

    def _extends(self, shorter: Node) -> bool:
        """Return whether another node trains the same single run, but shorter."""
        if not isinstance(shorter, Train) or "" not in self.configs.keys() & shorter.configs.keys():
            return False
        has_same_source = (self.after, self.exemplars) == (shorter.after, shorter.exemplars)
        has_same_id = self.configs[""].run_id() == shorter.configs[""].run_id()
        return has_same_source and has_same_id and shorter.n_steps < self.n_steps

    def is_done(self, runs: Path) -> bool:
        """Return whether all its runs are finished; if one has diverged, raise `UserError` then."""
        folders = self._runs_that_are_over(runs)
        for run in folders:
            if run.has_diverged():
                why = run.recorded_status()["message"].replace("in a new folder", "in the plan")
                raise UserError(f"{run.path}: {why}; then move {runs / self.name} away")
        return bool(folders)

    def is_over(self, runs: Path) -> bool:
        """Return whether all its runs are finished or have diverged."""
        return bool(self._runs_that_are_over(runs))

    def _runs_that_are_over(self, runs: Path) -> list[RunFolder]:
        """Return all its runs if they are finished or have diverged; else none."""
        folders = self._load(runs) if self._has_begun(runs) else []
        is_over = all(
            run.has_diverged() or (run.is_finished() and run.config.n_steps >= self.n_steps)
            for run in folders
        )
        return folders if is_over else []

    def disk_bytes(self) -> int:
        return sum(disk_bytes(c, c.data.exemplars.feature_count()) for c in self.configs.values())

    def fraction_done(self, runs: Path) -> float:
        """Return the evaluated part of the run with most steps; others may have diverged."""
        fractions = []
        for name, config in self.configs.items():
            lines = whole_lines(runs / self.name / name / METRICS)
            fractions.append(lines[-1][0]["step"] / config.n_steps if lines else 0.0)
        return min(1.0, max(fractions))

    def recorded_steps(self, runs: Path) -> int:
        """Return the steps of the longest run in its folder, which are kept; 0 if it has none."""
        if not self._has_begun(runs):
            return 0
        return max(run.config.n_steps for run in load_runs(runs / self.name))

    def execute(self, runs: Path, device: str, threads: int) -> None:
        try:
            self._train(runs, device, threads)
        except Diverged:
            self.is_done(runs)  # raises, and says what to do in a sweep
            raise

    def _train(self, runs: Path, device: str, threads: int) -> None:
        folder = runs / self.name
        if not self._has_begun(runs):
            _delete_partial_ensemble(folder)
            _check_free(folder)
            if not self.extends:
                self._begin(runs, device, threads)
                return
            _copy_end(load_run(runs / self.extends), folder)
        folders = self._load(runs)
        if not any(run.steps() for run in folders):
            self._check_source(runs)
        path = str(runs / self.exemplars / FEATURES) if self.exemplars else None
        n_steps = max(self.n_steps, self.recorded_steps(runs))
        resume(
            folder,
            n_steps=n_steps,
            planned=self.configs,
            data_path=path,
            device=device,
            threads=threads,
        )

    def _begin(self, runs: Path, device: str, threads: int) -> None:
        self._check_source(runs)
        configs = self._resolved_configs(runs)
        machine = Machine.choose(device, threads, n_steps=next(iter(configs.values())).n_steps)
        if "" in configs:
            train(configs[""], runs / self.name, machine)
        else:
            train_together(configs, runs / self.name, machine)

    def _check_source(self, runs: Path) -> None:
        """Raise `UserError` unless the checkpoints that it starts from are there and sound."""
        if not self.after:
            return
        source = load_run(runs / self.after)
        for step in {config.start.step for config in self.configs.values()}:
            if not source.is_sound(step):
                file = source.checkpoint_path(step)
                raise UserError(
                    f"{file}, from which {self.name} starts, is "
                    f"{'damaged' if file.exists() else 'missing'}; restore it, or move "
                    f"{runs / self.after.partition('/')[0]} away to train it again, and sweep with "
                    "--retry"
                )

    def _has_begun(self, runs: Path) -> bool:
        """Return whether its folder holds runs that can be resumed."""
        return (runs / self.name / (MANIFEST if "" in self.configs else ENSEMBLE)).exists()

    def _resolved_configs(self, runs: Path) -> dict[str, RunConfig]:
        """Return the configs with the exemplars and starts that are there, and their ids."""
        configs, features = self.configs, runs / self.exemplars / FEATURES
        if self.exemplars and features.exists():
            configs = {name: _with_features(config, features) for name, config in configs.items()}
        if self.after and (runs / self.after / MANIFEST).exists():
            source = load_run(runs / self.after)
            run_id = source.config.run_id() + HALF * source.config.keep_half
            place = {"path": str(source.path.resolve()), "run_id": run_id}
            configs = {n: replace(c, start=replace(c.start, **place)) for n, c in configs.items()}
        return {
            name: replace(
                c, interventions=tuple(each.relative_to(runs) for each in c.interventions)
            )
            for name, c in configs.items()
        }

    def _load(self, runs: Path) -> list[RunFolder]:
        """Return the runs in its folder; raise `UserError` unless they are those of the plan.

        The exemplars and starts that are there are compared, too.
        """
        folders = load_runs(runs / self.name)
        for name, config in self._resolved_configs(runs).items():
            run = next((each for each in folders if name in ("", each.path.name)), None)
            if run is None:
                raise UserError(f"{runs / self.name} lacks the run {name}; move the folder away")
            expected = with_recorded_ids(config, run.config)
            if expected.run_id() != run.config.run_id():
                found, wanted = (to_dict(c, for_id=True) for c in (run.config, expected))
                raise UserError(
                    f"{run.path} holds another run than the plan's ({difference(found, wanted)}); "
                    "move it away, or restore what it was made from"
                )
        return folders


def check_grafts(
    name: str, interventions: Iterable[Intervention], nodes: Mapping[str, Node]
) -> None:
    """Raise `UsageError` unless the checkpoints that a node is grafted with will be there."""
    for each in interventions:
        node, *within = Path(each.source).parts or ("/",)
        if node == "/":
            continue  # not from a node
        run = within.pop(0) if within and within[0] != "checkpoints" else ""
        purpose = f"{name} is grafted with"
        config = find_run(purpose, node, run, nodes)
        if within and (step := re.search(r"\d+", within[-1])):
            _check_kept(purpose, node, int(step[0]), config, nodes)


def find_run(purpose: str, node: str, run: str, nodes: Mapping[str, Node]) -> RunConfig:
    """Return the config of a node's run; raise `UsageError` if it has none of that name."""
    source = nodes[node]
    if not isinstance(source, Train):
        raise UsageError(f"{purpose} {node}, which is not a training node")
    if run not in source.configs:
        names = ", ".join(f"{node}/{each}".rstrip("/") for each in source.configs)
        raise UsageError(f"{purpose} {node}/{run}".rstrip("/") + f"; choose one of {names}")
    return source.configs[run]


def _check_kept(
    purpose: str, node: str, step: int, config: RunConfig, nodes: Mapping[str, Node]
) -> None:
    """Raise `UsageError` unless a node's run keeps the weights of a step."""
    is_kept = config.keep[0] == "all" or step in (*config.checkpoint_at, config.n_steps)
    if not (1 <= step <= config.n_steps and config.is_checkpoint(step) and is_kept):
        raise UsageError(
            f"{purpose} step {step} of {node}, which keeps no checkpoint of it; add it to its "
            "checkpoint_at"
        )
    shorter = nodes.get(getattr(nodes[node], "extends", ""))
    if shorter and step < shorter.n_steps:
        raise UsageError(
            f"{purpose} step {step} of {node}, which begins at the end of {shorter.name}; take the "
            "checkpoint of that"
        )


def _with_features(config: RunConfig, file: Path) -> RunConfig:
    """Return a run's config with the features in a file, and their fingerprint."""
    exemplars = config.data.exemplars.with_fields(path=str(file), fingerprint="")
    exemplars = with_recorded_content(exemplars, _fingerprint(exemplars, file.stat().st_mtime_ns))
    return replace(config, data=replace(config.data, exemplars=exemplars))


@cache
def _fingerprint(exemplars: ExemplarConfig, modified_ns: int) -> str:
    """Return the fingerprint of a file's exemplars; it is read again only after a change."""
    return load_exemplars(exemplars).fingerprint()


def _copy_end(run: RunFolder, folder: Path) -> None:
    """Copy a finished run with its last checkpoint and state, completely or not at all."""
    last = run.checkpoint_path(run.config.n_steps)
    step_folders = {str(last.parent), str(run.state_path(run.config.n_steps).parent)}
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a copy that was killed

    def left_out(within: str, names: list[str]) -> list[str]:
        """Return locks, temporary files, and earlier steps."""
        return [n for n in names if n[0] == "." or (within in step_folders and n != last.name)]

    shutil.copytree(run.path, temporary, ignore=left_out)
    os.replace(temporary, folder)


def _delete_partial_ensemble(folder: Path) -> None:
    """Delete the folders of an ensemble that was killed while they were made."""
    for run in folder.glob("*/") if folder.is_dir() else ():
        visible = {file.name for file in run.iterdir() if file.name[0] != "."}
        if not visible or (MANIFEST in visible and METRICS not in visible):
            shutil.rmtree(run)


def _check_free(folder: Path) -> None:
    """Raise `UserError` if a folder holds something that is not a run of the plan."""
    if folder.is_file() or (folder.is_dir() and any(f.name[0] != "." for f in folder.iterdir())):
        raise UserError(f"{folder} exists and holds no run of the plan; move it away")
