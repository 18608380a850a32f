"""Fewer features of one scale: principal components, mean removed.

What a file of features was made by: a nested table of plain values in its metadata.

Features of drawings by a frozen encoder: files for `FeatureConfig`.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_ending, check_writable, to_json, write_bytes
from transformer.config.data import ExemplarConfig
from transformer.config.encoders import EncoderConfig
from transformer.config.plain import difference, flatten, require, require_at_least, to_dict
from transformer.data.encoders.base import Encoder, images_of
from transformer.data.exemplar_sets import Exemplars
from transformer.data.exemplars.arrays import MADE_AGAIN, convert, open_safetensors
from transformer.data.exemplars.omniglot import Drawings, open_drawings
from transformer.data.features.records import Records, open_records, read_head
from transformer.data.features.separation import (
    Chunks,
    covariance_of,
    mean_of,
    separation,
    variance_of,
)
from transformer.training.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class ReductionConfig:
    """What is done to features before they are written."""

    components: int = 512
    """Principal components to keep; 0: all features as they are."""
    centre: bool = True
    """Whether the mean over all drawings is removed."""
    scale: float = 1.0
    """Standard deviation of an entry afterwards, over all drawings and entries: one factor for
    all; 0: the features' own."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "components", "scale")
        half = torch.finfo(torch.float16)
        require(
            self.scale == 0 or half.tiny <= self.scale <= half.max,
            f"scale={self.scale:g} is beyond half precision; choose 0, or {half.tiny:.1g} to "
            f"{half.max:g}",
        )


@dataclass(frozen=True, slots=True)
class Reduction:
    """An affine map of features, `(x - shift) @ map * factor`."""

    shift: Tensor
    map: Tensor | None
    """(d_features, components), orthonormal columns; None: the identity."""
    factor: float
    kept_variance: float
    """The share of the variance that is left."""

    @property
    def d_features(self) -> int:
        """How many it leaves."""
        return len(self.shift) if self.map is None else self.map.shape[1]

    def __call__(self, features: Tensor) -> Tensor:
        """Reduced features (n, d) of features (n, d_features)."""
        centred = features - self.shift
        return (centred if self.map is None else centred @ self.map) * self.factor


def check_components(config: ReductionConfig, d_features: int) -> None:
    """Raise `UsageError` for more components than there are features."""
    if config.components > d_features:
        raise UsageError(
            f"components={config.components} is more than the encoder's {d_features} features; "
            "choose at most so many, or 0 for all as they are"
        )


def fit_reduction(chunks: Chunks, config: ReductionConfig) -> Reduction:
    """The reduction of vectors that a config asks for, in float64.

    The largest entry of each component is positive, so that its sign does not depend on the
    machine.  More components than features, and features that are all alike, raise `UsageError`.
    """
    mean = mean_of(chunks)
    check_components(config, len(mean))
    if config.components:
        variances, directions = torch.linalg.eigh(covariance_of(chunks, mean))
        directions = directions[:, -config.components :].flip(1).contiguous()
        largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
        directions = directions * largest.sign()
        kept = variances[-config.components :].sum().item()
    else:
        variances, directions = variance_of(chunks, mean), None
        kept = variances.sum().item()
    if not kept > 0:
        raise UsageError("the features of all drawings are alike; choose another encoder or image")
    entries = config.components or len(mean)
    factor = config.scale / (kept / entries) ** 0.5 if config.scale else 1.0
    shift = mean if config.centre else torch.zeros_like(mean)
    return Reduction(shift, directions, factor, kept / variances.sum().item())


KEY = "provenance"  # in a .safetensors file's metadata


def identity(
    encoder: EncoderConfig,
    drawings: ExemplarConfig,
    reduction: ReductionConfig,
    *,
    weights: str | None,
    fingerprint: str | None,
) -> dict[str, Any]:
    """What decides on the numbers of features, up to rounding: three tables.

    `weights` and `fingerprint` are of the encoder's weights and of the drawings.
    """
    return {
        "encoder": _plain(encoder) | {"weights": weights},
        "drawings": _plain(drawings) | {"fingerprint": fingerprint},
        "reduction": to_dict(reduction, for_id=True),
    }


