"""Sites: the named activations of a pass, their shapes, and what each is computed from.

Axes: B sequences, T = 2 C + 1 tokens of C pairs and a query, Q tokens whose row is computed (T, but
1 in the last layer of a plain pass), d = d_model, H heads of h = d_head, m = d_mlp, N labels.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from itertools import chain, pairwise
from typing import NamedTuple

from coopetition.tools.errors import UsageError
from transformer.config.model import ModelConfig


class Site(NamedTuple):
    """Properties of all activations of one name."""

    inside: str
    """Axes in a pass, after the run axis; those in parentheses are merged into one."""
    outside: str
    """Axes of one run's activation as people see it, with the batch first."""
    description: str


OF_MODEL = {
    "embed": Site("T B d", "B T d", "tokens, without positions"),
    "ln_final": Site("B d", "B d", "the query's final residual, normalised"),
    "logits": Site("B N", "B N", "the query's logits"),
}
OF_LAYER = {  # named `blocks.LAYER.NAME`, in the order of a pass
    "resid_pre": Site("(T B) d", "B T d", "residual stream before the layer"),
    "q": Site("H h T B", "B T H h", "queries, before the rotation of rotary positions"),
    "k": Site("H h T B", "B T H h", "keys, before the rotation of rotary positions"),
    "v": Site("H h T B", "B T H h", "values"),
    "attn_scores": Site("H Q T B", "B H Q T", "scores (query, key), before the softmax"),
    "pattern": Site("H Q T B", "B H Q T", "attention (query, key), after the softmax"),
    "z": Site("H h Q B", "B Q H h", "values, mixed by the pattern"),
    "attn_out": Site("(Q B) d", "B Q d", "output of attention, added to the residual stream"),
    "mlp": Site("(Q B) m", "B Q m", "the MLP's hidden layer, after the GELU"),
    "resid_post": Site("(Q B) d", "B Q d", "residual stream after the layer"),
}
SITES = OF_MODEL | OF_LAYER
INPUTS = {  # of the sites of a layer, in the same layer
    **dict.fromkeys("qkv", ("resid_pre",)),
    "attn_scores": ("q", "k"),
    "pattern": ("attn_scores",),
    "z": ("pattern", "v"),
    "attn_out": ("z",),
    "mlp": ("resid_pre", "attn_out"),
    "resid_post": ("resid_pre", "attn_out", "mlp"),
}


def site_of(name: str) -> Site:
    """Return the site of an activation by its full name."""
    return SITES[name.rpartition(".")[2]]


@cache
def site_names(model: ModelConfig) -> tuple[str, ...]:
    """Return the names of all sites of a model, in the order of a pass."""
    of_layer = [name for name in OF_LAYER if name != "mlp" or model.d_mlp]
    blocks = [f"blocks.{layer}.{name}" for layer in range(model.n_layers) for name in of_layer]
    return ("embed", *blocks, "ln_final", "logits")


def matching_sites(patterns: Iterable[str], model: ModelConfig) -> tuple[str, ...]:
    """Return the sites that names or patterns such as `blocks.*.z` match.

    A pattern that matches none raises `UsageError`.
    """
    names, patterns = site_names(model), tuple(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"no site is called {pattern!r}; choose one of {', '.join(names)}, or a pattern "
                "such as blocks.*.z"
            )
    return tuple(name for name in names if any(fnmatchcase(name, each) for each in patterns))


def places(site: str, model: ModelConfig) -> tuple[str, ...]:
    """Return a site by head, as `blocks.0.z of 0:3`, or the site itself if heads share it."""
    if "H" not in site_of(site).inside:
        return (site,)
    layer = site.split(".")[1]
    return tuple(f"{site} of {layer}:{head}" for head in range(model.n_heads))


@cache
def _inputs(model: ModelConfig) -> dict[str, tuple[str, ...]]:
    """Return the places that each place is computed from."""
    inputs: dict[str, tuple[str, ...]] = {}
    names = site_names(model)
    for previous, name in pairwise(names):
        block, _, kind = name.rpartition(".")
        read = [f"{block}.{each}" for each in INPUTS.get(kind, ())]
        made_of = [places(site, model) for site in read or [previous] if site in names]
        own = places(name, model)
        for head, place in enumerate(own):
            each_own = (of[head : head + 1] if len(of) == len(own) else of for of in made_of)
            inputs[place] = tuple(chain.from_iterable(each_own))
    return inputs


def live_places(model: ModelConfig, overwritten: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the places that the logits depend on.

    Parameters
    ----------
    overwritten : places whose values are replaced, with the places that they are now made of
    """
    inputs = {**_inputs(model), **overwritten}
    live, pending = set(), ["logits"]
    while pending:
        place = pending.pop()
        if place not in live:
            live.add(place)
            pending += inputs.get(place, ())
    return live
