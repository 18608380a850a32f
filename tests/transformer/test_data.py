"""Sequences, evaluators and exemplars against their definitions."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import chi2_contingency, chisquare

from coopetition.errors import UsageError
from coopetition.files import write_npz
from transformer.config import (
    DataConfig,
    EvaluationConfig,
    GlyphConfig,
    Mode,
    OmniglotConfig,
    RunConfig,
)
from transformer.evaluators import draw_evaluators
from transformer.exemplars import load_exemplars
from transformer.exemplars.omniglot import _pool
from transformer.sequences import (
    BLOCK_STEPS,
    SAMPLERS,
    Pool,
    bursty,
    distinct_classes,
    training_block,
)

FALSE_ALARM = 1e-4  # of each statistical test, at its fixed seed


def run_config(context=2, burstiness=1, n_classes=30, n_exemplars=6, n_sequences=2000):
    return RunConfig(
        data=DataConfig(
            exemplars=GlyphConfig(n_classes=n_classes, n_exemplars=n_exemplars),
            context=context,
            burstiness=burstiness,
        ),
        evaluation=EvaluationConfig(n_sequences=n_sequences, n_classes=n_classes, n_exemplars=3),
    )


@given(st.integers(2, 8), st.integers(0, 4), st.integers(0, 10**6))
def test_distinct_classes_are_distinct(n_classes, spare, seed):
    count = max(1, n_classes - spare)
    pool = Pool(n_classes, 1, 1)
    chosen = distinct_classes(np.random.default_rng(seed), pool, count, 50)
    assert chosen.min() >= 0 and chosen.max() < n_classes
    assert all(len(set(column)) == count for column in chosen.T)


def test_distinct_classes_are_uniform_over_ordered_triples():
    chosen = distinct_classes(np.random.default_rng(0), Pool(4, 1, 1), 3, 24000)
    codes = chosen[0] * 16 + chosen[1] * 4 + chosen[2]
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == 24  # 4 x 3 x 2
    assert chisquare(counts).pvalue > FALSE_ALARM


@pytest.mark.parametrize(("context", "burstiness"), [(2, 1), (8, 3), (4, 2)])
def test_bursty_sequences(context, burstiness):
    config = run_config(context, burstiness).data
    pool = Pool(30, 6, 6)
    s = bursty(np.random.default_rng(1), pool, config, 6000)
    classes = s.exemplars // 6
    assert (classes[:-1] == s.labels).all(), "labels are the classes' own"
    assert (classes[-1] == s.target).all(), "the query's class is the target"
    count = (s.labels == s.target).sum(0)
    assert (count >= burstiness).all(), "the query's class is bursty"
    if 2 * burstiness == context:
        assert (count == burstiness).all()
        assert all(len(set(column)) == 2 for column in s.labels.T.tolist())
    assert chisquare(np.bincount(s.target, minlength=30)).pvalue > FALSE_ALARM
    assert chisquare(np.bincount((s.exemplars % 6).flatten())).pvalue > FALSE_ALARM
    # the query's class stands at each place equally often
    places = (s.labels == s.target).sum(1).numpy()
    expected = places.sum() / context
    assert abs(places - expected).max() < 5 * np.sqrt(expected)


def draw_mode(mode, context=2, burstiness=1, n=20000, n_classes=12, n_exemplars=5):
    data = replace(run_config(context, burstiness, n_classes, n_exemplars).data, mode=mode)
    pool = Pool(n_classes, n_exemplars, n_exemplars)
    sequences = SAMPLERS[mode](np.random.default_rng(1), pool, data, n)
    exemplars = sequences.exemplars.numpy()
    return exemplars, exemplars // n_exemplars, sequences.labels.numpy(), sequences.target.numpy()


@pytest.mark.parametrize(("context", "burstiness"), [(2, 1), (4, 2)])
def test_icl_only_labels_are_random_pairs(context, burstiness):
    """The label of the query's class is the target; all ordered pairs are equally likely."""
    _, classes, labels, target = draw_mode("icl_only", context, burstiness)
    of_query = classes[:-1] == classes[-1]
    assert (of_query.sum(0) == burstiness).all()
    assert (labels[of_query] == np.broadcast_to(target, labels.shape)[of_query]).all()
    other = np.where(of_query, -1, labels).max(0)
    assert (np.where(of_query, other, labels) == other).all() and (other != target).all()
    counts = np.unique(target * 12 + other, return_counts=True)[1]
    assert len(counts) == 12 * 11 and chisquare(counts).pvalue > FALSE_ALARM
    # and they say nothing of the class
    table = np.zeros((12, 12))
    np.add.at(table, (classes[-1], target), 1)
    assert chi2_contingency(table).pvalue > FALSE_ALARM


