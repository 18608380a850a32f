"""The forward pass against the textbook's, its gradients and its taps."""

from pathlib import Path

import pytest
import torch

from tests.transformer.conftest import BATCH, CONTEXT, N_LABELS, draw_batch, numbers_at
from tests.transformer.model.textbook import EXACT, logits, make, make_model, of_run, slow_batch
from transformer.config.sites import OF_LAYER, SITES, site_names, site_of
from transformer.model.hooks import inward, outward
from transformer.model.transformer import unchanged

N_TOKENS = 2 * CONTEXT + 1
POSITIONS = ["learned", "sinusoidal", "rotary"]
VARIANTS = {
    "plain": {},
    "biases": {"attention_bias": True, "initialiser": "paper"},
    "mlp": {"mlp_ratio": 4, "bias": False},
    "mlp, biases": {"mlp_ratio": 4, "attention_bias": True},
    "no norm": {"mlp_ratio": 4, "norm": False, "attention_bias": True},
    "bare": {"norm": False, "bias": False},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("n_layers", [1, 3])
def test_logits_are_those_of_the_textbook(n_layers, positions, variant):
    model = make_model(n_layers, positions=positions, **VARIANTS[variant])
    train_state = make(model)
    features, labels, _ = draw_batch(train_state)
    fast = logits(train_state.parameters, model, features, labels)
    for run in range(2):
        slow = slow_batch(of_run(train_state, run), model, features[run, :, :2], labels[run, :, :2])
        torch.testing.assert_close(fast[run, :2], slow, **EXACT)


GRADIENT_CASES = {
    **{positions: {"positions": positions} for positions in POSITIONS},
    "mlp": {"mlp_ratio": 4, "attention_bias": True},
    "no norm": {"norm": False},
    "resnet": {"encoder": "resnet"},
}


@pytest.mark.parametrize("case", GRADIENT_CASES)
def test_a_step_follows_the_gradient_of_the_slow_loss(case):
    model = make_model(**GRADIENT_CASES[case])
    train_state = make(model, algorithm="sgd")
    features, labels, target = draw_batch(train_state)
    before = [of_run(train_state, run) for run in range(2)]
    train_state.step(features, labels, target, numbers_at(train_state, [1.0, 1.0]))
    for run, p in enumerate(before):
        trained = {n: value.requires_grad_() for n, value in p.items() if n in train_state.moments}
        z = slow_batch(p, model, features[run], labels[run], training=True)
        loss = -torch.log_softmax(z, 1)[torch.arange(BATCH), target[run]].mean()
        torch.testing.assert_close(train_state.loss_sum[run], loss.detach(), **EXACT)
        slopes = torch.autograd.grad(loss, list(trained.values()))
        for (name, value), slope in zip(trained.items(), slopes, strict=True):
            moved = value.detach() - train_state.parameters[name][run]
            torch.testing.assert_close(moved, slope, **EXACT, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("positions", POSITIONS)
def test_attention_is_causal(positions):
    """Changing a token leaves all earlier residuals as they are, and changes all others."""
    model = make_model(positions=positions, mlp_ratio=4)
    train_state = make(model, n_runs=1)
    features, labels, _ = draw_batch(train_state)

    def activations(features, labels):
        seen = {}
        logits(train_state.parameters, model, features, labels, lambda n, v: seen.setdefault(n, v))
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


def test_taps_see_every_site_in_its_shape_and_can_replace_it():
    model = make_model(mlp_ratio=4)
    train_state = make(model)
    features, labels, _ = draw_batch(train_state)
    before = logits(train_state.parameters, model, features, labels)
    seen = {}

    def record(name, value):
        assert name not in seen
        seen[name] = value
        return unchanged(name, value)

    assert torch.equal(logits(train_state.parameters, model, features, labels, record), before)
    assert (*seen,) == site_names(model)
    sizes = {"B": BATCH, "T": N_TOKENS, "d": 8, "H": 2, "h": 4, "m": 32, "N": N_LABELS}
    for name, value in seen.items():
        sizes["Q"] = 1 if name.startswith("blocks.1.") else N_TOKENS
        outside = outward(name, value[0], BATCH)
        assert outside.shape == tuple(sizes[axis] for axis in site_of(name).outside.split())
        assert torch.equal(inward(name, outside), value[0])
    for replaced in seen:

        def disturb(name, value, replaced=replaced):
            return value + torch.randn_like(value) if name == replaced else value

        after = logits(train_state.parameters, model, features, labels, disturb)
        assert (after != before).any(-1).all(), replaced


def test_the_documentation_lists_the_sites():
    page = (Path(__file__).parents[3] / "docs" / "interventions.md").read_text()
    rows = [
        f"| `{'blocks.L.' * (name in OF_LAYER)}{name}` | {site.outside} | {site.description} |"
        for name, site in SITES.items()
    ]
    assert {*rows} <= {*page.splitlines()}
