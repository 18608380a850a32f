"""Frozen encoders of drawings, and the feature files that they make."""

import importlib
import json
import os
import sys
import types
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.locks import hold
from transformer.cli import main
from transformer.config import DataConfig, EvaluationConfig, RunConfig
from transformer.config.data import EXEMPLAR_KINDS
from transformer.config.encoders import ENCODERS, EncoderConfig, ReductionConfig
from transformer.data.encoders.base import Encoder, images_of
from transformer.data.encoders.efficientnet import EfficientNetConfig, pretrained
from transformer.data.encoders.own import OwnConfig, TrainingConfig
from transformer.data.encoders.resnet18 import ResNet18Config
from transformer.data.exemplar_sets import load_exemplars, with_recorded_content
from transformer.data.exemplars.features import FeatureConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.data.features import embed as embed
from transformer.data.features.embed import machine_table, open_drawings, write_features
from transformer.data.features.networks import OwnNetwork, ResNet18
from transformer.data.features.provenance import KEY, read_provenance
from transformer.data.features.reduction import fit_reduction
from transformer.data.features.train_encoder import train_encoder
from transformer.runs.train import train_or_resume
from transformer.training.machine import Machine

CPU = torch.device("cpu")
GLYPHS = GlyphConfig(n_classes=50, n_exemplars=4)
ONE = GlyphConfig(n_classes=1, n_exemplars=1)
EMBEDS = [("embed", "--encoder", e, "--drawings", d) for e in ENCODERS for d in EXEMPLAR_KINDS]
AS_IT_IS = ReductionConfig(components=0, centre=False, scale=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolingConfig(EncoderConfig):
    """An encoder without weights: 16 means over the image."""

    side: int = 8
    mean: tuple[float] = (0.25,)
    std: tuple[float] = (0.5,)

    def load(self, device):
        def features(images):
            return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)

        return Encoder(features, 16, "none")


@pytest.fixture
def make(tmp_path):
    """Write a feature file of drawings by an encoder; return its path and provenance."""

    def make(name="features.safetensors", drawings=GLYPHS, encoder=None, **settings):
        path = tmp_path / name
        settings = {"reduction": ReductionConfig(components=5), "threads": 1} | settings
        return path, write_features(drawings, encoder or PoolingConfig(), path, **settings)

    return make


def glyph_images(n_classes, config):
    glyphs = load_exemplars(replace(GLYPHS, n_classes=n_classes)).values.view(-1, 28, 28)
    return images_of(glyphs, config)


# --- what a network sees


@pytest.mark.parametrize(
    "config",
    [EfficientNetConfig(side=40), OwnConfig(side=13), PoolingConfig(side=28, ink="light")],
    ids=str,
)
def test_images_are_resized_as_pillow_does(config):
    glyphs = load_exemplars(replace(GLYPHS, n_classes=2)).values.view(-1, 28, 28)
    images = images_of(glyphs, config)
    assert images.shape == (8, len(config.mean), config.side, config.side)
    for drawing, image in zip(glyphs.numpy(), images, strict=True):
        paper = 255 - drawing if config.ink == "dark" else drawing
        large = Image.fromarray(paper).resize((config.side,) * 2, Image.Resampling.BILINEAR)
        grey = np.asarray(large)[None] / 255
        mean, std = (np.array(v)[:, None, None] for v in (config.mean, config.std))
        # Pillow rounds to grey values twice, by half of one at most
        assert np.abs(image.numpy() * std - (grey - mean)).max() < 1.01 / 255