@pytest.mark.parametrize("context", [2, 4])
def test_ciwl_only_pastes_the_querys_label_on_another_class(context):
    _, classes, labels, target = draw_mode("ciwl_only", context)
    assert (target == classes[-1]).all()
    assert (classes[:-1] != classes[-1]).all()
    assert all(len(set(column)) == context for column in classes[:-1].T)
    pasted = labels == target
    assert (pasted.sum(0) == 1).all()
    assert (labels[~pasted] == classes[:-1][~pasted]).all()
    assert chisquare(pasted.sum(1)).pvalue > FALSE_ALARM
    assert chisquare(np.bincount(target)).pvalue > FALSE_ALARM


@pytest.mark.parametrize(("context", "burstiness"), [(2, 1), (8, 3)])
def test_matched_sequences_hold_the_querys_own_drawing(context, burstiness):
    exemplars, classes, labels, target = draw_mode("matched", context, burstiness)
    assert (labels == classes[:-1]).all() and (target == classes[-1]).all()
    same_class = classes[:, None] == classes[None]
    same_drawing = exemplars[:, None] == exemplars[None]
    assert (same_class == same_drawing).all()
    assert chisquare(np.bincount(exemplars[-1])).pvalue > FALSE_ALARM


def test_every_mode_has_a_sampler_and_a_stream():
    assert set(SAMPLERS) == set(get_args(Mode))
    data = run_config().data
    batches = [training_block(replace(data, mode=mode), 3, 0) for mode in SAMPLERS]
    for batch in batches:
        assert batch.target.shape == (BLOCK_STEPS, data.batch_size)
    again = training_block(replace(data, mode="matched"), 3, 0)
    assert torch.equal(batches[-1].exemplars, again.exemplars)


def test_training_batches_depend_on_seed_and_step_alone():
    config = run_config().data
    block = training_block(config, 3, 1)
    again = training_block(config, 3, 1)
    assert torch.equal(block.exemplars, again.exemplars)
    assert block.exemplars.shape == (BLOCK_STEPS, 3, 32)
    assert block[5].labels.shape == (2, 32)
    for other in (training_block(config, 4, 1), training_block(config, 3, 2)):
        assert not torch.equal(block.exemplars, other.exemplars)
    assert not torch.equal(block[0].target, block[1].target)


