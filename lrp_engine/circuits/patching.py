"""Patch activations exactly, in batches: the ground truth that estimators are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from .circuit_model import CircuitModel
from .downstream import DownstreamProgram, downstream_program, repeat_batch
from .pairs import Pairs, evaluate_metric
from .run_pair import RunPair, run_both
from .scores import Component, Direction, Scores
from .sites import Site, SiteLayout

Progress = Callable[[int, int], None]
Index = tuple[int | slice, ...]
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
    """Patch every position (head, neuron) of the components, one at a time, and run the rest.

    Args:
        model: the model to patch.
        pairs: a batch of clean and corrupt prompts with their metric.
        components: kinds, hook names or module paths, or globs of these.
        only: measure just these; the rest is NaN.
        direction: DENOISE scores metric(corrupt run with the clean activation) - metric(corrupt).
        progress: called as `progress(done, all)` after each patch.
        at_once: how many patches are stacked along the batch (default: those of 4096 rows).

    Returns:
        Scores in units of the metric, (batch, position) or (batch, position, unit) per site.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> model, pairs = ioi_subject()
        >>> exact = patch(model, pairs, "blocks.3.hook_mlp_out")
        >>> exact["blocks.3.hook_mlp_out"].shape  # (prompt, position)
        torch.Size([4, 15])
    """
    direction = Direction(direction)
    chosen = model.choose(components)
    sites = chosen if only is None else _sites_of(only)
    runs = run_both(model, pairs, tuple(dict.fromkeys(s.node for s in sites)), direction)
    wanted = {site: _places(site, runs.base_values[site.node], only) for site in sites}
    clean, corrupt = runs.metrics(pairs)
    start = corrupt if direction is Direction.DENOISE else clean
    values = {s.name: torch.full_like(s.sum_features(runs.delta(s.node)), torch.nan) for s in sites}
    total, done = sum(map(len, wanted.values())), 0
    for site, places in wanted.items():
        for place, metric in _measure(model, pairs, runs, site, places, at_once):
            index: Index = (slice(None), *place)
            values[site.name][index] = runs.sign * (metric - start)
            done += 1
            if progress is not None:
                progress(done, total)
    return Scores("exact", direction, sites, values, clean, corrupt)


def _sites_of(components: Sequence[Component]) -> tuple[Site, ...]:
    return tuple({c.site.name: c.site for c in components}.values())


def _places(
    site: Site, activation: Tensor, only: Sequence[Component] | None
) -> list[tuple[int, ...]]:
    """Return (position[, unit]) of every patch at a site."""
    if only is None:
        return list(product(*(range(n) for n in site.score_shape(activation))))
    return list(dict.fromkeys(c.index for c in only if c.site.name == site.name))


def _measure(
    model: CircuitModel,
    pairs: Pairs,
    runs: RunPair,
    site: Site,
    places: list[tuple[int, ...]],
    at_once: int | None,
) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Yield each place with the metric, (batch,), of the run that is patched there."""
    rest = program_behind(model, site)
    _, boundary = model.activations(rest.boundary, runs.base)
    base, other = runs.base_values[site.node], runs.other_values[site.node]
    batch = base.shape[0]
    rows = max(1, batch * (site.score_shape(base) or (1,))[0])
    size = at_once or max(1, _TOKENS // rows)
    for first in range(0, len(places), size):
        chunk = places[first : first + size]
        patched = repeat_batch(base, len(chunk))
        for i, place in enumerate(chunk):
            where = _index_of(site, place)
            patched[i * batch : (i + 1) * batch][where] = other[where]
        (output,) = rest.run(runs.base, boundary, [patched], len(chunk))
        for i, place in enumerate(chunk):
            yield place, evaluate_metric(pairs.metric, output[i * batch : (i + 1) * batch])


def program_behind(model: CircuitModel, site: Site) -> DownstreamProgram:
    """Return the program from a site to the model's output, written once per model."""
    return downstream_program(model, [site.node], [model.output.node])


def _index_of(site: Site, place: tuple[int, ...]) -> Index:
    """Return where a component, (position[, unit]), lies in the activation."""
    if site.layout is SiteLayout.HEAD:
        index: list[int | slice] = [slice(None)] * 4
        index[site.axes.position], index[site.axes.head] = place
        return tuple(index)
    return (slice(None), *place)