@pytest.mark.parametrize("field", ["mean", "std"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_image_statistics_are_finite(field, value):
    with pytest.raises(UsageError, match=field):
        PoolingConfig(**{field: (value,)})


# --- the networks


@pytest.fixture
def efficientnet():
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra [encoder]")


@pytest.mark.usefixtures("efficientnet")
@pytest.mark.parametrize("side", [32, 45])
def test_efficientnets_features_are_the_inputs_of_its_classifier(side):
    config = EfficientNetConfig(side=side)
    encoder = config.load(CPU)
    assert encoder.weights == "579344248a93e230", "the first digits are in the file's name"
    network, _ = pretrained(side)
    network._fc = network._dropout = torch.nn.Identity()  # all before the classifier
    images = glyph_images(1, config)
    with torch.inference_mode():
        expected, features = network(images), encoder.features(images)
    assert features.shape == (4, encoder.d_features) == (4, 1280)
    assert features.numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    assert expected.std(0).max() > 0.01, "drawings differ"


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UsageError, match="efficientnet-lite-pytorch"):
        EfficientNetConfig().load(CPU)


@pytest.fixture
def resnet18():
    """torchvision's own network, with random weights and statistics.

    The package is imported without its `__init__`, which needs operators that are compiled for one
    build of torch; the models need none of them.
    """
    spec = find_spec("torchvision")
    if spec is None:
        pytest.skip("torchvision, the reference, is not installed")
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
                value.normal_(0, value[0].numel() ** -0.5, generator=generator)
    return network.eval()


def test_the_resnet_is_torchvisions(resnet18, make, tmp_path):
    weights = tmp_path / "resnet18.pth"
    torch.save(resnet18.state_dict(), weights)
    config = ResNet18Config(side=40, weights=str(weights))
    path, _ = make(encoder=config, drawings=replace(GLYPHS, n_classes=3), reduction=AS_IT_IS)
    features = load_file(path)["features"].numpy()
    assert features.shape == (3, 4, 512) and features.dtype == np.float16
    resnet18.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = resnet18(glyph_images(3, config)).view(3, 4, 512).numpy()
    assert features == pytest.approx(expected, rel=2e-3, abs=1e-5)
    assert np.ptp(features, axis=(0, 1)).max() > 0.01, "drawings differ"


def zero_weights(network=None, **changes):
    weights = (network or ResNet18()).state_dict()
    weights = {name: torch.zeros_like(each) for name, each in weights.items()}
    return {name: value for name, value in (weights | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("kind", "content", "problem"),
    [
        (ResNet18Config, None, "does not exist"),
        (ResNet18Config, b"", "cannot be read"),
        (ResNet18Config, [1, 2], "no tensor"),
        (ResNet18Config, print, "cannot be read"),  # a pickled function
        (ResNet18Config, zero_weights(**{"bn1.bias": None}), "bn1.bias"),
        (ResNet18Config, zero_weights(**{"conv1.weight": torch.zeros(2)}), "conv1.weight"),
        (ResNet18Config, zero_weights(**{"bn1.weight": "text"}), "bn1.weight"),
        (ResNet18Config, zero_weights(**{"bn1.bias": torch.full((64,), np.nan)}), "finite"),
        (OwnConfig, b"", "train-encoder"),
        (OwnConfig, {"conv.0.weight": torch.zeros(1)}, "train-encoder"),
        (OwnConfig, zero_weights(OwnNetwork()), "alike"),
    ],
)
def test_unfit_weights_are_refused_and_leave_nothing(tmp_path, make, kind, content, problem):
    path = tmp_path / "weights"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        (save_file if kind is OwnConfig else torch.save)(content, path)
    with pytest.raises(UsageError, match=problem) as caught:
        make(drawings=ONE, encoder=kind(side=32, weights=str(path)))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value) or problem in ("finite", "alike")
    assert [*tmp_path.iterdir()] == [path] * path.exists()


@pytest.mark.parametrize("kind", [OwnConfig, ResNet18Config])
def test_weights_must_be_given(make, kind):
    with pytest.raises(UsageError, match=r"--encoder\.weights"):
        make(encoder=kind())


def test_the_small_network_learns_glyphs_from_a_seed(tmp_path, make):
    glyphs = GlyphConfig(n_classes=8, n_exemplars=8, jitter=0.02, distortion=0.03)
    config = TrainingConfig(glyphs=glyphs, n_steps=40, batch_size=16)
    paths = [tmp_path / f"{k}.safetensors" for k in range(2)]
    for path in paths:
        result = train_encoder(config, path, threads=1)
        assert result["accuracy"] > 0.5, "chance is 1/8"
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert config.difference_from(paths[0]) == ""
    assert "seed" in replace(config, seed=1).difference_from(paths[0])
    features, _ = make(encoder=OwnConfig(weights=str(paths[0])), reduction=AS_IT_IS)
    assert load_file(features)["features"].shape == (50, 4, 512)


def test_training_overwrites_no_encoder_and_writes_none_that_diverged(tmp_path):
    path = tmp_path / "encoder.safetensors"
    glyphs = GlyphConfig(n_classes=4, n_exemplars=4)
    config = TrainingConfig(glyphs=glyphs, n_steps=2, batch_size=8, learning_rate=1e30)
    with pytest.raises(UserError, match="learning_rate"):
        train_encoder(config, path, threads=1)
    assert not path.exists()
    path.touch()
    with pytest.raises(UsageError, match="exists"):
        train_encoder(config, path, threads=1)


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
    centred = x.numpy() - x.numpy().mean(0)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    kept = components or 7
    expected = centred
    if components:
        signs = np.sign([row[np.abs(row).argmax()] for row in vt[:kept]])
        expected = centred @ vt[:kept].T * signs
    expected = expected * (scale / expected.std() if scale else 1)
    assert reduction(x).numpy() == pytest.approx(expected, abs=1e-9)
    assert reduction.kept_variance == pytest.approx((s[:kept] ** 2).sum() / (s**2).sum())


@pytest.mark.parametrize("components", [0, 7])
def test_without_centring_the_mean_stays(components):
    x = vectors()
    config = ReductionConfig(components=components, scale=0)
    centred, plain = (
        fit_reduction(lambda: [x], replace(config, centre=centre))(x) for centre in (True, False)
    )
    assert np.allclose(plain - plain.mean(0), centred)
    assert plain.norm(dim=1).numpy() == pytest.approx(x.norm(dim=1).numpy())


@pytest.mark.parametrize("components", [0, 2])
def test_features_that_are_all_alike_cannot_be_reduced(components):
    alike = torch.ones(9, 7, dtype=torch.float64)
    with pytest.raises(UsageError, match="alike"):
        fit_reduction(lambda: [alike], ReductionConfig(components=components))


@pytest.mark.parametrize("scale", [1e-9, 1e5])
def test_a_scale_beyond_half_precision_is_refused(scale):
    with pytest.raises(UsageError, match=f"scale={scale:g}"):
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
    assert provenance["machine"] == machine_table("cpu", 1)
    assert provenance["result"]["shape"] == [50, 4, 5]
    assert os.listdir(path.parent) == [path.name], "nothing is left over"


@pytest.fixture
def interrupted(make, monkeypatch):
    """Make a file whose encoder is ended at chunk `number` of ten, each one batch."""
    monkeypatch.setattr(embed, "PER_CHUNK", 20)

    def interrupted(number, *arguments, **settings):
        calls = iter(range(number))

        def images(*arguments):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return images_of(*arguments)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(embed, "images_of", images)
            make(*arguments, **settings)

    return interrupted


@pytest.mark.parametrize("lost", [0, 1, 33, 10**6])
def test_an_interrupted_call_continues_to_the_same_file(make, interrupted, tmp_path, lost):
    """Also if the process was killed, and some bytes of the last chunk were never written."""
    expected = make("whole.safetensors")[0].read_bytes()
    partial = tmp_path / "f.safetensors.partial"
    for number in (0, 4, 2):  # 6 of 10 chunks
        interrupted(number, "f.safetensors")
    content = partial.read_bytes()
    header = content.index(b"\n") + 1
    assert len(content) == header + 6 * 20 * 16 * 2
    partial.write_bytes(content[: max(header, len(content) - lost)])
    (tmp_path / ".f.safetensors.lock").touch()
    path, provenance = make("f.safetensors")
    assert path.read_bytes() == expected
    assert {each.name for each in tmp_path.iterdir()} == {"whole.safetensors", "f.safetensors"}
    written = path.stat().st_mtime_ns
    assert make("f.safetensors")[1] == json.loads(json.dumps(provenance))
    assert path.stat().st_mtime_ns == written, "finished work is not repeated"


def test_finished_chunks_are_not_embedded_again(make, interrupted):
    interrupted(7)
    with pytest.raises(pytest.fail.Exception):  # not interrupted: three chunks were left
        interrupted(3)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"encoder": PoolingConfig(side=9)}, r"encoder.side=8, not 9"),
        ({"drawings": replace(GLYPHS, seed=1)}, r"drawings.seed=0, not 1"),
        ({"encoder": PoolingConfig(ink="light")}, r"encoder.ink=dark, not light"),
    ],
)
def test_work_on_something_else_is_left_alone(make, interrupted, tmp_path, changes, difference):
    interrupted(2)
    partial = tmp_path / "features.safetensors.partial"
    before = partial.read_bytes()
    with pytest.raises(UsageError, match=difference):
        make(**changes)
    assert partial.read_bytes() == before
    make()
    with pytest.raises(UsageError, match=difference):
        make(**changes)