@pytest.mark.parametrize(("context", "burstiness"), [(2, 1), (8, 3)])
def test_evaluators_follow_their_definitions(context, burstiness):
    config = run_config(context, burstiness)
    for name, s in draw_evaluators(config).items():
        classes, query = s.exemplars[:-1] // 6, s.exemplars[-1] // 6
        assert (s.exemplars % 6 < 3).all(), "only the first exemplars"
        is_query = classes == query
        in_context = (s.labels == s.target).sum(0)
        if name in ("icl", "flip"):
            assert (is_query.sum(0) == context // 2).all(), "two classes fill the context"
            assert all(len(set(column)) == 2 for column in classes.T.tolist())
            # the label beside the query's class is the target, the other one is not
            assert ((s.labels == s.target) == is_query).all()
        if name == "icl":
            assert set(s.labels.flatten().tolist()) == {0, 1}
            assert 0.45 < s.target.float().mean() < 0.55  # 4.5 s.d.
        if name == "flip":
            other = torch.where(is_query, -1, classes).amax(0)
            assert (s.target == other).all(), "the query gets the other class's label"
            assert (torch.where(is_query, -1, s.labels).amax(0) == query).all()
        if name in ("ciwl", "iwl"):
            assert not is_query.any()
            assert all(len(set(column)) == context for column in classes.T.tolist())
            assert (s.target == query).all()
            assert (in_context == (1 if name == "ciwl" else 0)).all()
            assert ((s.labels != classes).sum(0) == (1 if name == "ciwl" else 0)).all()
        if name == "train":
            assert (s.labels == classes).all() and (s.target == query).all()


def test_evaluators_depend_on_their_seed():
    config = run_config()
    first, again = draw_evaluators(config), draw_evaluators(replace(config, data_seed=99))
    other = draw_evaluators(replace(config, eval_seed=7))
    for name in first:
        assert torch.equal(first[name].exemplars, again[name].exemplars)
        assert not torch.equal(first[name].exemplars, other[name].exemplars)


def test_glyphs_are_a_function_of_their_config():
    config = GlyphConfig(n_classes=300, n_exemplars=4, seed=3)
    glyphs = load_exemplars(config)
    assert glyphs.pixels.shape == (300, 4, 784) and glyphs.pixels.dtype == torch.uint8
    assert glyphs.fingerprint() == load_exemplars(config).fingerprint()
    fewer = load_exemplars(replace(config, n_classes=10))
    assert torch.equal(fewer.pixels, glyphs.pixels[:10]), "class k does not depend on their number"
    assert not torch.equal(load_exemplars(replace(config, seed=4)).pixels, glyphs.pixels)
    still = load_exemplars(replace(config, jitter=0.0, distortion=0.0))
    assert (still.pixels == still.pixels[:, :1]).all(), "without jitter all exemplars are alike"


def test_glyphs_look_like_classes():
    """Ink as in handwriting, exemplars nearer to their own class than to others."""
    x = load_exemplars(GlyphConfig(n_classes=256, jitter=0.05, distortion=0.1)).features(
        torch.arange(256 * 20)
    )
    assert 0.02 < x.mean() < 0.15
    means = x.view(256, 20, -1).mean(1)
    nearest = torch.cdist(x, means).argmin(1)
    assert (nearest == torch.arange(256).repeat_interleave(20)).float().mean() > 0.5


def test_features_are_the_pixels_at_an_index():
    glyphs = load_exemplars(GlyphConfig(n_classes=7, n_exemplars=3))
    index = torch.tensor([[0, 20], [5, 4]])
    features = glyphs.features(index)
    assert features.shape == (2, 2, 784)
    assert torch.equal(features[0, 1], glyphs.pixels[6, 2].float() * (1 / 255))


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
    a, b = (
        load_exemplars(OmniglotConfig(path=str(path), n_classes=12)) for path in (archive, tmp_path)
    )
    assert torch.equal(a.pixels, b.pixels)


def test_pooling_keeps_the_mean_and_the_place():
    images = np.zeros((1, 1, 105, 105), np.uint8)
    images[..., :53, :] = 1
    pooled = _pool(images)[0, 0]
    assert pooled.mean() == pytest.approx(images.mean(), rel=1e-5)
    assert pooled[:14].min() == pytest.approx(1) and pooled[15:].max() == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"text", "not an Omniglot archive"),
        ({"other": np.zeros(3)}, "not an Omniglot archive"),
        ({"images": np.zeros((2, 20, 7), np.uint8)}, "expected uint8"),
    ],
)
def test_foreign_omniglot_archives_are_refused(tmp_path, content, message):
    path = tmp_path / "omniglot.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        write_npz(path, **content)
    with pytest.raises(UsageError, match=message):
        load_exemplars(OmniglotConfig(path=str(path), n_classes=12))


def test_foreign_omniglot_folders_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds 0 character folders"):
        load_exemplars(OmniglotConfig(path=str(tmp_path), n_classes=12))


def test_the_real_omniglot_has_eight_orientations(omniglot_archive):
    drawings = load_exemplars(OmniglotConfig(path=str(omniglot_archive))).pixels
    images = drawings.view(8, 1600, 20, 28, 28)
    for k in range(4):
        assert torch.equal(images[k], torch.rot90(images[0], k, (-2, -1)))
        assert torch.equal(images[k + 4], images[k].flip(-1))
    assert 0.03 < drawings.float().mean() / 255 < 0.15
