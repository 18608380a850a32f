"""What grafts have in common: a half of another run's model, which is not trained.

Another model's lower half.

Another model's upper half.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Self

from torch import Tensor

from coopetition.tools.errors import UsageError, UserError
from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS, Intervention, places
from transformer.config.plain import MACHINE_PATH, MAX_SEED, OMIT_DEFAULT_FROM_ID
from transformer.model.hooks import Intervened, Scene, site_names
from transformer.model.loaded import Model, load_model
from transformer.model.parameters import Parameters
from transformer.model.transformer import Tap, encode, final_residual, unchanged, unembed
from transformer.runs.folder import RunFolder, load_run

LONGEST = 4000  # characters of a path


@dataclass(frozen=True, kw_only=True)
class Graft(Intervention):
    """Base of the grafts: another run's model, from a checkpoint of it.

    A run that was trained under interventions is computed under them (the papers' code does so for
    the lower half only).  Its weights are no parameters of the model that they are grafted to: they
    have no gradient and never change.
    """

    checkpoint: str = field(metadata=MACHINE_PATH)
    """A weights file of a run, `RUN/checkpoints/step_000001000.safetensors`, or the run's folder,
    for its newest."""
    run_id: str = field(default="", metadata=OMIT_DEFAULT_FROM_ID)
    """The run's id; filled in when it is read, and checked if given."""
    step: int = field(default=0, metadata=OMIT_DEFAULT_FROM_ID)
    """The checkpoint's step, likewise."""
    at: ClassVar[str]
    """Name of the field with the layer at whose output the halves meet."""

    def __post_init__(self) -> None:
        name, path = type(self).__name__, self.checkpoint
        path = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        if not path or len(path) > LONGEST or not path.isprintable():
            raise UsageError(
                f"{name}: checkpoint={self.checkpoint!r:.80} is no path; give that of a run"
            )
        object.__setattr__(self, "checkpoint", path)
        if not 0 <= self.step < MAX_SEED:
            raise UsageError(f"{name}: the step is out of range; give that of the checkpoint, or 0")

    @property
    def layer(self) -> int:
        """The layer at whose output the halves meet."""
        return getattr(self, self.at)

    @property
    def meeting(self) -> str:
        """Name of that output."""
        return f"blocks.{self.layer}.resid_post"

    @property
    def source(self) -> str:
        """The checkpoint."""
        return self.checkpoint

    def relative_to(self, folder: Path) -> Self:
        """The same with the checkpoint in a folder."""
        return replace(self, checkpoint=str(folder / self.checkpoint))

    def check(self, model: ModelConfig) -> None:
        """Raise `UsageError` unless there is such a layer."""
        if not 0 <= self.layer < model.n_layers:
            raise UsageError(
                f"{type(self).__name__}: {self.at}={self.layer}; choose a layer from 0 to "
                f"{model.n_layers - 1}"
            )

    def resolved(self) -> Self:
        """The same with which run and step it is of; another than it says raises `UsageError`."""
        model, run_id = self._read()
        path = str(Path(self.checkpoint).resolve())
        return replace(self, checkpoint=path, run_id=run_id, step=model.step or 0)

    def with_recorded_ids(self, found: Intervention) -> Self:
        """The same with that run and step, unless it says them itself."""
        if not (isinstance(found, type(self)) and found.layer == self.layer):
            return self
        return replace(self, run_id=self.run_id or found.run_id, step=self.step or found.step)

    def _read(self) -> tuple[Model, str]:
        """Its model, and its run's id; what is wrong with it is told as the graft's."""
        try:
            return self._model()
        except UserError as error:
            kind = UsageError if isinstance(error, UsageError) else UserError
            raise kind(f"{type(self).__name__} of {self.checkpoint:.200}: {error}") from error

    def _model(self) -> tuple[Model, str]:
        path = Path(self.checkpoint)
        of_file = path.suffix == ".safetensors"
        run = load_run(path.parent.parent if of_file else path)
        step = self.step or None
        if of_file:
            step = next((s for s in run.steps() if run.checkpoint_path(s).name == path.name), None)
            if step is None:
                raise UsageError(
                    "that is no checkpoint; give RUN/checkpoints/step_....safetensors, or the "
                    "run's folder"
                )
        model, run_id = _loaded(run, step), run.config.run_id()
        if self.run_id not in ("", run_id) or self.step not in (0, model.step):
            raise UsageError(
                f"that is of run {run_id} at step {model.step}, not of {self.run_id or run_id} at "
                f"step {self.step or model.step}; give that"
            )
        return model, run_id

    def acting(
        self, config: ModelConfig, parameters: Parameters
    ) -> Callable[[str, Tensor, Scene], Tensor]:
        """What is done at a site, with the weights read."""
        model, _ = self._read()
        self._check_fits(model, config, parameters)
        like = parameters["W_U"]
        own = {name: value[None].to(like) for name, value in model.parameters.items()}
        return self.acting_with(
            Other(model.config, own, Intervened([model.interventions], model.config, own))
        )

    def _check_fits(self, model: Model, config: ModelConfig, parameters: Parameters) -> None:
        """Raise `UsageError` unless both read the same sequences and meet in one place."""
        sizes = {
            f"n_layers={config.n_layers}": model.config.n_layers == config.n_layers,
            f"d_model={config.d_model}": model.config.d_model == config.d_model,
        }
        for name in {"W_E", "W_L", "W_pos"} & {*model.parameters} & {*parameters}:
            shape = tuple(parameters[name].shape[1:])
            sizes[f"{name} {shape}"] = shape == tuple(model.parameters[name].shape)
        if wrong := [size for size, same in sizes.items() if not same]:
            raise UsageError(
                f"{type(self).__name__}: the model of {self.checkpoint} differs from this one in "
                f"size (this one has {', '.join(sorted(wrong))}); graft from a run of the same"
            )

    def acting_with(self, other: "Other") -> Callable[[str, Tensor, Scene], Tensor]:
        """What is done at a site, by the other model."""
        raise NotImplementedError


