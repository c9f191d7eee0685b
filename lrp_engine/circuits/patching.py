"""Exact activation patching, batched: the ground truth that estimators are held against."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from .circuit_model import CircuitModel
from .downstream import Suffix, stack, suffix
from .estimators import Both, both_runs
from .pairs import Pairs, measured
from .scores import Component, Direction, Scores
from .sites import Layout, Site

Progress = Callable[[int, int], None]
_TOKENS = 4096


def patch(
    model: CircuitModel,
    pairs: Pairs,
    components: Iterable[str] | str = ("resid_pre", "attn_out", "mlp_out"),
    *,
    only: Sequence[Component] | None = None,
    direction: Direction | str = Direction.DENOISE,
    progress: Progress | None = None,
    at_once: int | None = None,
) -> Scores:
    """Patches every position (head, neuron) of the components, one at a time, and runs the rest.

    DENOISE: score = metric(corrupt run with the clean activation) - metric(corrupt run). With
    `only`, just those components are measured and the rest is NaN. `at_once` patches are stacked
    along the batch (default: as many as make 4096 rows). `progress(done, all)` is called as it
    goes.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> model, pairs = ioi_subject()
        >>> exact = patch(model, pairs, "blocks.3.hook_mlp_out")
        >>> exact["blocks.3.hook_mlp_out"].shape  # (prompt, position)
        torch.Size([4, 15])
    """
    direction = Direction(direction)
    sites = model.choose(components)
    if only is not None:
        sites = tuple({c.site.name: c.site for c in only}.values())
    nodes = tuple(dict.fromkeys(site.node for site in sites))
    both = both_runs(model, pairs, nodes, direction)
    wanted = {site: _places(site, both.base_values[site.node], only) for site in sites}
    total, done = sum(map(len, wanted.values())), 0
    clean, corrupt = both.clean_and_corrupt(pairs)
    start = corrupt if direction is Direction.DENOISE else clean
    values = {}
    for site in sites:
        empty = torch.full_like(site.reduced(both.delta(site.node)), torch.nan)
        for place, number in _measure(model, pairs, both, site, wanted[site], at_once):
            change = number - start
            index: tuple[int | slice, ...] = (slice(None), *place)
            empty[index] = change if direction is Direction.DENOISE else -change
            done += 1
            if progress is not None:
                progress(done, total)
        values[site.name] = empty
    return Scores("exact", direction, sites, values, clean, corrupt)


def _places(
    site: Site, activation: Tensor, only: Sequence[Component] | None
) -> list[tuple[int, ...]]:
    """(position[, unit]) of every patch at a site."""
    if only is None:
        return list(product(*(range(n) for n in site.units(activation))))
    chosen = [c for c in only if c.site.name == site.name]
    places = [tuple(i for i in (c.position, c.unit) if i is not None) for c in chosen]
    return list(dict.fromkeys(places))


def _measure(
    model: CircuitModel,
    pairs: Pairs,
    both: Both,
    site: Site,
    places: list[tuple[int, ...]],
    at_once: int | None,
) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """The metric, per prompt, with each place patched."""
    rest = suffix_of(model, site)
    _, boundary = model.activations(rest.boundary, both.base)
    base, other = both.base_values[site.node], both.other_values[site.node]
    batch = base.shape[0]
    rows = max(1, batch * (site.units(base) or (1,))[0])
    size = at_once or max(1, _TOKENS // rows)
    for first in range(0, len(places), size):
        chunk = places[first : first + size]
        patched = stack(base, len(chunk))
        for i, place in enumerate(chunk):
            own = patched[i * batch : (i + 1) * batch]
            where = index_of(site, place)
            own[where] = other[where]
        (output,) = rest.run(both.base, boundary, [patched], len(chunk))
        for i, place in enumerate(chunk):
            yield place, measured(pairs.metric, output[i * batch : (i + 1) * batch])


def suffix_of(model: CircuitModel, site: Site) -> Suffix:
    """The program behind a site, written once per model."""
    found: Suffix = model.remember(
        ("suffix", site.node),
        lambda: suffix(model.graph, [site.node], [model.output.node], model.graph.inputs[0].node),
    )
    return found


def index_of(site: Site, place: tuple[int, ...]) -> tuple[int | slice, ...]:
    """Where one component lies in the activation: (position[, unit]) -> index."""
    if site.layout is Layout.HEAD:
        position, head = place
        return (slice(None), head, position)
    return (slice(None), *place)
