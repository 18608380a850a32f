"""Initial states: the initial value and the target of every factor, drawn at random or given."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coopetition.model.graph import Model
from coopetition.model.presets import PUBLISHED_DIMS, named_dims
from coopetition.tools.checks import check_int, check_number, check_real_array
from coopetition.tools.errors import UsageError
from coopetition.tools.files import ARCHIVE_ERRORS, check_archive

Vector = NDArray[np.float64]
MAX_ENTRIES = 2 * 10**7  # of a random initial state: 320 MB


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class InitialState:
    """Initial and target vectors by factor name, of equal length for each factor.

    initial, target : arrays or lists of real numbers, kept as float64
    source : where the vectors come from, for the record
    """

    initial: dict[str, Vector]
    target: dict[str, Vector]
    source: str = "given"

    def __post_init__(self) -> None:
        if unmatched := sorted(set(self.initial) ^ set(self.target)):
            raise UsageError(
                f"the factors {unmatched} have an initial value or a target; give both, or neither"
            )
        for kind in ("initial", "target"):
            vectors = {
                name: check_real_array(f"the {kind} of factor {name}", values)
                for name, values in getattr(self, kind).items()
            }
            object.__setattr__(self, kind, vectors)
        for name, target in self.target.items():
            initial = self.initial[name]
            if initial.shape != target.shape or target.ndim != 1:
                raise UsageError(
                    f"factor {name} has an initial value of shape {initial.shape} and a target of "
                    f"shape {target.shape}; give two vectors of equal length"
                )
            if not (np.isfinite(initial).all() and np.isfinite(target).all()):
                raise UsageError(f"factor {name} of the draw has entries that are not finite")
            if not target.any():
                raise UsageError(f"the target of factor {name} is zero; it has no direction")

    def __repr__(self) -> str:
        lengths = ", ".join(f"{name} {length}" for name, length in self.dims.items())
        return f"<InitialState of factors of lengths {lengths}: {self.source}>"

    @property
    def dims(self) -> dict[str, int]:
        """Length of each factor."""
        return {name: len(target) for name, target in self.target.items()}


def random_draw(
    seed: int,
    dims: Model | Mapping[str, int] | None = None,
    initial_scale: float = 1.0,
    *,
    scales: Mapping[str, float] | None = None,
) -> InitialState:
    """Draw standard normal targets and initial values (times a scale) from numpy's generator.

    They differ from the published draws, which come from another generator: see `published_draw`.

    Parameters
    ----------
    dims : length of each factor, or a model whose factors have the names of a preset's and take
        its lengths (default: the four published lengths)
    initial_scale : standard deviation of the initial entries of every factor
    scales : further scale of the initial entries of some factors, as {"d": 0.1} (default: 1)

    Raises
    ------
    UsageError : a length, scale or seed out of range, or a factor without a length
    """
    dims = to_dims(dims)
    if sum(dims.values()) > MAX_ENTRIES:
        raise UsageError(
            f"the dimensions are {', '.join(map(str, dims.values()))}; choose at most "
            f"{MAX_ENTRIES:.0e} in all, or give a draw by its numbers (`canonical_draw`)"
        )
    seed = check_int("seed", seed, 0)
    initial_scale = check_number("initial_scale", initial_scale)
    scales = {f: check_number(f"scale_{f}", scale) for f, scale in (scales or {}).items()}
    if unknown := sorted(set(scales) - set(dims)):
        raise UsageError(
            f"scales are given for the factors {', '.join(unknown)}; choose from {', '.join(dims)}"
        )
    rng = np.random.default_rng(seed)
    target = {name: rng.standard_normal(length) for name, length in dims.items()}
    initial = {
        name: initial_scale * scales.get(name, 1.0) * rng.standard_normal(n)
        for name, n in dims.items()
    }
    settings = [f"random, seed {seed}, initial scale {initial_scale}"]
    settings += [f"scale_{f} {scale}" for f, scale in scales.items()]
    return InitialState(initial, target, ", ".join(settings))


def to_dims(dims: object) -> dict[str, int]:
    """Return the length of each factor: as given, of a model, or the published ones for None.

    Raises
    ------
    UsageError : a length that is not a positive whole number, or neither a model nor lengths
    """
    if dims is None:
        return PUBLISHED_DIMS
    if isinstance(dims, Model):
        return named_dims(dims)
    if not isinstance(dims, Mapping):
        raise UsageError(
            f"dims is {dims!r:.80}; give a Model, or the length of each factor, as dims={{'a': 20}}"
        )
    return {f: check_int(f"the dimension of factor {f}", n, 1) for f, n in dims.items()}


def canonical_draw(
    dims: dict[str, int],
    norms: dict[str, float],
    overlaps: dict[str, float],
    orthogonal: dict[str, float],
) -> InitialState:
    """Return an initial state with these target norms, overlaps and orthogonal norms.

    By the rotation symmetry of the model, all initial states with the same numbers have the same
    dynamics: twelve numbers describe a draw of the two-strategy model completely.  A factor with an
    orthogonal part needs a dimension of at least 2.
    """
    initial, target = {}, {}
    for name, length in dims.items():
        if length < 2 and orthogonal[name] != 0:
            raise UsageError(
                f"factor {name} of dimension {length} has no room for an orthogonal part of "
                f"{orthogonal[name]}; choose a dimension of at least 2"
            )
        target[name] = np.zeros(length)
        target[name][0] = norms[name]
        initial[name] = np.zeros(length)
        initial[name][:2] = (overlaps[name], orthogonal[name])[:length]
    return InitialState(initial, target)


def published_draw(seed: int) -> InitialState:
    """Return the published draw of seed 0 to 11 of the minimal model (Singh et al. 2025), reduced.

    The file holds norms, overlaps and orthogonal norms of the published vectors, and the vectors
    returned are those of `canonical_draw`.  This is exact for all that the dynamics depends on.
    """
    file = files("coopetition.model").joinpath("published_draws.json")
    draws = json.loads(file.read_text(encoding="utf-8"))["draws"]
    if str(seed) not in draws:
        raise UsageError(f"there is no published draw of seed {seed}; choose one of 0 to 11")
    draw = canonical_draw(PUBLISHED_DIMS, **draws[str(seed)])
    return replace(draw, source=f"published, seed {seed}, reduced")


def read_draw(path: Path | str, seed: int) -> InitialState:
    """Read `seed{n}/initial/{factor}` and `seed{n}/target/{factor}` of an `.npz` file."""
    path = Path(path)
    check_archive(path, "a readable .npz of numbers")
    vectors: dict[str, dict[str, Vector]] = {"initial": {}, "target": {}}
    try:
        with np.load(path) as archive:
            names = archive.files
            for kind, named in vectors.items():
                prefix = f"seed{seed}/{kind}/"
                for name in names:
                    if name.startswith(prefix):
                        named[name.removeprefix(prefix)] = np.asarray(archive[name], np.float64)
    except (OSError, *ARCHIVE_ERRORS) as error:
        raise UsageError(f"{path} is not a readable .npz of numbers ({error})") from error
    if not vectors["target"]:
        seeds = sorted({name.split("/")[0] for name in names if name.startswith("seed")})
        raise UsageError(
            f"there is no draw of seed {seed} in {path}, which holds {', '.join(seeds) or 'none'}"
        )
    return InitialState(**vectors, source=f"{path.name}, seed {seed}")