def _loaded(run: RunFolder, step: int | None) -> Model:
    """The run's model at a step, or the newest; that of a step is kept for the next time."""
    if step is None:
        return load_model(run)
    path = run.checkpoint_path(step)
    return (
        _kept(run.path, step, path.stat().st_mtime_ns) if path.exists() else load_model(run, step)
    )


@lru_cache(maxsize=4)
def _kept(folder: Path, step: int, changed_at: int) -> Model:
    return load_model(folder, step)


@dataclass(frozen=True)
class Other:
    """Another model, which computes the sequences of all runs as one batch."""

    config: ModelConfig
    parameters: Parameters
    intervened: Intervened

    def final(
        self, scene: Scene, *, first: Tap = unchanged, then: Tap = unchanged
    ) -> tuple[Tensor, Tap]:
        """Its final residual (1, R B, d) under its own interventions, and the tap that they are.

        Taps see activations of R B sequences as one run's: `first` before these, `then` after.
        """
        features = _as_one(scene.features)
        items, _ = encode(self.parameters, self.config, features, training=False)
        labels, target = _as_one(scene.labels), scene.given_target
        target = None if target is None else target.flatten()[None]
        every_row = scene.every_row
        own_tap = self.intervened.tap(
            self.parameters, features, items, labels, target, then=then, every_row=every_row
        )

        def tap(name: str, value: Tensor) -> Tensor:
            return own_tap(name, first(name, value))

        own = self.parameters
        return final_residual(own, self.config, items, labels, tap, every_row=every_row), tap

    def logits(self, scene: Scene, first: Tap) -> Tensor:
        """Its logits (R, B, N)."""
        final, tap = self.final(scene, first=first)
        runs, _, batch = scene.labels.shape
        return tap("logits", unembed(self.parameters, final)).view(runs, batch, -1)


def _as_one(value: Tensor) -> Tensor:
    """(R, tokens, B, ...) as (1, tokens, R B, ...)."""
    return value.transpose(0, 1).flatten(1, 2)[None]


def residual_as_one(resid: Tensor, batch: int) -> Tensor:
    """A residual (R, tokens B, d) as (1, tokens R B, d)."""
    return resid.unflatten(1, (-1, batch)).transpose(0, 1).flatten(0, 2)[None]


def residual_by_run(resid: Tensor, runs: int, batch: int) -> Tensor:
    """The inverse of `residual_as_one`."""
    return resid[0].unflatten(0, (-1, runs, batch)).transpose(0, 1).flatten(1, 2)


@INTERVENTIONS.register("GraftIn")
@dataclass(frozen=True, kw_only=True)
class GraftIn(Graft):
    """Embeddings and layers up to `till` are another model's; the later ones read its output."""

    till: int
    at: ClassVar[str] = "till"
    priority: ClassVar[int] = -1

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """The output of that layer."""
        return (self.meeting,)

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """The lower half."""
        return frozenset(f"layer {layer}" for layer in range(self.till + 1))

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """All before that output."""
        below = ("embed", *(f"blocks.{layer}." for layer in range(self.till + 1)))
        every = places(site_names(model), model) - {self.meeting}
        return frozenset(place for place in every if place.startswith(below))

    def replaces(self) -> tuple[str, ...]:
        """The lower half."""
        return (f"input.{self.till}",)

    def acting_with(self, other: Other) -> Callable[[str, Tensor, Scene], Tensor]:
        """The other's output, instead of the model's own."""

        def act(site: str, value: Tensor, scene: Scene) -> Tensor:
            found = {}

            def keep(name: str, theirs: Tensor) -> Tensor:
                if name == site:
                    found[name] = theirs
                return theirs

            other.final(scene, then=keep)
            runs, _, batch = scene.labels.shape
            return residual_by_run(found[site], runs, batch).to(value.dtype)

        return act


@INTERVENTIONS.register("GraftOut")
@dataclass(frozen=True, kw_only=True)
class GraftOut(Graft):
    """The layers after `from_` and the unembedding are another model's.

    They read what the own ones before leave.
    """

    from_: int
    at: ClassVar[str] = "from_"

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """The output of that layer, and the logits."""
        return self.meeting, "logits"

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """The upper half, and the logits."""
        above = range(self.from_ + 1, model.n_layers)
        return frozenset({"the logits", *(f"layer {layer}" for layer in above)})

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """All after that output, but for the logits."""
        layers = range(self.from_ + 1, model.n_layers)
        above = ("ln_final", *(f"blocks.{layer}." for layer in layers))
        every = places(site_names(model), model)
        return frozenset(place for place in every if place.startswith(above))

    def replaces(self) -> tuple[str, ...]:
        """The upper half."""
        return (f"output.{self.from_}",)

    def acting_with(self, other: Other) -> Callable[[str, Tensor, Scene], Tensor]:
        """Keep the output; make logits of it."""
        key = f"{self.meeting} for {self}"  # not in `act`: torch.compile cannot print dataclasses

        def act(site: str, value: Tensor, scene: Scene) -> Tensor:
            if site != "logits":
                scene.seen[key] = value
                return value
            resid = residual_as_one(scene.seen[key], scene.labels.shape[-1])

            def inject(name: str, theirs: Tensor) -> Tensor:
                return resid.to(theirs.dtype) if name == self.meeting else theirs

            return other.logits(scene, inject).to(value.dtype)

        return act
