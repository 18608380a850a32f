"""Registries: things by name, each added where it is defined, without a list to edit.

A registry imports its own module, or every module of its folder, when it is first asked.
`load_plugin` imports a file from anywhere else, which adds to the registries.
"""

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

from coopetition.tools.errors import UsageError, UserError, abbreviate

MANY, SHOWN = 20, 6  # a message lists at most MANY names, or else the SHOWN most similar ones
PLUGIN = "plugin_"  # prefix of the names of plugin modules

T = TypeVar("T")
S = TypeVar("S")


class NotRegistered(UsageError):
    """A name that no registry entry has: misspelt, or of a plugin that is not loaded."""


class Registry(Mapping[str, T], Generic[T]):
    """Entries by name, in alphabetical order.

    Its source is imported when a name is not registered yet, or when all names are asked for.

    Parameters
    ----------
    what : what an entry is, for messages
    source : the module, or the package of modules, whose entries it holds
    """

    def __init__(self, what: str, source: str) -> None:
        self.what, self.source = what, source
        self._entries: dict[str, T] = {}
        self._scanned = self._scanning = False
        REGISTRIES.append(self)

    def register(self, name: str) -> Callable[[S], S]:
        """Return a decorator that adds an entry and leaves it unchanged."""

        def add(entry: S) -> S:
            if name in self._entries:
                raise UsageError(
                    f"the {self.what} {name!r} is already registered; choose another name"
                )
            added: Any = entry
            if isinstance(added, type) and issubclass(added, RegisteredConfig):
                class_name = added.__name__  # by which files tell entries apart
                if class_name in {getattr(each, "__name__", "") for each in self._entries.values()}:
                    raise UsageError(
                        f"a {self.what} has the class name {class_name!r} already; choose another"
                    )
            self._entries[name] = added  # pyright: ignore[reportArgumentType]
            return entry

        return add

    def scan(self) -> None:
        """Import the modules of its source, once."""
        if self._scanned or self._scanning:  # the modules may use each other's entries
            return
        self._scanning = True
        try:
            package = importlib.import_module(self.source)
            for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
                importlib.import_module(f"{self.source}.{module.name}")
            self._scanned = True
        finally:
            self._scanning = False

    def reset(self, entries: Mapping[str, T]) -> None:
        """Replace all entries."""
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise self.unknown(name)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        if name not in self._entries:  # else no module needs to be imported
            self.scan()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self.scan()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self.scan()
        return len(self._entries)

    def by_class_name(self, name: str) -> T:
        """Return the entry that is a class of this name, as files name it."""
        for entry in self.values():
            if getattr(entry, "__name__", None) == name:
                return entry
        raise self.unknown(name)

    def unknown(self, name: str) -> NotRegistered:
        """Return the error for a name that is not registered."""
        names, shown = list(self), MANY
        if len(names) > MANY:
            names = [*dict.fromkeys(get_close_matches(name, names, SHOWN, 0.5) + names)]
            shown = SHOWN
        return NotRegistered(
            f"unknown {self.what} {name!r}: choose one of {abbreviate(names, shown)}, or give "
            "--plugin FILE"
        )

    def summaries(self) -> dict[str, str]:
        """Return the first line of each entry's docstring, by name."""
        return {
            name: (getattr(entry, "doc", entry.__doc__) or "").strip().split("\n")[0]
            for name, entry in self.items()
        }


REGISTRIES: list[Registry[Any]] = []


class RegisteredConfig:
    """Base of the config dataclasses that a registry lists.

    A field of such a type takes any class of the registry; its plain values then carry the name of
    that class as `kind`.
    """

    __slots__ = ()
    registry: ClassVar[Registry[type["RegisteredConfig"]]]


def load_plugin(path: Path | str) -> ModuleType:
    """Import a Python file of the user, once, so that its entries are registered.

    The package's own entries come first, so that a plugin cannot take their names.  A file that
    fails leaves no entries, and can be loaded again after it is corrected.
    """
    file = Path(path).resolve()
    if not file.is_file() or file.suffix != ".py":
        raise UsageError(f"plugin {str(path)!r} is not a Python file; give the path of one")
    name = f"{PLUGIN}{file.stem}"
    if name in sys.modules:
        if sys.modules[name].__file__ != str(file):
            raise UsageError(f"two plugins are called {file.stem}; rename {path}")
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    before = [(registry, dict(registry)) for registry in REGISTRIES]
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        for registry, entries in before:
            registry.reset(entries)
        if isinstance(error, UserError) or not isinstance(error, Exception):
            raise
        raise UsageError(
            f"{path} cannot be loaded{_line_of(error, file)} ({type(error).__name__}: "
            f"{' '.join(str(error).split())}); correct it"
        ) from error
    return module


def _line_of(error: Exception, file: Path) -> str:
    """Return where in a file an error was raised, as part of a message."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [each.lineno for each in frames if each.filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno)
    return f": line {lines[-1]}" if lines else ""


def loaded_plugins() -> tuple[str, ...]:
    """Return the files that `load_plugin` has imported."""
    return tuple(
        str(module.__file__) for name, module in sys.modules.items() if name.startswith(PLUGIN)
    )