def _plain(config: EncoderConfig | ExemplarConfig) -> dict[str, Any]:
    return {"kind": type(config).__name__} | to_dict(config, for_id=True)


def identity_in(provenance: dict[str, Any]) -> dict[str, Any]:
    """Those of a provenance; what it does not name is left out."""
    names = ("encoder", "drawings", "reduction")
    return {name: provenance[name] for name in names if name in provenance}


def made_on(machine: Machine) -> dict[str, Any]:
    """What made a file, beside what it was asked for: it changes numbers by rounding alone."""
    return {
        "device": machine.device,
        "threads": machine.threads,
        "torch": torch.__version__,
        "coopetition": version("coopetition"),
    }


def entries(provenance: dict[str, Any]) -> list[str]:
    """What decides on the numbers, as `name=value`; none for no provenance."""
    return [f"{name}={value}" for name, value in flatten(identity_in(provenance)).items()]


def made_by(provenance: dict[str, Any]) -> str:
    """The entries as a line, which is part of a run's id: its form must not change."""
    return "; ".join(entries(provenance))


def read_provenance(path: Path) -> dict[str, Any]:
    """The provenance that a feature file names; empty for one that names none, as an .npy file."""
    if path.suffix != ".safetensors":
        return {}
    text = (open_safetensors(path).metadata() or {}).get(KEY, "{}")
    try:
        table = json.loads(text)
    except ValueError:
        table = None
    if not isinstance(table, dict):
        raise UsageError(f"{path} has the {KEY} {text!r:.80}, which is no table; {MADE_AGAIN}")
    return table


PER_RECORD = 400  # drawings of which the features are kept together: seconds of work
BATCH = 40  # drawings that the network sees at once: their activations stay in a CPU's cache
PARTIAL = ".partial"


