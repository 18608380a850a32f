"""A plan: a graph of named nodes, each with what it needs."""

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

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=,+-]*")  # of a node, and so of a folder


@dataclass(frozen=True, kw_only=True)
class Node:
    """One piece of work.  What it makes lies in a folder of its name, in that of all runs."""

    uses_gpu: ClassVar[bool] = False
    """Whether its work runs on a GPU where one is given; other nodes run on the CPU."""

    name: str
    what: str = ""
    """Where it belongs, for people."""
    also: tuple[str, ...] = ()
    """Other names by which it is asked for."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the nodes that must be done before."""
        raise NotImplementedError

    def with_exemplars(self, change: Callable[[ExemplarConfig], ExemplarConfig]) -> "Node":
        """The same with the exemplars changed that it does not get from another node."""
        return self

    def check(self, nodes: Mapping[str, "Node"]) -> None:
        """Raise `UsageError` if what it needs, all of which is in `nodes`, cannot serve it."""

    def is_done(self, runs: Path) -> bool:
        """Whether all it makes is in the folder `runs`.

        What is there but not its own (another run, other exemplars) raises `UserError`.
        """
        raise NotImplementedError

    def share_done(self, runs: Path) -> float:
        """How much of it is done, from 0 to 1, at a glance; 0 where that cannot be seen."""
        return 0.0

    def disk_bytes(self) -> int:
        """What it will take on disk, small files aside."""
        return 0

    def check_installed(self) -> None:
        """Raise `UsageError` if a package is missing here that the work takes."""

    def work(self, runs: Path, device: str, threads: int) -> None:
        """Make it, or continue from what is there.  All that it needs is done.

        `device` is the CPU unless the node `uses_gpu`.
        """
        raise NotImplementedError


class Plan:
    """Nodes by name, each after those that it needs.

    Two of one name, one that needs what is not there, a circle, and nodes that do not fit together
    raise `UsageError`.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        by_name: dict[str, Node] = {}
        for node in nodes:
            if not NAME.fullmatch(node.name):
                raise UsageError(
                    f"the node name {node.name!r} is no folder's; use letters, digits and _.=,+-"
                )
            if node.name in by_name:
                raise UsageError(f"two nodes are called {node.name}; rename one")
            by_name[node.name] = node
        if not by_name:
            raise UsageError("the plan has no nodes; give it some")
        for node in by_name.values():
            if missing := [need for need in node.needs if need not in by_name]:
                raise UsageError(f"{node.name} needs {missing[0]}, which is not in the plan")
        try:
            TopologicalSorter({name: node.needs for name, node in by_name.items()}).prepare()
        except CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            raise UsageError(f"the plan has a circle: {circle}; take out one of these") from error
        self.nodes: dict[str, Node] = {}
        for name in by_name:
            self._add(name, by_name)
        for node in self.nodes.values():
            node.check(self.nodes)

    def _add(self, name: str, by_name: Mapping[str, Node]) -> None:
        """Put a node after what it needs, and else in the order given: that of the work."""
        if name not in self.nodes:
            for need in by_name[name].needs:
                self._add(need, by_name)
            self.nodes[name] = by_name[name]

    def __repr__(self) -> str:
        return f"<Plan of {len(self.nodes)} nodes>"

    def graph(self) -> dict[str, tuple[str, ...]]:
        """What each node needs."""
        return {name: node.needs for name, node in self.nodes.items()}

    def select(self, patterns: Iterable[str]) -> "Plan":
        """The nodes that patterns such as `main_*` name, and all that they need."""
        wanted = self.matching(patterns)
        chosen: set[str] = set()
        while wanted:
            name = wanted.pop()
            if name not in chosen:
                chosen.add(name)
                wanted += self.nodes[name].needs
        return Plan(node for name, node in self.nodes.items() if name in chosen)

    def matching(self, patterns: Iterable[str]) -> list[str]:
        """The names of the nodes that patterns name, without what they need."""
        wanted: list[str] = []
        for pattern in patterns:
            found = [
                name
                for name, node in self.nodes.items()
                if any(fnmatchcase(each, pattern) for each in (name, *node.also))
            ]
            if not found:
                raise UsageError(f"--only {pattern}: no node of that name; --status lists them all")
            wanted += found
        return wanted

    def with_files(self, paths: Mapping[str, Path]) -> "Plan":
        """The plan with exemplars that want a file, by their kind, taken from `paths`.

        A file that is not there, or that nothing in the plan wants, raises `UsageError`.
        """
        wanted = self._wanted_files()
        for kind, path in paths.items():
            if kind not in wanted:
                kinds = ", ".join(sorted(wanted)) or "none"
                raise UsageError(f"--data {kind}: the plan wants no such file (it wants {kinds})")
            if not path.exists():
                raise UsageError(f"--data {kind} {path}: there is no such file; give another path")

        def change(exemplars: ExemplarConfig) -> ExemplarConfig:
            kind = wanted_file(exemplars)
            return exemplars.with_fields(path=str(paths[kind])) if kind in paths else exemplars

        return Plan(node.with_exemplars(change) for node in self.nodes.values())

    def check_files(self) -> None:
        """Raise `UsageError` if exemplars want a file that is not given."""
        if wanted := self._wanted_files():
            kind, name = min(wanted.items())
            raise UsageError(f"{name} wants a file of {kind}; give it by --data {kind} PATH")

    def _wanted_files(self) -> dict[str, str]:
        """Kinds of exemplars whose file is not given, each with the first node that wants it."""
        wanted: dict[str, str] = {}
        for name, node in self.nodes.items():

            def look(exemplars: ExemplarConfig, name: str = name) -> ExemplarConfig:
                wanted.setdefault(wanted_file(exemplars), name)
                return exemplars

            node.with_exemplars(look)
        return {kind: name for kind, name in wanted.items() if kind}


def grafted(interventions: Iterable[Intervention]) -> list[str]:
    """The nodes from whose runs interventions take something, by paths within the folder of all."""
    sources = (Path(each.source) for each in interventions if each.source)
    return sorted({path.parts[0] for path in sources if not path.is_absolute()})


def wanted_file(exemplars: ExemplarConfig) -> str:
    """The kind of exemplars whose file is not given yet; empty for others."""
    if not exemplars.needs_path or getattr(exemplars, "path", ""):
        return ""
    return next(name for name, kind in EXEMPLAR_KINDS.items() if kind is type(exemplars))
