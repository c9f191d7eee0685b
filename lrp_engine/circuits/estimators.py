"""Estimate what patching would do: where a coefficient is taken, and under which rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, fx

from ..errors import InputError
from ..method.relevance import widen
from .circuit_model import CircuitModel
from .pairs import Pairs, differentiate_metric
from .run_pair import RunPair, run_both
from .scores import Direction, Scores
from .sites import Site


@dataclass(frozen=True)
class Estimator:
    """An estimate of patching: weighted coefficients at points of a path, times (clean - corrupt).

    The path runs over embeddings: point t is base + t (other - base), where `base` is the run that
    is patched. `points` holds (t, weight, preset); one point at t = 0 is attribution patching.
    """

    name: str
    points: tuple[tuple[float, float, str], ...]
    cites: str
    about: str

    @property
    def passes(self) -> int:
        """Forward and relevance passes per batch."""
        return len(self.points)


def at_base(name: str, preset: str, cites: str, about: str) -> Estimator:
    """Make the estimator that takes one coefficient, on the patched run itself."""
    return Estimator(name, ((0.0, 1.0, preset),), cites, about)


def along_path(name: str, preset: str, steps: int, cites: str, about: str) -> Estimator:
    """Make the estimator that averages coefficients at the midpoints of `steps` equal parts."""
    points = tuple(((i + 0.5) / steps, 1 / steps, preset) for i in range(steps))
    return Estimator(name, points, cites, about)


ESTIMATORS: Mapping[str, Estimator] = {
    e.name: e
    for e in (
        at_base("gradient", "gradient", "nanda2023", "attribution patching: the plain gradient"),
        at_base("relp", "relp", "relp2025", "RelP: LN-, identity, half and 0-rule"),
        at_base("relp_ah", "relp_ah", "relp2025", "RelP with attention weights held constant"),
        at_base("attnlrp", "attnlrp", "achtibat2024", "the coefficients of AttnLRP"),
        along_path("eap_ig", "gradient", 5, "hanna2024", "gradients over the path of embeddings"),
        along_path("relp_mid", "relp", 1, "relp2025", "RelP halfway between the runs"),
        along_path("relp_ig", "relp", 2, "relp2025", "RelP at two points of the path"),
    )
}


def find_estimator(estimator: str | Estimator) -> Estimator:
    """Return an estimator by name, or the one given.

    Raises:
        InputError: the name is unknown.
    """
    if isinstance(estimator, Estimator):
        return estimator
    if estimator not in ESTIMATORS:
        raise InputError(f"unknown estimator {estimator!r}; choose from: {', '.join(ESTIMATORS)}")
    return ESTIMATORS[estimator]


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
    forward passes and one relevance pass per batch (more for estimators with several points).

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

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> model, pairs = ioi_subject()
        >>> scores = score(model, pairs, "z")
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
    at_start = [preset for e in candidates for t, _, preset in e.points if t == 0]
    runs = run_both(model, pairs, nodes, direction, first=at_start[0] if at_start else None)
    found = []
    for candidate in candidates:
        coefficients = estimate_coefficients(model, pairs, runs, candidate, nodes)
        found.append(_scores(candidate.name, sites, runs, coefficients, pairs))
    return found


def estimate_coefficients(
    model: CircuitModel, pairs: Pairs, runs: RunPair, estimator: Estimator, nodes: Iterable[fx.Node]
) -> dict[fx.Node, Tensor]:
    """Compute the estimator's coefficient at each node that relevance reaches.

    Returns:
        Coefficients of the shape of each node's activation, in metric units per unit of it.
    """
    total: dict[fx.Node, Tensor] = {}
    for t, weight, preset in estimator.points:
        found = runs.known.get(preset) if t == 0 else None
        if found is None:
            program = model.coefficients(preset, tuple(nodes))
            seed = partial(differentiate_metric, pairs.metric)
            found = program.run(runs.inputs_at(model, t), seed).coefficients
        for node, c in found.items():
            c = c if weight == 1.0 else weight * widen(c)
            total[node] = total[node] + c if node in total else c
    return total


def _scores(
    name: str,
    sites: tuple[Site, ...],
    runs: RunPair,
    coefficients: Mapping[fx.Node, Tensor],
    pairs: Pairs,
) -> Scores:
    values, unreached = {}, []
    for site in sites:
        delta = runs.delta(site.node)
        if site.node in coefficients:
            values[site.name] = site.sum_features(widen(coefficients[site.node]) * delta)
        else:
            unreached.append(site.name)
            values[site.name] = torch.zeros_like(site.sum_features(delta))
    clean, corrupt = runs.metrics(pairs)
    notes = (f"no relevance reaches: {', '.join(unreached)}",) if unreached else ()
    return Scores(name, runs.direction, sites, values, clean, corrupt, notes)
