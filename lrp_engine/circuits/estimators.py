"""Estimators of what patching would do: where a coefficient is taken, and under which rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, fx

from ..errors import InputError
from .circuit_model import CircuitModel
from .pairs import Pairs, measured, slope
from .scores import Direction, Scores
from .sites import Site, wide


@dataclass(frozen=True)
class Estimator:
    """score = sum of weight * coefficient at the points of a path, times (clean - corrupt).

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
    """One coefficient, on the patched run itself."""
    return Estimator(name, ((0.0, 1.0, preset),), cites, about)


def along_path(name: str, preset: str, steps: int, cites: str, about: str) -> Estimator:
    """The mean coefficient at the midpoints of `steps` equal parts of the path."""
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


def estimator(chosen: str | Estimator) -> Estimator:
    """An estimator by name. Raises InputError for unknown names."""
    if isinstance(chosen, Estimator):
        return chosen
    if chosen not in ESTIMATORS:
        raise InputError(f"unknown estimator {chosen!r}; there is {', '.join(ESTIMATORS)}")
    return ESTIMATORS[chosen]


@dataclass(frozen=True)
class Both:
    """The two runs of a batch: base (patched) and other (what it is patched with).

    Inputs of each, then its output, then activations by node. `known` holds coefficients on the
    base run by preset, where they came with it.
    """

    direction: Direction
    base: list[Tensor]
    other: list[Tensor]
    base_output: Tensor
    other_output: Tensor
    base_values: Mapping[fx.Node, Tensor]
    other_values: Mapping[fx.Node, Tensor]
    known: Mapping[str, Mapping[fx.Node, Tensor]]

    def delta(self, node: fx.Node) -> Tensor:
        """Clean less corrupt activation."""
        change = wide(self.other_values[node]) - wide(self.base_values[node])
        return change if self.direction is Direction.DENOISE else -change

    def clean_and_corrupt(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """The metric of the two runs."""
        a, b = (measured(pairs.metric, o) for o in (self.base_output, self.other_output))
        return (b, a) if self.direction is Direction.DENOISE else (a, b)


def both_runs(
    model: CircuitModel,
    pairs: Pairs,
    nodes: Iterable[fx.Node],
    direction: Direction,
    first: str | None = None,
) -> Both:
    """Runs clean and corrupt inputs and keeps the activations at the nodes.

    `first` names a preset whose coefficients on the base run are taken along: the base is then run
    only once.
    """
    wanted = tuple(dict.fromkeys(nodes))
    given = [model.leaves(pairs.corrupt), model.leaves(pairs.clean)]
    base, other = given if direction is Direction.DENOISE else given[::-1]
    known: dict[str, Mapping[fx.Node, Tensor]] = {}
    if first is None:
        base_output, found = model.activations(wanted, base)
        base_values: Mapping[fx.Node, Tensor] = dict(zip(wanted, found, strict=True))
    else:
        run = model.coefficients(first, wanted).run(base, partial(slope, pairs.metric))
        base_output, base_values, known[first] = run.output, run.activations, run.coefficients
    other_output, other_values = model.activations(wanted, other)
    return Both(
        direction,
        base,
        other,
        base_output,
        other_output,
        base_values,
        dict(zip(wanted, other_values, strict=True)),
        known,
    )


def score(
    model: CircuitModel,
    pairs: Pairs,
    components: Iterable[str] | str = ("resid_pre", "attn_out", "mlp_out"),
    *,
    estimator: str | Estimator = "relp",
    direction: Direction | str = Direction.DENOISE,
) -> Scores:
    """Scores components with one estimator: how far patching each would move the metric.

    score = sum over features of c * (clean - corrupt activation), per prompt and position. Two
    forward passes and one relevance pass per batch (more for estimators with several points).

    Raises SourceError for unknown components, InputError, TargetError.

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
    """Scores by several estimators side by side; the two runs are shared."""
    direction, sites = Direction(direction), model.choose(components)
    nodes = tuple(dict.fromkeys(site.node for site in sites))
    candidates = [_estimator(e) for e in estimators]
    starts = [preset for e in candidates for t, _, preset in e.points if t == 0]
    both = both_runs(model, pairs, nodes, direction, first=starts[0] if starts else None)
    found = []
    for chosen in candidates:
        total = coefficients(model, pairs, both, chosen, nodes)
        found.append(_scores(chosen.name, sites, both, total, pairs))
    return found


_estimator = estimator


def coefficients(
    model: CircuitModel, pairs: Pairs, both: Both, chosen: Estimator, nodes: tuple[fx.Node, ...]
) -> dict[fx.Node, Tensor]:
    """The estimator's coefficient at each node that relevance reaches."""
    total: dict[fx.Node, Tensor] = {}
    for t, weight, preset in chosen.points:
        found = both.known.get(preset) if t == 0 else None
        if found is None:
            leaves = list(both.base)
            for i in model.embedding_places() if t else ():
                leaves[i] = torch.lerp(both.base[i], both.other[i], t)
            program = model.coefficients(preset, nodes)
            found = program.run(leaves, partial(slope, pairs.metric)).coefficients
        for node, c in found.items():
            c = c if weight == 1.0 else weight * wide(c)
            total[node] = total[node] + c if node in total else c
    return total


def _scores(
    name: str,
    sites: tuple[Site, ...],
    both: Both,
    found: Mapping[fx.Node, Tensor],
    pairs: Pairs,
) -> Scores:
    values, unreached = {}, []
    for site in sites:
        delta = both.delta(site.node)
        if site.node in found:
            values[site.name] = site.reduced(wide(found[site.node]) * delta)
        else:
            unreached.append(site.name)
            values[site.name] = torch.zeros_like(site.reduced(delta))
    clean, corrupt = both.clean_and_corrupt(pairs)
    notes = (f"no relevance reaches: {', '.join(unreached)}",) if unreached else ()
    return Scores(name, both.direction, sites, values, clean, corrupt, notes)