def test_work_of_another_machine_is_started_over(make, interrupted):
    """A finished file is accepted, since it differs by rounding alone."""
    expected = make("whole.safetensors", threads=2)[0].read_bytes()
    interrupted(2)
    path, provenance = make(threads=2)
    assert path.read_bytes() == expected and provenance["machine"]["threads"] == 2
    assert make()[1]["machine"]["threads"] == 2


@pytest.mark.parametrize("content", [b"of version 0.1", b"[[1, 2]]\n", b"\xff\n", b""])
def test_foreign_unfinished_files_are_left_alone(make, tmp_path, content):
    partial = tmp_path / "features.safetensors.partial"
    partial.write_bytes(content)
    with pytest.raises(UsageError, match="partial"):
        make()
    assert partial.read_bytes() == content
    partial.unlink()
    partial.mkdir()
    with pytest.raises(UsageError, match="partial"):
        make()


def test_files_that_are_there_are_left_alone(make, tmp_path):
    out = tmp_path / "features.safetensors"
    out.write_bytes(b"mine")
    with pytest.raises(UsageError, match="damaged"):
        make()
    save_file({"a": torch.zeros(1)}, out)
    with pytest.raises(UsageError, match="other features"):
        make()
    with pytest.raises(UsageError, match="npy"):
        make("features.npy")