def write_features(
    drawings: ExemplarConfig,
    encoder: EncoderConfig,
    out: Path,
    *,
    reduction: ReductionConfig | None = None,
    raw: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> dict[str, Any]:
    """Write features (n_classes, n_exemplars, d) of drawings to a `.safetensors` file.

    Kept in half precision, with their provenance as metadata, which is returned; its `machines` are
    what made them, its `result` has the shape and what they are worth
    (`transformer.data.features.separation`).

    A call that was killed is gone on with by the same call: what the encoder gave is kept in `raw`
    meanwhile (by default `out` with the ending `.partial`, which is removed at the end), and the
    file becomes, bit for bit, what it would have been (on one device, by the same versions and
    number of threads; others change roundings, and stand beside one another in `machines`).  A
    `raw` that is given stays, and other reductions start from it.  A file that is there and of the
    same encoder, drawings and reduction is left as it is.

    Raises `UsageError` for what cannot be embedded, for a file that is there and of another
    provenance, and for partial work on something else; `UserError` while another process writes it.
    """
    reduction = reduction or ReductionConfig()
    check_ending(out, ".safetensors")
    partial = raw or out.with_name(out.name + PARTIAL)
    check_writable(out)
    check_writable(partial)
    if partial == out:
        raise UsageError(f"raw={str(raw)!r} is the file of the result too; give it another name")
    machine = _machine(partial, device, threads)
    with machine.use(), torch.inference_mode():
        network = encoder.load(torch.device(machine.device))
        check_components(reduction, network.d_features)
        images, fingerprint = open_drawings(drawings)
        asked = identity(
            encoder, drawings, reduction, weights=network.weights, fingerprint=fingerprint
        )
        if out.exists():
            return _finished(out, asked)
        about = {name: asked[name] for name in ("encoder", "drawings")}
        sizes = _sizes(images, network.d_features)
        with open_records(partial, about, sizes, made_on(machine)) as records:
            if out.exists():  # another process has just written it
                return _finished(out, asked)
            chunks = _chunks(records, network.d_features)
            try:
                _embed(images, encoder, network, records)
                fitted = fit_reduction(chunks, reduction)
            except UsageError:  # what this encoder gives is of no use to any call
                if raw is None:
                    records.drop()
                raise
            features = _reduced(chunks, images.n_classes * images.n_exemplars, fitted)
            features = features.view(images.n_classes, images.n_exemplars, -1)
            result = {"shape": list(features.shape), "kept_variance": fitted.kept_variance}
            provenance = asked | {
                "machines": records.makers(),
                "result": result | asdict(separation(Exemplars(features, 1.0))),
            }
            write_bytes(out, save({"features": features}, {KEY: to_json(provenance)}))
            if raw is None:
                records.drop()
    return provenance


def _machine(partial: Path, device: str, threads: int | None) -> Machine:
    """The machine as named; threads that are not given are those of partial work, or torch's."""
    if threads is None and partial.is_file():
        _, maker = read_head(partial)
        threads = (maker or {}).get("threads")
    return Machine.choose(device, torch.get_num_threads() if threads is None else threads, "eager")


def _finished(out: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The provenance of a file that is there, if it is the one that is wanted."""
    found = read_provenance(out)
    if told := difference(identity_in(found), wanted):
        raise UsageError(
            f"{out} is there and holds other features ({told}); give another name, or remove it"
        )
    return found


def _classes_per_record(drawings: Drawings) -> int:
    return max(1, PER_RECORD // drawings.n_exemplars)


def _sizes(drawings: Drawings, d_features: int) -> list[int]:
    """Bytes of every record."""
    a_class = drawings.n_exemplars * d_features * torch.float16.itemsize
    full, rest = divmod(drawings.n_classes, _classes_per_record(drawings))
    return [_classes_per_record(drawings) * a_class] * full + [rest * a_class] * (rest > 0)


def _embed(
    drawings: Drawings,
    config: EncoderConfig,
    encoder: Encoder,
    records: Records,
) -> None:
    """Add the records that are not there yet."""
    per_record = _classes_per_record(drawings)
    total = drawings.n_classes * drawings.n_exemplars
    done = min(total, records.n_done * per_record * drawings.n_exemplars)
    with ProgressReport("embed drawings", total, "drawings", done=done) as progress:
        for start in range(records.n_done * per_record, drawings.n_classes, per_record):
            pixels = drawings.classes(start, min(start + per_record, drawings.n_classes))
            square = torch.from_numpy(pixels).view(-1, drawings.side, drawings.side)
            features = torch.cat(
                [
                    encoder.features(images_of(part.to(encoder.device), config))
                    for part in square.split(BATCH)
                ]
            )
            kept = convert(features, torch.float16, f"the encoder {type(config).__name__}")
            records.append(kept.cpu().numpy().tobytes())
            progress.advance(len(square))


def _chunks(records: Records, d_features: int) -> Chunks:
    """Starts to give the features of all records, in float64."""

    def chunks() -> Iterator[Tensor]:
        with ProgressReport("read features", len(records.sizes), "records") as progress:
            for number in range(len(records.sizes)):
                kept = np.frombuffer(records.read(number), np.float16).reshape(-1, d_features)
                yield torch.from_numpy(kept.astype(np.float64))
                progress.advance()

    return chunks


def _reduced(chunks: Chunks, n_drawings: int, reduction: Reduction) -> Tensor:
    """Reduced features (n_drawings, d) in half precision."""
    result = torch.empty(n_drawings, reduction.d_features, dtype=torch.float16)
    start = 0
    for chunk in chunks():
        features = reduction(chunk)
        result[start : start + len(chunk)] = convert(features, result.dtype, "the reduction")
        start += len(chunk)
    return result
