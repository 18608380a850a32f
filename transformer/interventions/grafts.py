"""Grafts: half of another run's model in place of the own half; it is not trained."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

from torch import Tensor

from coopetition.tools.errors import UsageError, UserError
from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS, Intervention
from transformer.config.plain import MACHINE_PATH, MAX_SEED, OMIT_DEFAULT_FROM_ID
from transformer.config.registry import Registry
from transformer.model.hooks import Act, Scene
from transformer.model.loaded import Model
from transformer.model.parameters import Parameters
from transformer.model.transformer import Tap, unchanged, unembed

LONGEST = 4000  # characters of a path


class Source(NamedTuple):
    """A model to graft from."""

    model: Model
    run_id: str


SOURCES: Registry[Callable[[str, int], Source]] = Registry(
    "source of grafts", "transformer.runs.models"
)


@dataclass(frozen=True, kw_only=True)
class Graft(Intervention):
    """Base of the grafts: another run's model, from one of its checkpoints.

    A run that was trained under interventions is computed under them (the papers' code does so for
    the lower half only).  Its weights are not parameters of the model that they are grafted to:
    they have no gradient and never change.
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
                f"{name}: checkpoint={self.checkpoint!r:.80} is not a path; give that of a run"
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
        """The site of that output."""
        return f"blocks.{self.layer}.resid_post"

    @property
    def source(self) -> str:
        return self.checkpoint

    def relative_to(self, folder: Path) -> Self:
        return replace(self, checkpoint=str(folder / self.checkpoint))

    def check(self, model: ModelConfig) -> None:
        if not 0 <= self.layer < model.n_layers:
            raise UsageError(
                f"{type(self).__name__}: {self.at}={self.layer}; choose a layer from 0 to "
                f"{model.n_layers - 1}"
            )

    def resolved(self) -> Self:
        """Return the same with run id and step; others than it has raise `UsageError`."""
        model, run_id = self._read()
        path = str(Path(self.checkpoint).resolve())
        return replace(self, checkpoint=path, run_id=run_id, step=model.step or 0)

    def with_recorded_ids(self, recorded: Intervention) -> Self:
        """Return the same with run id and step of a resolved graft, unless it has its own."""
        if not (isinstance(recorded, type(self)) and recorded.layer == self.layer):
            return self
        run_id, step = self.run_id or recorded.run_id, self.step or recorded.step
        return replace(self, run_id=run_id, step=step)

    def _read(self) -> Source:
        """Return the model and its run's id; errors name the graft."""
        try:
            model, run_id = SOURCES["run"](self.checkpoint, self.step)
            if self.run_id not in ("", run_id) or self.step not in (0, model.step):
                raise UsageError(
                    f"this is run {run_id} at step {model.step}; give run "
                    f"{self.run_id or run_id} at step {self.step or model.step}"
                )
        except UserError as error:
            kind = UsageError if isinstance(error, UsageError) else UserError
            raise kind(f"{type(self).__name__} of {self.checkpoint:.200}: {error}") from error
        return Source(model, run_id)

    def bind(self, config: ModelConfig, parameters: Parameters) -> Act:
        """Return what it does at a site, with the weights read."""
        model, _ = self._read()
        self._check_fits(model, config, parameters)
        weights = {name: value.to(parameters["W_U"]) for name, value in model.parameters.items()}
        other = Model(model.config, weights, model.step, model.interventions)
        other.active_interventions()  # its own grafts are read now, and not when a step is compiled
        return self.bind_to(other)

    def _check_fits(self, model: Model, config: ModelConfig, parameters: Parameters) -> None:
        """Raise `UsageError` unless both read the same sequences and their halves meet."""
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
                f"size (this one has {', '.join(sorted(wrong))}); graft from a run of the same size"
            )

    def bind_to(self, other: Model) -> Act:
        """Return what it does at a site, by the other model."""
        raise NotImplementedError


def _as_one(value: Tensor) -> Tensor:
    """Return (R, tokens, B, ...) as (1, tokens, R B, ...): the runs' batches as one."""
    return value.transpose(0, 1).flatten(1, 2)[None]


def _final(
    other: Model, scene: Scene, *, first: Tap = unchanged, then: Tap = unchanged
) -> tuple[Tensor, Tap]:
    """Return another model's final residual (1, R B, d) and tap, for the sequences of all runs.

    `first` sees activations before its own interventions, `then` after them.
    """
    target = None if scene.batch.target is None else scene.batch.target.flatten()[None]
    features, labels = _as_one(scene.features), _as_one(scene.labels)
    return other.final(features, labels, target, first=first, then=then, every_row=scene.every_row)


@INTERVENTIONS.register("GraftIn")
@dataclass(frozen=True, kw_only=True)
class GraftIn(Graft):
    """Embeddings and layers up to `till` come from another run; later layers read their output."""

    till: int
    at: ClassVar[str] = "till"
    priority: ClassVar[int] = -1
    claims: ClassVar = ("the lower half",)

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        return (self.meeting,)

    def overwrites(self, model: ModelConfig) -> dict[str, tuple[str, ...]]:
        return {self.meeting: ()}

    def replaces(self) -> tuple[str, ...]:
        return (f"input.{self.till}",)

    def bind_to(self, other: Model) -> Act:

        def act(site: str, value: Tensor, scene: Scene) -> Tensor:
            outputs = []

            def keep(name: str, theirs: Tensor) -> Tensor:
                if name == site:
                    outputs.append(theirs)
                return theirs

            _final(other, scene, then=keep)
            runs, _, batch = scene.labels.shape
            (resid,) = outputs  # (1, tokens R B, d)
            resid = resid[0].unflatten(0, (-1, runs, batch)).transpose(0, 1).flatten(1, 2)
            return resid.to(value.dtype)

        return act


@INTERVENTIONS.register("GraftOut")
@dataclass(frozen=True, kw_only=True)
class GraftOut(Graft):
    """The layers after `from_` and the unembedding come from another run.

    They read what the own layers before them leave.
    """

    from_: int
    at: ClassVar[str] = "from_"
    claims: ClassVar = ("the logits",)

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        return self.meeting, "logits"

    def overwrites(self, model: ModelConfig) -> dict[str, tuple[str, ...]]:
        return {"logits": (self.meeting,)}

    def replaces(self) -> tuple[str, ...]:
        return (f"output.{self.from_}",)

    def bind_to(self, other: Model) -> Act:
        key = f"{self.meeting} for {self}"  # not in `act`: torch.compile cannot print dataclasses

        def act(site: str, value: Tensor, scene: Scene) -> Tensor:
            if site != "logits":
                scene.seen[key] = value
                return value
            resid = scene.seen[key].unflatten(1, (-1, scene.labels.shape[-1]))
            resid = _as_one(resid).flatten(1, 2)  # (1, tokens R B, d)

            def inject(name: str, theirs: Tensor) -> Tensor:
                return resid.to(theirs.dtype) if name == self.meeting else theirs

            final, tap = _final(other, scene, first=inject)
            z = tap("logits", unembed(other.with_run_axis(), final))
            return z.view(value.shape).to(value.dtype)

        return act
