"""The theories that have a name in commands.

These are every `Theory` at the top level of a module in `coopetition.fitting.theories`, and the
readout of each.
"""

import pkgutil
from functools import cache
from importlib import import_module

from coopetition.fitting.readout import READOUT_SUFFIX, Readout
from coopetition.fitting.theory import Theory
from coopetition.tools.errors import UsageError

TOY = "toy"


@cache
def theories() -> dict[str, Theory]:
    """Return all theories of `coopetition.fitting.theories` by name, the toy first."""
    package = import_module("coopetition.fitting.theories")
    modules = pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    found = {
        value.name: value
        for module in modules
        for value in vars(import_module(module.name)).values()
        if isinstance(value, Theory)
    }
    return dict(sorted(found.items(), key=lambda item: (item[0] != TOY, item[0])))


def theory_of(name: str | Theory) -> Theory:
    """Return the theory of a name (or the given theory); an unknown name raises `UsageError`.

    NAME_readout is the readout of a theory (`coopetition.fitting.readout`).
    """
    if isinstance(name, Theory):
        return name
    own = name.removesuffix(READOUT_SUFFIX) if isinstance(name, str) else name
    if not isinstance(own, str) or own not in theories():
        raise UsageError(
            f"theory {name!r:.80} is unknown; choose one of {', '.join(theories())}, each also as "
            f"NAME{READOUT_SUFFIX}"
        )
    return theories()[own] if own == name else Readout.of(theories()[own])