def test_threads_must_be_positive(make, tmp_path):
    with pytest.raises(UsageError, match="threads=0"):
        make(threads=0)
    with pytest.raises(UsageError, match="threads=0"):
        train_encoder(TrainingConfig(), tmp_path / "encoder.safetensors", threads=0)
    assert not os.listdir(tmp_path)


def test_too_many_components_are_refused_before_anything_is_embedded(make, monkeypatch):
    monkeypatch.setattr(embed, "images_of", None)
    with pytest.raises(UsageError, match="components=17"):
        make(reduction=ReductionConfig(components=17))


def test_one_process_at_a_time_writes_a_file(make, tmp_path):
    lock = tmp_path / ".features.safetensors.lock"
    with hold(lock, UserError("")), pytest.raises(UserError, match="another process"):
        make()


@pytest.mark.parametrize(
    ("drawings", "problem"),
    [
        (GaussianConfig(n_classes=1), "not drawings"),
        (OmniglotConfig(side=105, path="nowhere.npz"), "nowhere.npz"),
        (OmniglotConfig(n_classes=2, standardised=True), "standardised"),
    ],
)
def test_only_drawings_are_embedded(make, drawings, problem):
    with pytest.raises(UsageError, match=problem):
        make(drawings=drawings)


@pytest.mark.parametrize("config", [ONE, OmniglotConfig(n_classes=2, n_exemplars=3, side=105)])
def test_drawings_have_the_fingerprint_of_their_exemplars(config):
    assert open_drawings(config)[1] == load_exemplars(config).fingerprint()
    if isinstance(config, OmniglotConfig):
        with pytest.raises(UsageError, match="0123"):
            open_drawings(replace(config, fingerprint="0123"))


# --- the commands


@pytest.mark.parametrize("command", [("data",), ("train-encoder",), *EMBEDS])
def test_help_shows_each_default_once_and_in_words(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    shown = capsys.readouterr().out
    assert "default: )" not in shown and "default: None" not in shown
    assert all(line.count("(default") <= 1 for line in shown.splitlines())


def test_a_removed_command_says_what_to_use(call):
    assert "embed" in call("transformer", "separation", expect=2)


# --- what a run knows of them


def run_of(config):
    evaluation = EvaluationConfig(n_classes=20, n_exemplars=2)
    return RunConfig(data=DataConfig(exemplars=config), evaluation=evaluation)


def test_a_run_records_and_checks_what_its_features_were_made_by(make, tmp_path):
    path, _ = make()
    other, _ = make("other.safetensors", encoder=PoolingConfig(side=9))
    config = FeatureConfig(path=str(path))
    read = with_recorded_content(config, load_exemplars(config).fingerprint())
    assert isinstance(read, FeatureConfig)
    assert "encoder.kind=PoolingConfig" in read.made_by and "reduction.components=5" in read.made_by
    assert load_exemplars(read).d_features == 5
    assert run_of(read).run_id() != run_of(replace(read, made_by="")).run_id()
    with pytest.raises(UsageError, match=r"encoder.side=9.*encoder.side=8"):
        load_exemplars(replace(read, path=str(other)))
    array = tmp_path / "features.npy"
    np.save(array, load_file(path)["features"].numpy())
    with pytest.raises(UsageError, match="expected encoder"):
        load_exemplars(replace(read, path=str(array)))


def test_a_file_without_provenance_keeps_its_run_id(tmp_path):
    array = tmp_path / "features.npy"
    np.save(array, np.random.default_rng(0).standard_normal((30, 4, 6)).astype(np.float32))
    read = with_recorded_content(FeatureConfig(path=str(array)), "0123456789abcdef")
    assert isinstance(read, FeatureConfig) and read.made_by == ""
    assert run_of(read).run_id() == "702e03792475", "the id from before provenance was recorded"


def test_a_file_of_an_earlier_version_is_read_and_kept(make):
    """Its provenance lists `machines`, several if the work had been continued."""
    path, provenance = make()
    recorded = FeatureConfig(path=str(path)).recorded_fields()
    older = provenance | {"machines": [provenance.pop("machine")] * 2}
    save_file(load_file(path), path, {KEY: json.dumps(older)})
    assert FeatureConfig(path=str(path)).recorded_fields() == recorded
    assert load_exemplars(FeatureConfig(path=str(path))).d_features == 5
    assert make()[1]["machines"] == older["machines"]


def test_a_run_on_features_is_found_again(make, tmp_path):
    """Its config has the recorded fields, and the requested one does not."""
    path, _ = make()
    config = replace(run_of(FeatureConfig(path=str(path))), n_steps=2)
    here = Machine("cpu", 1, "eager")
    run = train_or_resume(config, tmp_path / "run", here)
    assert train_or_resume(config, tmp_path / "run", here).config == run.config
    assert run.config.data.exemplars.made_by
