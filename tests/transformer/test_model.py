"""The model and its training step against plain definitions."""

import math

import pytest
import torch
import torch.nn.functional as F

from transformer.config import ModelConfig, OptimConfig
from transformer.learner import Learner
from transformer.measure import sequence_metrics
from transformer.model import logits, trunk, unchanged

CONTEXT, BATCH, D_FEATURES, N_LABELS = 3, 4, 6, 11


def make(n_runs=2, n_layers=2, seeds=None):
    config = ModelConfig(n_layers=n_layers, n_heads=2, d_model=8)
    learner = Learner(
        config,
        OptimConfig(learning_rate=1e-2),
        context=CONTEXT,
        d_features=D_FEATURES,
        n_labels=N_LABELS,
        init_seeds=seeds or list(range(n_runs)),
        device=torch.device("cpu"),
    )
    return config, learner


def batch(n_runs=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    features = torch.randn(n_runs, CONTEXT + 1, BATCH, D_FEATURES, generator=g)
    labels = torch.randint(N_LABELS, (n_runs, CONTEXT, BATCH), generator=g)
    target = torch.randint(N_LABELS, (n_runs, BATCH), generator=g)
    return features, labels, target


def parameters64(learner, run):
    return {name: value[run].double() for name, value in learner.parameters.items()}


def slow_logits(p, config, features, labels):
    """One sequence of one run, token by token, head by head, by the textbook."""

    def norm(x, weight, bias):
        centred = x - x.mean()
        return centred / torch.sqrt((centred**2).mean() + 1e-5) * weight[0] + bias[0]

    def embed(x):
        return x @ p["W_E"] + p["b_E"][0]

    tokens = []
    for k in range(CONTEXT):
        tokens += [embed(features[k]), p["W_L"][labels[k]]]
    tokens.append(embed(features[CONTEXT]))
    resid = [token + p["W_pos"][t, 0] for t, token in enumerate(tokens)]
    for layer in range(config.n_layers):
        b = f"blocks.{layer}."
        x = [norm(r, p[b + "ln_w"], p[b + "ln_b"]) for r in resid]
        new = []
        for t in range(len(resid)):
            heads = []
            for h in range(config.n_heads):
                w_q, w_k, w_v = p[b + "W_QKV"][:, h]
                scores = torch.stack([(w_q @ x[t]) @ (w_k @ x[s]) for s in range(t + 1)])
                pattern = torch.softmax(scores / math.sqrt(config.d_head), 0)
                heads.append(sum(pattern[s] * (w_v @ x[s]) for s in range(t + 1)))
            new.append(resid[t] + torch.cat(heads) @ p[b + "W_O"])
        resid = new
    last = norm(resid[-1], p["ln_final_w"], p["ln_final_b"])
    return last @ p["W_U"] + p["b_U"][0]


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_logits_are_the_textbooks(n_layers):
    config, learner = make(n_layers=n_layers)
    features, labels, _ = batch()
    stacked = {name: value.double() for name, value in learner.parameters.items()}
    fast = logits(stacked, config, features.double(), labels)
    for run in range(2):
        p = parameters64(learner, run)
        for n in range(BATCH):
            slow = slow_logits(p, config, features[run, :, n].double(), labels[run, :, n])
            torch.testing.assert_close(fast[run, n], slow, rtol=1e-10, atol=1e-10)


def test_attention_is_causal():
    """Changing a later token leaves all earlier residuals as they are."""
    config, learner = make(n_runs=1)
    features, labels, _ = batch(1)
    rows = learner.parameters["W_L"][:, labels[0]]

    def residuals(features, rows):
        seen = {}

        def tap(name, value):
            seen[name] = value
            return value

        trunk(learner.parameters, config, features, rows, tap)
        n_tokens = 2 * CONTEXT + 1
        return seen["blocks.0.resid_post"].view(1, n_tokens, BATCH, -1), seen

    before, seen = residuals(features, rows)
    for item in range(CONTEXT + 1):
        moved = features.clone()
        moved[:, item] += 1
        after, _ = residuals(moved, rows)
        token = 2 * item
        assert torch.equal(after[:, :token], before[:, :token])
        assert not torch.equal(after[:, token:], before[:, token:])
        if item < CONTEXT:
            moved_rows = rows.clone()
            moved_rows[:, item] += 1
            after, _ = residuals(features, moved_rows)
            assert torch.equal(after[:, : token + 1], before[:, : token + 1])
            assert not torch.equal(after[:, token + 1 :], before[:, token + 1 :])
    pattern = seen["blocks.0.pattern"]
    torch.testing.assert_close(pattern.sum(3), torch.ones(pattern.sum(3).shape))
    assert pattern.movedim(-1, 0).triu(1).sum() == 0


def test_the_step_is_adam_on_the_gradient_of_the_cross_entropy():
    config, learner = make()
    features, labels, target = batch()
    plain = {name: value.clone().requires_grad_() for name, value in learner.parameters.items()}
    adam = torch.optim.Adam(plain.values(), lr=1e-2)
    for _ in range(5):
        z = logits(plain, config, features, labels)
        losses = F.cross_entropy(z.flatten(0, 1), target.flatten(), reduction="none")
        expected = losses.view(2, BATCH).mean(1)
        adam.zero_grad()
        expected.sum().backward()
        adam.step()
        loss = learner.step(features, labels, target)
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-6)
    for name, value in learner.parameters.items():
        torch.testing.assert_close(value, plain[name].detach(), rtol=1e-3, atol=2e-5)


