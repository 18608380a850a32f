"""Features of drawings by a frozen encoder: files for `FeatureConfig`."""

import json
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import check_ending, check_writable, to_json, write_bytes
from coopetition.tools.locks import hold
from coopetition.tools.versions import package_version
from transformer.config.data import ExemplarConfig
from transformer.config.encoders import EncoderConfig, ReductionConfig
from transformer.config.plain import difference
from transformer.data.drawings import Drawings
from transformer.data.encoders.base import Encoder, images_of
from transformer.data.exemplar_sets import (
    Exemplars,
    check_fingerprint,
    fingerprint_of,
    load_exemplars,
)
from transformer.data.exemplars.arrays import convert
from transformer.data.exemplars.omniglot import OmniglotConfig, open_omniglot
from transformer.data.features.provenance import KEY, identity, identity_of, read_provenance
from transformer.data.features.reduction import check_components, fit_reduction
from transformer.data.features.separation import separation
from transformer.data.torch_settings import torch_settings

PER_CHUNK = 400  # drawings whose features are written at once: seconds of work
BATCH = 40  # drawings that the network sees at once: their activations stay in a CPU's cache
PARTIAL = ".partial"


def write_features(
    drawings: ExemplarConfig,
    encoder: EncoderConfig,
    out: Path,
    *,
    reduction: ReductionConfig | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> dict[str, Any]:
    """Write features (n_classes, n_exemplars, d) of drawings to a `.safetensors` file.

    Features have half precision.  The file's metadata and the returned table are their provenance:
    encoder, drawings, reduction, the `machine` that made them, and the `result`, with shape and
    `transformer.data.features.separation`.

    To continue after an interruption, make the same call: the encoder's features are in a file
    with the ending `.partial` meanwhile, and the result is the same, bit for bit.  An existing
    file of the same encoder, drawings and reduction is left as it is.

    Work that another device, number of threads or version left unfinished is started over.

    Raises `UsageError` for what cannot be embedded, for an existing file of another provenance, and
    for unfinished work on something else; `UserError` while another process writes the file.

    Parameters
    ----------
    device : name of a torch device
    threads : CPU threads (default: torch's)
    """
    reduction = reduction or ReductionConfig()
    threads = torch.get_num_threads() if threads is None else threads
    partial = out.with_name(out.name + PARTIAL)
    check_ending(out, ".safetensors")
    check_writable(out)
    check_writable(partial)
    with torch_settings(threads), torch.inference_mode():
        network = encoder.load(torch.device(device))
        check_components(reduction, network.d_features)
        images, fingerprint = open_drawings(drawings)
        requested = identity(
            encoder, drawings, reduction, weights=network.weights, fingerprint=fingerprint
        )
        machine = machine_table(device, threads)
        busy = UserError(f"{out} is being written by another process; wait for it or stop it")
        out.parent.mkdir(parents=True, exist_ok=True)
        with hold(out.with_name(f".{out.name}.lock"), busy, remove=True):
            if out.exists():
                return _finished(out, requested)
            about = {name: requested[name] for name in ("encoder", "drawings")}
            begin = _open_partial(partial, about | {"machine": machine})
            try:
                embedded = _embed(images, encoder, network, partial, begin)
                features, kept_variance = _reduce(embedded, images.n_exemplars, reduction)
            except UsageError:  # no call can use what this encoder gives
                partial.unlink()
                raise
            result = {"shape": list(features.shape), "kept_variance": kept_variance}
            result |= asdict(separation(Exemplars(features, 1.0)))
            provenance = requested | {"machine": machine, "result": result}
            write_bytes(out, save({"features": features}, {KEY: to_json(provenance)}))
            partial.unlink()
    return provenance


def machine_table(device: str, threads: int) -> dict[str, Any]:
    """Return what made a file, besides its settings: it changes numbers by rounding alone."""
    return {
        "device": device,
        "threads": threads,
        "torch": torch.__version__,
        "coopetition": package_version("coopetition"),
    }


def open_drawings(config: ExemplarConfig) -> tuple[Drawings, str]:
    """Open the drawings of a config; return them and their fingerprint.

    Another fingerprint than the config names, or exemplars that are not drawings, raise
    `UsageError`.
    """
    if isinstance(config, OmniglotConfig):
        if config.standardised:
            raise UsageError(
                "encoders take drawings as they are; leave out standardised (--data.standardised)"
            )
        drawings = open_omniglot(config)
    else:
        values = load_exemplars(config).values.numpy()
        side = math.isqrt(values.shape[2])
        if values.dtype != np.uint8 or side**2 != values.shape[2]:
            raise UsageError(
                f"exemplars of {values.shape[2]} features ({values.dtype}) are not drawings; "
                "expected the grey values (uint8) of a square"
            )
        drawings = Drawings(
            len(values), values.shape[1], side, lambda start, stop: values[start:stop]
        )
    fingerprint = fingerprint_of(_chunks(drawings))
    check_fingerprint(config, fingerprint)
    return drawings, fingerprint


def _chunks(drawings: Drawings, start: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Yield the drawings of a few classes at a time, from class `start` on."""
    step = _classes_per_chunk(drawings)
    for first in range(start, drawings.n_classes, step):
        yield drawings.classes(first, min(first + step, drawings.n_classes))


def _classes_per_chunk(drawings: Drawings) -> int:
    return max(1, PER_CHUNK // drawings.n_exemplars)


def _finished(out: Path, requested: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance of an existing file; raise `UsageError` if it is another one."""
    found = read_provenance(out)
    if differing := difference(identity_of(found), requested):
        raise UsageError(
            f"{out} exists and holds other features ({differing}); give another name, or remove it"
        )
    return found


def _open_partial(path: Path, about: dict[str, Any]) -> int:
    """Begin or check a file of unfinished features; return where they begin in it.

    Its first line says what they are of, as JSON; numbers in half precision follow.  Features of
    another machine are embedded again, since the result would depend on the interruption.  A file
    that is about something else raises `UsageError` and stays as it is.
    """
    header = f"{json.dumps(about)}\n".encode()
    if not path.exists():
        write_bytes(path, header)
    with open(path, "rb") as file:
        line = file.readline()
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    found = found if isinstance(found, dict) else {}
    if differing := difference(found | {"machine": about["machine"]}, about):
        raise UsageError(
            f"{path} holds unfinished features of something else ({differing}); repeat the earlier "
            "settings, remove it, or give another name"
        )
    if differing := difference(found, about):
        print(f"{path} was made by another machine ({differing}); starting over", file=sys.stderr)
        write_bytes(path, header)
    return len(header)


def _embed(
    drawings: Drawings, config: EncoderConfig, encoder: Encoder, partial: Path, begin: int
) -> NDArray[np.float16]:
    """Write the features that are missing in a file from `begin` on; return all (n_drawings, d)."""
    n, d, step = drawings.n_exemplars, encoder.d_features, _classes_per_chunk(drawings)
    with open(partial, "r+b") as file:
        n_whole = (file.seek(0, os.SEEK_END) - begin) // (2 * n * d)  # classes
        n_done = n_whole // step * step  # an interrupted write may have left a part of a chunk
        file.truncate(begin + n_done * 2 * n * d)
        file.seek(0, os.SEEK_END)
        total = drawings.n_classes * n
        with ProgressReport("embed drawings", total, "drawings", done=n_done * n) as progress:
            for pixels in _chunks(drawings, n_done):
                square = torch.from_numpy(pixels).view(-1, drawings.side, drawings.side)
                parts = (images_of(each.to(encoder.device), config) for each in square.split(BATCH))
                features = torch.cat([encoder.features(images) for images in parts])
                half = convert(features, torch.float16, f"the encoder {type(config).__name__}")
                file.write(half.cpu().numpy().tobytes())
                file.flush()
                os.fsync(file.fileno())
                progress.advance(len(square))
    return np.memmap(partial, np.float16, "r", begin, (total, d))


def _reduce(
    features: NDArray[np.float16], n_exemplars: int, config: ReductionConfig
) -> tuple[Tensor, float]:
    """Return reduced features (n_classes, n_exemplars, d) in half precision, and kept variance."""

    def chunks() -> Iterator[Tensor]:
        with ProgressReport("read features", len(features), "drawings") as progress:
            for start in range(0, len(features), PER_CHUNK):
                chunk = features[start : start + PER_CHUNK].astype(np.float64)
                yield torch.from_numpy(chunk)
                progress.advance(len(chunk))

    reduction = fit_reduction(chunks, config)
    reduced = [convert(reduction(each), torch.float16, "the reduction") for each in chunks()]
    shape = (-1, n_exemplars, reduced[0].shape[1])
    return torch.cat(reduced).view(shape), reduction.kept_variance
