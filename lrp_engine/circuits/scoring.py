"""Score components with estimators: coefficients from the model's programs, times differences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, fx

from ..method.relevance import relevance_of, widen
from ..plan.influence import InputKind
from .circuit_model import CircuitModel
from .cuts import find_cuts
from .estimators import ESTIMATORS, Estimator, LinearEstimator, find_estimator
from .pairs import Pairs, differentiate_metric
from .run_pair import RunPair, run_both
from .scores import Direction, Scores
from .sites import Site


def score(
    model: CircuitModel,
    pairs: Pairs,
    components: Iterable[str] | str = ("resid_pre", "attn_out", "mlp_out"),
    *,
    estimator: str | Estimator = "relp",
    direction: Direction | str = Direction.DENOISE,
) -> Scores:
    """Score components with one estimator: how far patching each would move the metric.

    score = sum over features of c * (clean - corrupt activation), per prompt and position. Two
    forward passes and one relevance pass per batch (more for estimators with several terms).

    Args:
        model: the model to score.
        pairs: a batch of clean and corrupt prompts with their metric.
        components: kinds, hook names or module paths, or globs of these.
        estimator: a name in `ESTIMATORS`, or one of your own.
        direction: the run that is patched.

    Returns:
        Scores in units of the metric, (batch, position) or (batch, position, unit) per site.

    Raises:
        SourceError: a component is unknown.
        InputError: the estimator is unknown, or the prompts do not fit the capture.
        TargetError: the metric does not give one number per prompt.
        NotFiniteError: a coefficient is infinite or undefined; the message names its site.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> model, pairs = ioi_subject()
        >>> scores = score(model, pairs, "z", estimator="delta")
        >>> scores["blocks.3.attn.hook_z"].shape  # (prompt, position, head)
        torch.Size([4, 15, 4])
    """
    return compare(model, pairs, components, estimators=[estimator], direction=direction)[0]


def compare(
    model: CircuitModel,
    pairs: Pairs,
    components: Iterable[str] | str = ("resid_pre", "attn_out", "mlp_out"),
    *,
    estimators: Iterable[str | Estimator] = tuple(ESTIMATORS),
    direction: Direction | str = Direction.DENOISE,
) -> list[Scores]:
    """Score components with several estimators, which share the two runs.

    Takes and raises what `score` does; returns one `Scores` per estimator, in their order.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> model, pairs = ioi_subject()
        >>> [s.estimator for s in compare(model, pairs, "z", estimators=["gradient", "relp"])]
        ['gradient', 'relp']
    """
    direction, sites = Direction(direction), model.choose(components)
    nodes = tuple(dict.fromkeys(site.node for site in sites))
    candidates = [find_estimator(e) for e in estimators]
    terms = [term for e in candidates for part in e.parts for term in part.terms]
    runs = run_both(model, pairs, nodes, direction, terms)
    return [_score(model, pairs, runs, candidate, sites) for candidate in candidates]


def estimate_coefficients(
    model: CircuitModel,
    pairs: Pairs,
    runs: RunPair,
    estimator: LinearEstimator,
    nodes: Iterable[fx.Node],
) -> dict[fx.Node, Tensor]:
    """Compute the estimator's coefficient at each node that relevance reaches.

    Returns:
        Coefficients of the shape of each node's activation, in metric units per unit of it.
    """
    total: dict[fx.Node, Tensor] = {}
    for term in estimator.terms:
        found = runs.known.get(term)
        if found is None:
            program = model.coefficients(term.preset, tuple(nodes))
            seed = partial(differentiate_metric, pairs.metric)
            found = program.run(runs.inputs_of(model, term), seed).coefficients
        for node, c in found.items():
            c = c if term.weight == 1.0 else term.weight * widen(c)
            total[node] = total[node] + c if node in total else c
    return total


def _score(
    model: CircuitModel,
    pairs: Pairs,
    runs: RunPair,
    estimator: Estimator,
    sites: tuple[Site, ...],
) -> Scores:
    clean, corrupt = runs.metrics(pairs)
    nodes = tuple(dict.fromkeys(site.node for site in sites))
    found = [estimate_coefficients(model, pairs, runs, part, nodes) for part in estimator.parts]
    values = {}
    for site in sites:
        parts = [_values_at(site, runs, coefficients) for coefficients in found]
        values[site.name] = estimator.combine(parts, parts, clean - corrupt)
    scores = Scores(
        estimator.name,
        runs.direction,
        sites,
        values,
        clean,
        corrupt,
        cuts=find_cuts(model, sites),
    )
    unreached = [site.name for site in sites if all(site.node not in c for c in found)]
    return replace(scores, notes=tuple(_notes(model, scores, unreached)))


def _notes(model: CircuitModel, scores: Scores, unreached: Sequence[str]) -> Iterator[str]:
    yield from (str(use) for use in model.inputs if use.kind is InputKind.UNREACHED)
    if unreached:
        yield f"no relevance reaches: {', '.join(unreached)}"
    warning = scores.cut_sums.warning
    if warning is not None:
        yield warning


def _values_at(site: Site, runs: RunPair, coefficients: Mapping[fx.Node, Tensor]) -> Tensor:
    """Return the scores at a site, 0 where no relevance reaches it."""
    delta = runs.delta(site.node)
    if site.node not in coefficients:
        return torch.zeros_like(site.sum_features(delta))
    return site.sum_features(relevance_of(coefficients[site.node], delta))