def test_a_run_does_not_depend_on_its_neighbours():
    _, together = make(n_runs=3)
    alone = [make(seeds=[seed])[1] for seed in range(3)]
    for step in range(20):
        features, labels, target = batch(3, seed=step)
        together.step(features, labels, target)
        for run in range(3):
            one = slice(run, run + 1)
            alone[run].step(features[one], labels[one], target[one])
    for name, value in together.parameters.items():
        for run in range(3):
            single = alone[run].parameters[name][0]
            torch.testing.assert_close(value[run], single, rtol=1e-4, atol=1e-6)


def test_state_moves_to_another_learner():
    _, first = make(n_runs=1)
    _, second = make(seeds=[77])
    for step in range(3):
        first.step(*batch(1, seed=step))
    second.load_state(0, first.state(0))
    for step in range(3, 6):
        a, b = first.step(*batch(1, seed=step)), second.step(*batch(1, seed=step))
        assert torch.equal(a, b)
    for name, value in first.parameters.items():
        assert torch.equal(value, second.parameters[name])


def test_initial_values_have_their_scale_and_depend_on_the_seed():
    _, learner = make(seeds=[0, 0, 1])
    for name, value in learner.parameters.items():
        assert torch.equal(value[0], value[1])
        if name.startswith("W") or ".W" in name:
            assert not torch.equal(value[0], value[2])
    big = Learner(
        ModelConfig(),
        OptimConfig(),
        context=2,
        d_features=784,
        n_labels=1600,
        init_seeds=[0],
        device=torch.device("cpu"),
    ).parameters
    truncated = 0.8796  # standard deviation of a normal cut at two of its own
    assert big["W_L"].std() == pytest.approx(0.02 * truncated, rel=0.02)
    assert big["W_U"].std() == pytest.approx(truncated / 8, rel=0.02)
    assert big["W_E"].std() == pytest.approx(truncated / 28, rel=0.02)
    assert (big["blocks.0.ln_w"] == 1).all() and (big["b_U"] == 0).all()


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


def test_taps_see_every_activation_and_can_replace_it():
    config, learner = make(n_runs=1)
    features, labels, _ = batch(1)
    before = logits(learner.parameters, config, features, labels)
    names = []

    def record(name, value):
        names.append(name)
        return unchanged(name, value)

    assert torch.equal(logits(learner.parameters, config, features, labels, record), before)
    assert {"embed", "blocks.0.pattern", "blocks.1.attn_scores", "ln_final"} <= set(names)

    def ablate(name, value):
        return torch.zeros_like(value) if name.endswith(".v") else value

    after = logits(learner.parameters, config, features, labels, ablate)
    spread = after - after.mean(2, keepdim=True)
    assert not torch.equal(after, before) and spread.abs().max() > 0
