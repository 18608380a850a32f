"""Features of drawings by a frozen encoder: files for `FeatureConfig`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_ending, check_writable, to_json, write_bytes
from transformer.config.data import ExemplarConfig
from transformer.config.encoders import EncoderConfig, ReductionConfig
from transformer.config.plain import difference, require
from transformer.data.encoders.base import Encoder, images_of
from transformer.data.exemplar_sets import Exemplars
from transformer.data.exemplars.arrays import convert
from transformer.data.exemplars.omniglot import Drawings, open_drawings
from transformer.data.features.provenance import KEY, identity, identity_of, read_provenance
from transformer.data.features.records import ABOUT, Records, open_records, read_about
from transformer.data.features.separation import (
    Chunks,
    covariance_of,
    mean_of,
    separation,
    variance_of,
)

PER_RECORD = 400  # drawings whose features are kept together: seconds of work
BATCH = 40  # drawings that the network sees at once: their activations stay in a CPU's cache
PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Reduction:
    """An affine map of features, `(x - shift) @ map * factor`."""

    shift: Tensor
    map: Tensor | None
    """(d_features, components), orthonormal columns; None: the identity."""
    factor: float
    kept_variance: float
    """Share of the variance that the components keep."""

    @property
    def d_features(self) -> int:
        """Number of reduced features."""
        return len(self.shift) if self.map is None else self.map.shape[1]

    def __call__(self, features: Tensor) -> Tensor:
        """Return reduced features (n, d) of features (n, d_features)."""
        centred = features - self.shift
        return (centred if self.map is None else centred @ self.map) * self.factor


def check_components(config: ReductionConfig, d_features: int) -> None:
    """Raise `UsageError` for more components than features."""
    if config.components > d_features:
        raise UsageError(
            f"components={config.components} is more than the encoder's {d_features} features; "
            "choose at most that many, or 0 for all as they are"
        )


def fit_reduction(chunks: Chunks, config: ReductionConfig) -> Reduction:
    """Return the reduction of vectors that a config describes, in float64.

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


def write_features(
    drawings: ExemplarConfig,
    encoder: EncoderConfig,
    out: Path,
    *,
    reduction: ReductionConfig | None = None,
    raw: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> dict[str, Any]:
    """Write features (n_classes, n_exemplars, d) of drawings to a `.safetensors` file.

    Features have half precision.  The file's metadata and the returned table are their provenance:
    encoder, drawings, reduction, `machines` that made them, and the `result`, with shape and
    `transformer.data.features.separation`.

    To continue after an interruption, make the same call: the encoder's features are kept in a
    folder meanwhile, and the file becomes the same, bit for bit (on one device, by the same
    versions and number of threads; others round differently, and `machines` lists them all).  A
    file of the same encoder, drawings and reduction is left as it is.

    Raises `UsageError` for what cannot be embedded, for an existing file of another provenance, and
    for unfinished work on something else; `UserError` while another process writes the file.

    Parameters
    ----------
    raw : folder in which to keep the encoder's features, for other reductions of them (default:
        `out` with the ending `.partial`, which is removed at the end)
    device : name of a torch device
    threads : CPU threads (default: as many as unfinished work, or torch's)
    """
    reduction = reduction or ReductionConfig()
    partial = raw or out.with_name(out.name + PARTIAL)
    check_ending(out, ".safetensors")
    check_writable(out)
    if partial == out:
        raise UsageError(f"raw={str(raw)!r} is also the name of the result; give another name")
    check_writable(partial / ABOUT)
    if threads is None:
        begun = read_about(partial).get("machines", [])
        threads = int(begun[0]["threads"]) if begun else torch.get_num_threads()
    with exact_arithmetic(threads), torch.inference_mode():
        network = encoder.load(torch.device(device))
        check_components(reduction, network.d_features)
        images, fingerprint = open_drawings(drawings)
        requested = identity(
            encoder, drawings, reduction, weights=network.weights, fingerprint=fingerprint
        )
        if out.exists():
            return _finished(out, requested)
        about = {name: requested[name] for name in ("encoder", "drawings")}
        with open_records(partial, about, machine_table(device, threads)) as records:
            if out.exists():  # another process has just written it
                return _finished(out, requested)
            try:
                _embed(images, encoder, network, records)
                chunks = _chunks(records)
                fitted = fit_reduction(chunks, reduction)
            except UsageError:  # no call can use what this encoder gives
                if raw is None:
                    records.remove()
                raise
            features = _reduce(chunks, images.n_classes * images.n_exemplars, fitted)
            features = features.view(images.n_classes, images.n_exemplars, -1)
            result = {"shape": list(features.shape), "kept_variance": fitted.kept_variance}
            provenance = requested | {
                "machines": records.machines,
                "result": result | asdict(separation(Exemplars(features, 1.0))),
            }
            write_bytes(out, save({"features": features}, {KEY: to_json(provenance)}))
            if raw is None:
                records.remove()
    return provenance


@contextmanager
def exact_arithmetic(threads: int) -> Iterator[None]:
    """Compute with a number of CPU threads and without TF32; restore both settings at the end."""
    require(threads >= 1, f"threads={threads}; choose at least 1")
    before = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    matmul = torch.get_float32_matmul_precision()
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
        torch.set_float32_matmul_precision(matmul)


def machine_table(device: str, threads: int) -> dict[str, Any]:
    """Return what made a file, besides its settings: it changes numbers by rounding alone."""
    return {
        "device": device,
        "threads": threads,
        "torch": torch.__version__,
        "coopetition": version("coopetition"),
    }


def _finished(out: Path, requested: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance of an existing file; raise `UsageError` if it is another one."""
    found = read_provenance(out)
    if differing := difference(identity_of(found), requested):
        raise UsageError(
            f"{out} exists and holds other features ({differing}); give another name, or remove it"
        )
    return found


def _embed(drawings: Drawings, config: EncoderConfig, encoder: Encoder, records: Records) -> None:
    """Write the records that are missing."""
    per_record = max(1, PER_RECORD // drawings.n_exemplars)  # classes
    n_done = records.n_done()
    total = drawings.n_classes * drawings.n_exemplars
    done = min(total, n_done * per_record * drawings.n_exemplars)
    with ProgressReport("embed drawings", total, "drawings", done=done) as progress:
        starts = range(n_done * per_record, drawings.n_classes, per_record)
        for number, start in enumerate(starts, n_done):
            pixels = drawings.classes(start, min(start + per_record, drawings.n_classes))
            square = torch.from_numpy(pixels).view(-1, drawings.side, drawings.side)
            features = torch.cat(
                [
                    encoder.features(images_of(part.to(encoder.device), config))
                    for part in square.split(BATCH)
                ]
            )
            half = convert(features, torch.float16, f"the encoder {type(config).__name__}")
            records.write(number, half.cpu().numpy())
            progress.advance(len(square))


def _chunks(records: Records) -> Chunks:
    """Return a function that yields the features of all records, in float64."""
    n_records = records.n_done()

    def chunks() -> Iterator[Tensor]:
        with ProgressReport("read features", n_records, "records") as progress:
            for number in range(n_records):
                yield torch.from_numpy(records.read(number)).double()
                progress.advance()

    return chunks


def _reduce(chunks: Chunks, n_drawings: int, reduction: Reduction) -> Tensor:
    """Return reduced features (n_drawings, d) in half precision."""
    result = torch.empty(n_drawings, reduction.d_features, dtype=torch.float16)
    start = 0
    for chunk in chunks():
        features = reduction(chunk)
        result[start : start + len(chunk)] = convert(features, result.dtype, "the reduction")
        start += len(chunk)
    return result
