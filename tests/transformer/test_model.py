"""The model against slow definitions of it, and its parts."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import truncnorm

from tests.transformer.conftest import (
    BATCH,
    CONTEXT,
    N_LABELS,
    draw_batch,
    make_learner,
    numbers_at,
    randomise,
)
from transformer.config import ModelConfig, OptimConfig
from transformer.config.parts import in_part
from transformer.measures.metrics import sequence_metrics
from transformer.model.forward import (
    cross_entropy,
    encode,
    initialise,
    logits,
    logits_of_items,
    parameter_shapes,
    running_shapes,
    unchanged,
)
from transformer.model.resnet import resnet
from transformer.training.step import Member

N_TOKENS = 2 * CONTEXT + 1
POSITIONS = ["learned", "sinusoidal", "rotary"]
EXACT = {"rtol": 1e-10, "atol": 1e-10}
VARIANTS = {
    "plain": {},
    "biases": {"attention_bias": True, "initialiser": "paper"},
    "mlp": {"mlp_ratio": 4, "bias": False},
    "mlp, biases": {"mlp_ratio": 4, "attention_bias": True},
    "no norm": {"mlp_ratio": 4, "norm": False, "attention_bias": True},
    "bare": {"norm": False, "bias": False},
}


def make_model(n_layers=2, d_model=8, **changes):
    return ModelConfig(n_layers=n_layers, n_heads=2, d_model=d_model, max_time=5, **changes)


def make(model, n_runs=2, **optim):
    """A learner whose parameters are all random."""
    members = [Member(seed, OptimConfig(**optim)) for seed in range(n_runs)]
    return randomise(make_learner(model, members))


def of_run(learner, run):
    return {name: value[run].clone() for name, value in learner.parameters.items()}


# slow definitions: one sequence of one run, token by token and head by head


def slow_logits(p, model, items, labels):
    """The textbook's pre-norm transformer on encoded exemplars (C + 1 vectors)."""
    resid = []
    for item, label in zip(items[:-1], labels, strict=True):
        resid += [item, p["W_L"][label]]
    resid.append(items[-1])
    if model.positions == "learned":
        resid = [x + p["W_pos"][t, 0] for t, x in enumerate(resid)]
    elif model.positions == "sinusoidal":
        resid = [x + slow_sinusoid(t, model) for t, x in enumerate(resid)]
    for layer in range(model.n_layers):
        b = f"blocks.{layer}."
        mixed = slow_attention(p, b, model, [slow_norm(p, b + "ln_", x) for x in resid])
        resid = [x + slow_affine(p, b + "W_O", y) for x, y in zip(resid, mixed, strict=True)]
        if model.mlp_ratio:
            resid = [x + slow_mlp(p, b, slow_norm(p, b + "ln_mlp_", x)) for x in resid]
    return slow_affine(p, "W_U", slow_norm(p, "ln_final_", resid[-1]))


def slow_affine(p, weight, x):
    y = torch.stack([x @ column for column in p[weight].T])
    bias = weight.replace("W_", "b_")
    return y + p[bias][0] if bias in p else y


def slow_norm(p, prefix, x):
    if prefix + "w" not in p:
        return x
    variance = ((x - x.mean()) ** 2).mean()
    return (x - x.mean()) / torch.sqrt(variance + 1e-5) * p[prefix + "w"][0] + p[prefix + "b"][0]


def slow_mlp(p, b, x):
    x = slow_affine(p, b + "W_in", x)
    gelu = x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return slow_affine(p, b + "W_out", gelu)


def slow_sinusoid(t, model):
    half = model.d_model // 2
    angles = [t / model.max_time ** (i / half) for i in range(half)]
    values = [*map(math.sin, angles), *map(math.cos, angles)]
    return torch.tensor(values, dtype=torch.float64)


