"""A plan: a graph of named nodes, each of which says which other nodes it needs."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import ClassVar

from coopetition.tools.errors import UsageError
from transformer.config.data import EXEMPLAR_KINDS, ExemplarConfig
from transformer.config.interventions import Intervention

ALL_NODES = ("*",)  # the pattern of all nodes
NODE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=,+-]*")  # also the name of a folder


@dataclass(frozen=True, kw_only=True)
class Node:
    """A piece of work. Its files lie in a folder of its name within the folder of all runs."""

    uses_gpu: ClassVar[bool] = False
    """Whether the work runs on a GPU where one is given; other nodes run on the CPU."""

    name: str
    description: str = ""
    aliases: tuple[str, ...] = ()
    """Other names that select the node."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the names of the nodes that must be done before."""
        return ()

    @property
    def n_steps(self) -> int:
        """Return the number of training steps; 0 for a node that trains no run."""
        return 0

    def with_exemplars(self, change: Callable[[ExemplarConfig], ExemplarConfig]) -> "Node":
        """Return the node with changed exemplars; those of another node stay as they are."""
        return self

    def check(self, nodes: Mapping[str, "Node"]) -> None:
        """Raise `UsageError` if the nodes that it needs cannot serve it."""

    def is_done(self, runs: Path) -> bool:
        """Return whether all its files are in the folder `runs`.

        Files of another run, or of other exemplars, raise `UserError`.
        """
        raise NotImplementedError

    def fraction_done(self, runs: Path) -> float:
        """Return a quick estimate, from 0 to 1, of how much is done; 0 if unknown."""
        return 0.0

    def disk_bytes(self) -> int:
        """Return how much disk the node takes, small files excluded."""
        return 0

    def check_installed(self) -> None:
        """Raise `UsageError` if a package that the work needs is not installed."""

    def execute(self, runs: Path, device: str, threads: int) -> None:
        """Do the work or continue it. All nodes that it needs are done.

        `device` is the CPU unless the node `uses_gpu`.
        """
        raise NotImplementedError


class Plan:
    """Nodes by name, each after those that it needs.

    An empty plan, a name that occurs twice, a missing node, a cycle, and nodes that do not fit
    together raise `UsageError`.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        by_name: dict[str, Node] = {}
        for node in nodes:
            if not NODE_NAME.fullmatch(node.name):
                raise UsageError(
                    f"the node name {node.name!r} cannot name a folder; use letters, digits and "
                    "_.=,+-"
                )
            if node.name in by_name:
                raise UsageError(f"two nodes are called {node.name}; rename one")
            by_name[node.name] = node
        if not by_name:
            raise UsageError("the plan has no nodes; add some")
        for node in by_name.values():
            if missing := [need for need in node.needs if need not in by_name]:
                raise UsageError(f"{node.name} needs {missing[0]}, which is not in the plan")
        try:
            TopologicalSorter({name: node.needs for name, node in by_name.items()}).prepare()
        except CycleError as error:
            cycle = " -> ".join(reversed(error.args[1]))
            raise UsageError(f"the plan has a cycle: {cycle}; remove one of these") from error
        self.nodes: dict[str, Node] = {}
        for name in by_name:
            self._add(name, by_name)
        for node in self.nodes.values():
            node.check(self.nodes)

    def _add(self, name: str, by_name: Mapping[str, Node]) -> None:
        """Add a node after those that it needs; otherwise the given order stays."""
        if name not in self.nodes:
            for need in by_name[name].needs:
                self._add(need, by_name)
            self.nodes[name] = by_name[name]

    def __repr__(self) -> str:
        return f"<Plan of {len(self.nodes)} nodes>"

    def select(self, patterns: Iterable[str]) -> "Plan":
        """Return the nodes that match patterns such as `main_*`, with all that they need."""
        wanted = self.matching(patterns)
        chosen: set[str] = set()
        while wanted:
            name = wanted.pop()
            if name not in chosen:
                chosen.add(name)
                wanted += self.nodes[name].needs
        return Plan(node for name, node in self.nodes.items() if name in chosen)

    def matching(self, patterns: Iterable[str]) -> list[str]:
        """Return the names of the nodes that match patterns, without what they need."""
        names: list[str] = []
        for pattern in patterns:
            matches = [
                name
                for name, node in self.nodes.items()
                if any(fnmatchcase(each, pattern) for each in (name, *node.aliases))
            ]
            if not matches:
                raise UsageError(f"--only {pattern}: no node matches; --dry-run lists all nodes")
            names += matches
        return names

    def with_files(self, paths: Mapping[str, Path]) -> "Plan":
        """Return the plan with the files of exemplars filled in, by kind.

        A missing file, and a file that no node wants, raise `UsageError`.
        """
        wanted = self._missing_files()
        for kind, path in paths.items():
            if kind not in wanted:
                kinds = ", ".join(sorted(wanted)) or "none"
                raise UsageError(f"--data {kind}: the plan wants no such file (it wants {kinds})")
            if not path.exists():
                raise UsageError(f"--data {kind} {path}: there is no such file; give another path")

        def fill(exemplars: ExemplarConfig) -> ExemplarConfig:
            kind = missing_file_kind(exemplars)
            return exemplars.with_fields(path=str(paths[kind])) if kind in paths else exemplars

        return Plan(node.with_exemplars(fill) for node in self.nodes.values())

    def check_files(self) -> None:
        """Raise `UsageError` if exemplars need a file that is not given."""
        if missing := self._missing_files():
            kind = min(missing)
            raise UsageError(f"a file of {kind} is missing; give it by --data {kind} PATH")

    def _missing_files(self) -> set[str]:
        """Return the kinds of exemplars whose file is not given."""
        missing: set[str] = set()

        def note(exemplars: ExemplarConfig) -> ExemplarConfig:
            missing.add(missing_file_kind(exemplars))
            return exemplars

        for node in self.nodes.values():
            node.with_exemplars(note)
        return missing - {""}


def graft_sources(interventions: Iterable[Intervention]) -> list[str]:
    """Return the nodes whose runs interventions take weights from (relative paths only)."""
    sources = (Path(each.source) for each in interventions if each.source)
    return sorted({path.parts[0] for path in sources if not path.is_absolute()})


def missing_file_kind(exemplars: ExemplarConfig) -> str:
    """Return the kind of exemplars that still need a file; an empty string for others."""
    if not exemplars.needs_path or getattr(exemplars, "path", ""):
        return ""
    return next(name for name, kind in EXEMPLAR_KINDS.items() if kind is type(exemplars))
