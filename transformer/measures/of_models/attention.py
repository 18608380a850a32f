"""Where attention goes: of the query, and of the labels."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from transformer.measures.view import MODEL_MEASURES, Reading, View, by_head


@MODEL_MEASURES.register("induction_strength")
def induction_strength(view: View) -> Iterator[Reading]:
    """Attention of the query to labels that are the target, less that to others, by head.

    The mean over the sequences that have labels of both kinds; none where no sequence has.
    """
    both = view.both
    if both.any():
        sign = view.right.float() * 2 - 1
        for layer, pattern in enumerate(view.patterns):
            to_labels = pattern[:, -1, 1::2]
            yield from by_head("strength", layer, (to_labels * sign).sum(1)[:, both].mean(1))


@MODEL_MEASURES.register("query_attention")
def query_attention(view: View) -> Iterator[Reading]:
    """Attention of the query to the target, other labels, exemplars and itself, by head."""
    for layer, pattern in enumerate(view.patterns):
        row = pattern[:, -1]
        to_labels = row[:, 1::2]
        shares = {
            "correct": (to_labels * view.right).sum(1),
            "other": (to_labels * ~view.right).sum(1),
            "exemplars": row[:, :-1:2].sum(1),
            "self": row[:, -1],
        }
        for what, share in shares.items():
            yield from by_head(what, layer, share.mean(1))


@MODEL_MEASURES.register("query_row")
def query_row(view: View) -> Iterator[Reading]:
    """Attention of the query to each token, by head and by the pair whose label is the target.

    Over the sequences in which one label alone is; pairs count from 1, tokens (`at`) from 0.
    """
    one = view.right.sum(0) == 1
    for pair, right in enumerate(view.right, 1):
        here = one & right
        for layer, pattern in enumerate(view.patterns if here.any() else ()):
            for token, values in enumerate(pattern[:, -1, :, here].mean(-1).T):
                for reading in by_head(f"target in pair {pair}", layer, values):
                    yield replace(reading, at=token)


def _of_labels(view: View, back: int) -> Iterator[tuple[int, Tensor]]:
    """Layer, and its labels' attention (H,) to the token so many before; not of the last layer,
    of which the query's row alone is computed.
    """
    for layer, pattern in enumerate(view.patterns[:-1]):
        rows = [pattern[:, t, t - back] for t in range(1, pattern.shape[-2], 2)]
        yield layer, torch.stack(rows).mean((0, 2))


@MODEL_MEASURES.register("previous_token")
def previous_token(view: View) -> Iterator[Reading]:
    """Attention of labels to the token before them, by head, of all layers but the last."""
    for layer, values in _of_labels(view, 1):
        yield from by_head("score", layer, values)


@MODEL_MEASURES.register("self_attention")
def self_attention(view: View) -> Iterator[Reading]:
    """Attention of labels to themselves, by head, of all layers but the last."""
    for layer, values in _of_labels(view, 0):
        yield from by_head("score", layer, values)