def slow_rotation(t, model):
    """The rotation of token t's queries and keys, one 2 x 2 matrix a pair (i, i + h / 2)."""
    h = model.d_model // model.n_heads
    matrix = torch.zeros(h, h, dtype=torch.float64)
    for i in range(h // 2):
        angle = t / model.max_time ** (2 * i / h) if model.positions == "rotary" else 0
        c, s = math.cos(angle), math.sin(angle)
        pair = torch.tensor([i, i + h // 2])
        matrix[pair[:, None], pair] = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return matrix


def slow_attention(p, b, model, xs):
    """Heads side by side, for each token."""
    mixed = [[] for _ in xs]
    for head in range(model.n_heads):
        q, k, v = (
            [
                p[b + "W_QKV"][j, head] @ x
                + (p[b + "b_QKV"][j, head, :, 0] if model.attention_bias else 0)
                for x in xs
            ]
            for j in range(3)
        )
        q, k = ([slow_rotation(t, model) @ y for t, y in enumerate(ys)] for ys in (q, k))
        for t in range(len(xs)):
            scores = [q[t] @ k[s] / math.sqrt(model.d_model / model.n_heads) for s in range(t + 1)]
            total = sum(score.exp() for score in scores)
            mixed[t].append(sum(scores[s].exp() / total * v[s] for s in range(t + 1)))
    return [torch.cat(heads) for heads in mixed]


def slow_resnet(p, images, d_model, *, training):
    """Tokens of images (n, 1, side, side), and the statistics of this batch."""
    seen = {}

    def pad(x, kernel, stride, value=0.0):
        """JAX's "SAME": ceil(size / stride) outputs, an odd pixel of padding at the end."""
        size = x.shape[-1]
        total = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
        return F.pad(x, [total // 2, total - total // 2] * 2, value=value)

    def conv(x, name, stride=1):
        return F.conv2d(pad(x, p[name].shape[-1], stride), p[name], stride=stride)

    def norm(x, name):
        mean, var = p[name + "_mean"].clone(), p[name + "_var"].clone()
        scale, shift = p[name + "_w"], p[name + "_b"]
        y = F.batch_norm(x, mean, var, scale, shift, training, momentum=1.0, eps=1e-5)
        n = x.numel() // x.shape[1]
        seen.update({name + "_mean": mean, name + "_var": var * (n - 1) / n})  # torch's: unbiased
        return y

    x = norm(conv(images, "encoder.W", 2), "encoder.norm").relu()
    x = F.max_pool2d(pad(x, 3, 2, -math.inf), 3, 2)
    for group in range(4):
        for block in range(2):
            b = f"encoder.{group}.{block}."
            stride = 2 if block == 0 and group > 0 else 1
            short = norm(conv(x, b + "W_shortcut", stride), b + "norm_shortcut") if not block else x
            y = norm(conv(x, b + "W_1"), b + "norm_1").relu()
            y = norm(conv(y, b + "W_2", stride), b + "norm_2").relu()
            x = (norm(conv(y, b + "W_3"), b + "norm_3") + short).relu()
    assert x.shape[1] == d_model
    return x.mean((2, 3)), seen if training else {}


def slow_items(p, model, features, *, training):
    """Encoded exemplars (C + 1, B, d) of features (C + 1, B, D)."""
    if model.encoder == "linear":
        return torch.stack([torch.stack([slow_affine(p, "W_E", x) for x in f]) for f in features])
    side = math.isqrt(features.shape[-1])
    images = features.reshape(-1, 1, side, side)
    tokens, _ = slow_resnet(p, images, model.d_model, training=training)
    return tokens.view(*features.shape[:2], model.d_model)


def slow_batch(p, model, features, labels, *, training=False):
    """Logits (B, N) of a batch."""
    items = slow_items(p, model, features, training=training)
    return torch.stack(
        [slow_logits(p, model, items[:, n], labels[:, n]) for n in range(features.shape[1])]
    )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_logits_are_the_textbooks(n_layers, positions, variant):
    model = make_model(n_layers, positions=positions, **VARIANTS[variant])
    learner = make(model)
    features, labels, _ = draw_batch(learner)
    fast = logits(learner.parameters, model, features, labels)
    for run in range(2):
        slow = slow_batch(of_run(learner, run), model, features[run], labels[run])
        torch.testing.assert_close(fast[run], slow, **EXACT)


@pytest.mark.parametrize("side", [28, 13])
@pytest.mark.parametrize("training", [True, False])
def test_the_resnet_is_the_textbooks(training, side):
    learner = make(make_model(encoder="resnet"))
    images = torch.randn(2, 5, side * side, dtype=torch.float64)
    tokens, seen = resnet(learner.parameters, images, 8, training=training)
    for run in range(2):
        slow, slow_seen = slow_resnet(
            of_run(learner, run), images[run].view(5, 1, side, side), 8, training=training
        )
        torch.testing.assert_close(tokens[run], slow, **EXACT)
        torch.testing.assert_close({name: v[run] for name, v in seen.items()}, slow_seen, **EXACT)


def test_running_statistics_follow_the_batches_and_serve_evaluation():
    model = make_model(encoder="resnet")
    learner = make(model, learning_rate=0.1)
    expected = [of_run(learner, run) for run in range(2)]
    for step in range(3):
        features, labels, target = draw_batch(learner, step)
        for run, running in enumerate(expected):
            images = features[run].reshape(-1, 1, 7, 7)
            _, seen = slow_resnet(of_run(learner, run), images, 8, training=True)
            assert set(seen) == set(running_shapes(model))
            for name, value in seen.items():
                running[name] = 0.9 * running[name] + 0.1 * value
        learner.step(features, labels, target, numbers_at(learner, [0.1, 0.1], step + 1))
    for name in running_shapes(model):
        expected_value = torch.stack([running[name] for running in expected])
        torch.testing.assert_close(learner.parameters[name], expected_value, **EXACT)
    z = logits(learner.parameters, model, features, labels)
    slow = slow_batch(of_run(learner, 0), model, features[0], labels[0], training=False)
    torch.testing.assert_close(z[0], slow, **EXACT)


GRADIENT_CASES = {
    **{positions: {"positions": positions} for positions in POSITIONS},
    "mlp": {"mlp_ratio": 4, "attention_bias": True},
    "no norm": {"norm": False},
    "resnet": {"encoder": "resnet"},
}


@pytest.mark.parametrize("case", GRADIENT_CASES)
def test_gradients_are_those_of_finite_differences(case):
    model = make_model(d_model=4, **GRADIENT_CASES[case])
    learner = make(model, n_runs=1)
    features, labels, target = draw_batch(learner)
    running = {name: learner.parameters[name] for name in running_shapes(model)}
    names = [name for name in learner.parameters if name not in running]

    def loss(*values):
        p = dict(zip(names, values, strict=True)) | running
        items, _ = encode(p, model, features, training=True)
        return cross_entropy(logits_of_items(p, model, items, labels), target)

    values = [learner.parameters[name].clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(loss, values, fast_mode=True)


@pytest.mark.parametrize("case", GRADIENT_CASES)
def test_the_learners_gradient_is_that_of_the_slow_loss(case):
    model = make_model(**GRADIENT_CASES[case])
    learner = make(model, algorithm="sgd")
    features, labels, target = draw_batch(learner)
    before = [of_run(learner, run) for run in range(2)]
    learner.step(features, labels, target, numbers_at(learner, [1.0, 1.0]))
    for run, p in enumerate(before):
        trained = {n: value.requires_grad_() for n, value in p.items() if n in learner.moments}
        z = slow_batch(p, model, features[run], labels[run], training=True)
        loss = -torch.log_softmax(z, 1)[torch.arange(BATCH), target[run]].mean()
        torch.testing.assert_close(learner.loss_sum[run], loss.detach(), **EXACT)
        slopes = torch.autograd.grad(loss, list(trained.values()))
        for (name, value), slope in zip(trained.items(), slopes, strict=True):
            moved = value.detach() - learner.parameters[name][run]
            torch.testing.assert_close(moved, slope, **EXACT, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("positions", POSITIONS)
def test_attention_is_causal(positions):
    """Changing a token leaves all earlier residuals as they are, and changes all others."""
    model = make_model(positions=positions, mlp_ratio=4)
    learner = make(model, n_runs=1)
    features, labels, _ = draw_batch(learner)

    def activations(features, labels):
        seen = {}
        logits(learner.parameters, model, features, labels, lambda n, v: seen.setdefault(n, v))
        return seen["blocks.0.resid_post"].view(N_TOKENS, BATCH, -1), seen["blocks.0.pattern"]

    before, pattern = activations(features, labels)
    for token in range(N_TOKENS):
        moved_features, moved_labels = features.clone(), labels.clone()
        if token % 2:
            moved_labels[:, token // 2] = (labels[:, token // 2] + 1) % N_LABELS
        else:
            moved_features[:, token // 2] += 1
        after, _ = activations(moved_features, moved_labels)
        assert torch.equal(after[:token], before[:token])
        assert (after[token:] != before[token:]).any(-1).all()
    torch.testing.assert_close(pattern.sum(3), torch.ones_like(pattern.sum(3)))
    assert (pattern[0, 0].movedim(-1, 0).triu(1) == 0).all()


def test_rotary_scores_depend_on_distance_alone():
    """Equal tokens at equal distances attract each other equally, at every place."""
    model = make_model(n_layers=2, positions="rotary", norm=False)
    learner = make(model, n_runs=1)
    item = torch.ones(1, CONTEXT + 1, 1, 8, dtype=torch.float64)
    learner.parameters["W_L"].fill_(1)
    seen = {}

    def tap(name, value):
        return seen.setdefault(name, value)

    logits_of_items(
        learner.parameters, model, item, torch.zeros(1, CONTEXT, 1, dtype=torch.int64), tap
    )
    scores = seen["blocks.0.attn_scores"][0, :, :, :, 0]
    for distance in range(N_TOKENS):
        diagonal = scores.diagonal(-distance, 1, 2)
        torch.testing.assert_close(diagonal, diagonal[:, :1].expand_as(diagonal), **EXACT)
    assert scores[0, -1].std() > 1e-3


def test_taps_see_every_activation_and_can_replace_it():
    model = make_model(mlp_ratio=4)
    learner = make(model)
    features, labels, _ = draw_batch(learner)
    before = logits(learner.parameters, model, features, labels)
    seen = {}

    def record(name, value):
        assert name not in seen
        seen[name] = tuple(value.shape)
        return unchanged(name, value)

    assert torch.equal(logits(learner.parameters, model, features, labels, record), before)
    expected = {"embed": (2, N_TOKENS * BATCH, 8), "ln_final": (2, BATCH, 8)}
    for layer, n_queries in ((0, N_TOKENS), (1, 1)):
        shapes = {name: (2, 2, 4, N_TOKENS, BATCH) for name in "qkv"}
        shapes["attn_scores"] = shapes["pattern"] = (2, 2, n_queries, N_TOKENS, BATCH)
        shapes["z"] = (2, 2, 4, n_queries, BATCH)
        shapes["mlp"] = (2, n_queries * BATCH, 32)
        shapes["resid_post"] = (2, n_queries * BATCH, 8)
        expected |= {f"blocks.{layer}.{name}": shape for name, shape in shapes.items()}
    assert seen == expected
    for replaced in seen:

        def disturb(name, value, replaced=replaced):
            return value + torch.randn_like(value) if name == replaced else value

        after = logits(learner.parameters, model, features, labels, disturb)
        assert (after != before).any(-1).all(), replaced


def test_shapes_are_those_of_the_table():
    model = make_model(1, mlp_ratio=4, attention_bias=True)
    layer = {
        "blocks.0.ln_w": (1, 8),
        "blocks.0.ln_b": (1, 8),
        "blocks.0.W_QKV": (3, 2, 4, 8),
        "blocks.0.b_QKV": (3, 2, 4, 1),
        "blocks.0.W_O": (8, 8),
        "blocks.0.b_O": (1, 8),
        "blocks.0.ln_mlp_w": (1, 8),
        "blocks.0.ln_mlp_b": (1, 8),
        "blocks.0.W_in": (8, 32),
        "blocks.0.b_in": (1, 32),
        "blocks.0.W_out": (32, 8),
        "blocks.0.b_out": (1, 8),
    }
    expected = {
        "W_E": (6, 8),
        "b_E": (1, 8),
        "W_pos": (7, 1, 8),
        **layer,
        "ln_final_w": (1, 8),
        "ln_final_b": (1, 8),
        "W_L": (11, 8),
        "W_U": (8, 11),
        "b_U": (1, 11),
    }
    shapes = shapes_of(model)
    assert list(shapes.items()) == list(expected.items())


def shapes_of(model):
    return parameter_shapes(model, context=3, d_features=6, n_labels=11)


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"positions": "rotary"}, {"W_pos"}),
        ({"positions": "sinusoidal"}, {"W_pos"}),
        ({"attention_bias": False}, {"b_QKV", "b_O"}),
        ({"bias": False}, {"b_E", "b_in", "b_out", "b_U"}),
        ({"norm": False}, {"ln_w", "ln_b", "ln_mlp_w", "ln_mlp_b", "ln_final_w", "ln_final_b"}),
        (
            {"mlp_ratio": 0},
            {"ln_mlp_w", "ln_mlp_b", "W_in", "b_in", "W_out", "b_out"},
        ),
    ],
)
def test_what_a_config_switches_off_is_absent(changes, absent):
    whole = {"mlp_ratio": 4, "attention_bias": True}
    left = {
        name: shape
        for name, shape in shapes_of(make_model(**whole)).items()
        if name.split(".")[-1] not in absent
    }
    assert shapes_of(make_model(**whole | changes)) == left


@pytest.mark.parametrize("initialiser", ["truncated", "paper"])
def test_initial_values_have_their_scale(initialiser):
    """Each within four standard errors; cut at two deviations of the uncut normal."""
    truncated = truncnorm(-2, 2).std()
    assert truncated == pytest.approx(0.8796, abs=1e-4)
    widen = 1 / truncated if initialiser == "paper" else 1
    inputs = {"W_E": 784, "W_QKV": 64, "W_O": 64, "W_in": 64, "W_out": 256, "W_U": 64}
    cut = {name: widen / math.sqrt(n) for name, n in inputs.items()}
    cut |= {"W_L": 0.02, "W_pos": 1 / math.sqrt(32)}
    model = ModelConfig(mlp_ratio=4, attention_bias=True, initialiser=initialiser)
    shapes = parameter_shapes(model, context=20, d_features=784, n_labels=1600)
    for name, value in initialise(model, shapes, 0).items():
        kind = name.split(".")[-1]
        if kind not in cut:
            assert (value == (kind.startswith("ln_") and kind.endswith("_w"))).all()
            continue
        uniform = initialiser == "paper" and kind == "W_pos"
        std = cut[kind] * (1 / math.sqrt(3) if uniform else truncated)
        error = 4 / math.sqrt(2 * value.numel())
        assert value.std().item() == pytest.approx(std, rel=error), name
        assert abs(value.mean().item()) < 4 * std / math.sqrt(value.numel()), name
        bound = cut[kind] * (1 if uniform else 2)
        assert 0.95 * bound < value.abs().max().item() <= bound * (1 + 1e-6), name


def test_initial_values_of_the_resnet():
    """Filters by their inputs, blocks as the identity, norms of a unit normal."""
    model = make_model(d_model=64, encoder="resnet")
    shapes = {n: s for n, s in shapes_of(model).items() if n.startswith("encoder.")}
    for name, value in initialise(model, shapes | running_shapes(model), 0).items():
        kind = name.split(".")[-1]
        if kind.startswith("W"):
            std = truncnorm(-2, 2).std() / math.sqrt(value[0].numel())
            error = 4 / math.sqrt(2 * value.numel())
            assert value.std().item() == pytest.approx(std, rel=error), name
        else:
            one = kind.endswith(("_w", "_var")) and kind != "norm_3_w"
            assert (value == one).all(), name


@pytest.mark.parametrize("changes", [{}, {"encoder": "resnet", "initialiser": "paper"}])
def test_initial_values_depend_on_the_seed_alone(changes):
    model = make_model(**changes)
    members = [Member(seed, OptimConfig()) for seed in (7, 0, 7, 1)]
    single = make_learner(model, members[:1], precision="float32").parameters
    for name, value in make_learner(model, members).parameters.items():
        assert value.dtype == torch.float64
        assert torch.equal(value[0], value[2]) and torch.equal(value[0], single[name][0].double())
        drawn = name.split(".")[-1].startswith("W")
        assert torch.equal(value[0], value[1]) != drawn
        assert torch.equal(value[1], value[3]) != drawn


PARTED = [
    make_model(12, mlp_ratio=4, attention_bias=True),
    make_model(2, mlp_ratio=4, encoder="resnet"),
]


@pytest.mark.parametrize("model", PARTED, ids=["linear", "resnet"])
def test_every_parameter_is_in_the_parts_that_it_should_be(model):
    names = list(shapes_of(model) | running_shapes(model))
    layers = range(model.n_layers)

    def members(*parts):
        return [name for name in names for part in parts if in_part(name, part)]

    outside = ["encoder", "labels", "positions", "unembedding", "final"]
    assert members("all") == names
    assert members(*outside, "attention", "mlp") == names, "each in exactly one"
    assert members(*outside, *(f"blocks.{layer}" for layer in layers)) == names
    assert members("embeddings") == members("labels", "positions", "unembedding")
    for layer in layers:
        below, above = members(f"input.{layer}"), members(f"output.{layer}")
        assert members(f"input.{layer}", f"output.{layer}") == names, "one or the other"
        assert below == members("encoder", "labels", "positions", *blocks(0, layer + 1))
        assert above == members("final", "unembedding", *blocks(layer + 1, model.n_layers))
    assert members("labels") == ["W_L"] and members("positions") == ["W_pos"]
    assert members("unembedding") == ["W_U", "b_U"]
    assert all(name.startswith("encoder.") or name in ("W_E", "b_E") for name in members("encoder"))
    of_layer = [name for name in members("mlp") if name.startswith("blocks.1.")]
    kinds = ["ln_mlp_w", "ln_mlp_b", "W_in", "b_in", "W_out", "b_out"]
    assert of_layer == [f"blocks.1.{kind}" for kind in kinds]


def blocks(first, end):
    return [f"blocks.{layer}" for layer in range(first, end)]


def test_ties_and_what_is_no_number_are_wrong():
    """A model that has collapsed, or diverged, must not look as if it knew anything."""
    labels, target = torch.tensor([[0, 1, 5], [3, 2, 6]]), torch.tensor([0, 2, 4])
    for value in (0.0, torch.nan, -torch.inf):
        metrics = sequence_metrics(torch.full((3, N_LABELS), value), labels, target)
        for name in ("accuracy", "in_context_accuracy", "out_context_accuracy"):
            assert metrics[name].tolist() == [0, 0, 0], (name, value)
        assert metrics["loss"].isfinite().all() == (value == 0)


def test_context_labels_may_be_all_there_are():
    z = torch.tensor([[1.0, 3.0]])
    metrics = sequence_metrics(z, torch.tensor([[0], [1]]), torch.tensor([1]))
    assert metrics["loss"].item() == pytest.approx(math.log1p(math.exp(-2)), rel=1e-6)
    assert metrics["accuracy"].item() == metrics["in_context_accuracy"].item() == 1
    assert metrics["context_probability"].item() == pytest.approx(1)
    assert metrics["out_context_probability"].item() == 0


def test_metrics_follow_their_definitions():
    torch.manual_seed(0)
    n, context = 40, 3
    z = torch.randn(n, N_LABELS, dtype=torch.float64) * 2
    labels = torch.randint(N_LABELS, (context, n))
    labels[2, :10] = labels[0, :10]  # repeats count once
    target = torch.randint(N_LABELS, (n,))
    target[:20] = labels[1, :20]
    metrics = sequence_metrics(z, labels, target)
    for k in range(n):
        p = torch.softmax(z[k].double(), 0)
        y, inside = int(target[k]), set(labels[:, k].tolist())
        outside = set(range(N_LABELS)) - inside
        share_in = sum(p[j] for j in inside)
        expected = {
            "loss": -math.log(p[y]),
            "accuracy": float(p.argmax() == y),
            "probability": p[y],
            "in_context_loss": -math.log(p[y] / share_in) if y in inside else math.nan,
            "in_context_accuracy": float(max(inside, key=lambda j: p[j]) == y),
            "in_context_probability": p[y] / share_in if y in inside else 0,
            "out_context_accuracy": float(max(outside, key=lambda j: p[j]) == y),
            "out_context_probability": p[y] / (1 - share_in) if y in outside else 0,
            "context_probability": share_in,
        }
        assert set(metrics) == set(expected)
        for name, value in expected.items():
            assert float(metrics[name][k]) == pytest.approx(float(value), rel=1e-9, nan_ok=True)
