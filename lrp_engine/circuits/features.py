"""Sparse features: an SAE or transcoder at a place in the model, its features and its error term.

An SAE splits an activation: x = decode(f) + error with f = encode(x). Spliced in this way the model
computes what it did before, and every feature, and the error, is a component. A transcoder reads
one activation (an MLP's input) and writes another (its output).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, fx

from ..errors import InputError
from .ablation import Ablation
from .circuit_model import CircuitModel
from .downstream import stack
from .estimators import (
    Both,
    Estimator,
    both_runs,
    coefficients,
    estimator,
)
from .pairs import Pairs, measured
from .patching import suffix_of
from .scores import Direction
from .sites import Layout, Site, wide

_TINY = 1e-3


class Dictionary(Protocol):
    """Any module with `encode` and `decode`; decode must be affine."""

    def encode(self, x: Tensor, /) -> Tensor:
        """(..., width) -> (..., features)."""

    def decode(self, features: Tensor, /) -> Tensor:
        """(..., features) -> (..., width)."""


@dataclass(frozen=True)
class Splice:
    """A dictionary at a place: `at` is a component kind, hook name or module path that it writes;
    `reads` is where it reads, for a transcoder (default: the same place)."""

    at: str
    dictionary: Dictionary
    reads: str | None = None


@dataclass(frozen=True)
class Feature:
    """One feature at one site; `index` None is the error term."""

    site: str
    index: int | None

    @property
    def name(self) -> str:
        """`blocks.2.hook_mlp_out/f17`, or `.../error`."""
        return f"{self.site}/{'error' if self.index is None else f'f{self.index}'}"


@dataclass(frozen=True)
class FeatureScores:
    """`features[site]` is (batch, position, feature), `errors[site]` (batch, position).

    score of a feature = c_f (f_clean - f_corrupt), with c_f the decoder's transpose of the site's
    coefficient; features and error sum to the site's own score.
    """

    estimator: str
    direction: Direction
    features: Mapping[str, Tensor]
    errors: Mapping[str, Tensor]
    clean: Tensor
    corrupt: Tensor

    def ranked(self) -> list[tuple[Feature, float]]:
        """Features and errors by absolute mean score, positions summed, largest first."""
        found = []
        for site, values in self.features.items():
            sums = values.mean(0).sum(0)
            found += [
                (Feature(site, i), float(sums[i])) for i in torch.nonzero(sums)[:, 0].tolist()
            ]
            found.append((Feature(site, None), float(self.errors[site].mean(0).sum())))
        return sorted(found, key=lambda item: -abs(item[1]))

    def top(self, count: int = 10) -> list[tuple[Feature, float]]:
        """The `count` features of largest absolute score."""
        return self.ranked()[:count]


@dataclass(frozen=True)
class Placed:
    """A splice with its sites."""

    site: Site
    reads: Site
    dictionary: Dictionary

    def encode(self, values: Mapping[fx.Node, Tensor]) -> tuple[Tensor, Tensor]:
        """(features, error) of one run."""
        with torch.no_grad():
            features = self.dictionary.encode(values[self.reads.node])
            return features, values[self.site.node] - self.dictionary.decode(features)

    def written(self, change: Tensor) -> Tensor:
        """What a change of the features writes: the decoder without its bias."""
        with torch.no_grad():
            decode = self.dictionary.decode
            return decode(change) - decode(torch.zeros_like(change[:1, :1]))


def score_features(
    model: CircuitModel,
    pairs: Pairs,
    splices: Sequence[Splice],
    *,
    estimator: str | Estimator = "relp",
    direction: Direction | str = Direction.DENOISE,
) -> FeatureScores:
    """Scores every feature of every dictionary, and its error term, in one relevance pass.

    Raises SourceError for an unknown place; InputError if a place is not (batch, position,
    feature) or a decoder is not affine.
    """
    direction, chosen = Direction(direction), _estimator(estimator)
    placed = [place(model, splice) for splice in splices]
    nodes = tuple(dict.fromkeys(n for p in placed for n in (p.site.node, p.reads.node)))
    both = both_runs(model, pairs, nodes, direction)
    found = coefficients(model, pairs, both, chosen, nodes)
    features, errors = {}, {}
    for p in placed:
        _refuse_curved(p, both.base_values[p.reads.node])
        change, lost = _changes(p, both)
        c = found.get(p.site.node, torch.zeros_like(lost)).to(lost.dtype)
        features[p.site.name] = _pulled_back(p, c, change) * change
        errors[p.site.name] = p.site.reduced(c * lost)
    clean, corrupt = both.clean_and_corrupt(pairs)
    return FeatureScores(chosen.name, direction, features, errors, clean, corrupt)


_estimator = estimator


def place(model: CircuitModel, splice: Splice) -> Placed:
    """Finds the sites of a splice. Raises SourceError and InputError."""
    found = [model.choose(name) for name in (splice.at, splice.reads or splice.at)]
    for name, sites in zip((splice.at, splice.reads), found, strict=True):
        if len(sites) != 1 or sites[0].layout is not Layout.POSITION:
            raise InputError(
                f"a dictionary belongs at one (batch, position, feature) activation; {name!r} names"
                f" {', '.join(s.name for s in sites)}"
            )
    return Placed(found[0][0], found[1][0], splice.dictionary)


def _changes(p: Placed, both: Both) -> tuple[Tensor, Tensor]:
    """Clean less corrupt features, and the same of the error term."""
    base, other = p.encode(both.base_values), p.encode(both.other_values)
    sign = 1 if both.direction is Direction.DENOISE else -1
    changes = [sign * (wide(o) - wide(b)) for b, o in zip(base, other, strict=True)]
    return changes[0], changes[1]


def _pulled_back(p: Placed, c: Tensor, like: Tensor) -> Tensor:
    """The decoder's transpose: what c at the activation is at its features."""
    zero = torch.zeros_like(like, requires_grad=True)
    with torch.enable_grad():
        out = p.dictionary.decode(zero)
        (back,) = torch.autograd.grad(out, zero, c.to(out.dtype))
    return back


def _refuse_curved(p: Placed, x: Tensor) -> None:
    with torch.no_grad():
        f = p.dictionary.encode(x[:1, :1])
        f = f + torch.linspace(0, 1, f.shape[-1], dtype=f.dtype, device=f.device)
        once, twice = p.written(f), p.written(2 * f)
    if not torch.allclose(2 * once, twice, rtol=_TINY, atol=_TINY * float(once.abs().max())):
        raise InputError(
            f"the decoder at {p.site.name} is not affine: features could not be told from each"
            " other's effect"
        )


def patch_features(
    model: CircuitModel,
    pairs: Pairs,
    splice: Splice,
    features: Iterable[int | None],
    *,
    direction: Direction | str = Direction.DENOISE,
) -> dict[int | None, Tensor]:
    """Exact patching, per prompt: one feature (None: the error) at all positions at a time."""
    direction, p = Direction(direction), place(model, splice)
    both = both_runs(model, pairs, (p.site.node, p.reads.node), direction)
    change, lost = _changes(p, both)
    sign = 1 if direction is Direction.DENOISE else -1
    rest = suffix_of(model, p.site)
    _, boundary = model.activations(rest.boundary, both.base)
    start = measured(pairs.metric, both.base_output)
    found: dict[int | None, Tensor] = {}
    for index in features:
        only = torch.zeros_like(change)
        if index is not None:
            only[..., index] = change[..., index]
        moved = lost if index is None else p.written(only)
        patched = stack(both.base_values[p.site.node], 1) + sign * moved.to(start.dtype)
        (output,) = rest.run(both.base, boundary, [patched], 1)
        found[index] = sign * (measured(pairs.metric, output) - start)
    return found


@dataclass(frozen=True)
class FeatureCurve:
    """Faithfulness f = (m(kept) - m(none)) / (m(all) - m(none)) with only `counts[i]` features (and
    errors) kept, and with just those taken away (`without`: completeness wants it near 0)."""

    counts: tuple[int, ...]
    faithfulness: tuple[float, ...]
    without: tuple[float, ...]


def feature_curve(
    model: CircuitModel,
    pairs: Pairs,
    splices: Sequence[Splice],
    scores: FeatureScores,
    counts: Sequence[int],
    *,
    ablation: Ablation | str = Ablation.RESAMPLE,
) -> FeatureCurve:
    """Keeps the top features of a clean run and ablates the others, at every dictionary at once.

    RESAMPLE puts the corrupt run's features in their place, MEAN the mean over the clean prompts.
    """
    placed = [place(model, splice) for splice in splices]
    nodes = tuple(dict.fromkeys(n for p in placed for n in (p.site.node, p.reads.node)))
    clean = model.leaves(pairs.clean)
    base = clean if Ablation(ablation) is Ablation.MEAN else model.leaves(pairs.corrupt)
    _, values = model.activations(nodes, base)
    if Ablation(ablation) is Ablation.MEAN:
        values = [torch.empty_like(v).copy_(v.mean(0, keepdim=True)) for v in values]
    stand_in = {p.site.node: p.encode(dict(zip(nodes, values, strict=True))) for p in placed}
    ranked = [feature for feature, _ in scores.ranked()]

    def metric(kept: set[Feature]) -> float:
        run = _Spliced(model, placed, stand_in, kept)
        return float(measured(pairs.metric, run.model_output(clean)).mean())

    everything = _all_features(placed, stand_in)
    full, none = metric(everything), metric(set())
    chosen = [set(ranked[:count]) for count in counts]
    faith = [(metric(kept) - none) / (full - none) for kept in chosen]
    without = [(metric(everything - kept) - none) / (full - none) for kept in chosen]
    return FeatureCurve(tuple(counts), tuple(faith), tuple(without))


def _all_features(
    placed: Sequence[Placed], stand_in: Mapping[fx.Node, tuple[Tensor, Tensor]]
) -> set[Feature]:
    widths = {p.site.name: stand_in[p.site.node][0].shape[-1] for p in placed}
    named = {Feature(site, i) for site, count in widths.items() for i in range(count)}
    return named | {Feature(p.site.name, None) for p in placed}


class _Spliced(fx.Interpreter):
    """Runs the captured graph with dictionaries spliced in, features outside `kept` ablated."""

    def __init__(
        self,
        model: CircuitModel,
        placed: Sequence[Placed],
        stand_in: Mapping[fx.Node, tuple[Tensor, Tensor]],
        kept: set[Feature],
    ) -> None:
        super().__init__(fx.GraphModule(dict(model.graph.tensors), model.graph.graph))
        # The module holds a copy of the graph: its nodes go by name.
        self.places = {p.site.node.name: p for p in placed}
        self.stand_in, self.kept, self.seen = stand_in, kept, dict[str, Tensor]()
        self.output_name = model.output.node.name

    def model_output(self, leaves: Sequence[Tensor]) -> Tensor:
        """The model's output."""
        with torch.no_grad():
            self.run(*leaves)
        return self.seen[self.output_name]

    def run_node(self, n: fx.Node) -> Any:
        """Runs one node; at a dictionary's place its result is put together anew."""
        result = super().run_node(n)
        if n.name in self.places:
            result = self._spliced(self.places[n.name], result)
        reads = {p.reads.node.name for p in self.places.values()}
        if n.name in reads or n.name == self.output_name:
            self.seen[n.name] = result
        return result

    def _spliced(self, p: Placed, x: Tensor) -> Tensor:
        read = x if p.reads.node is p.site.node else self.seen[p.reads.node.name]
        features, error = p.encode({p.reads.node: read, p.site.node: x})
        other, other_error = self.stand_in[p.site.node]
        site = p.site.name
        keep = torch.tensor([Feature(site, i) in self.kept for i in range(features.shape[-1])])
        features = torch.where(keep.to(features.device), features, other)
        error = error if Feature(site, None) in self.kept else other_error
        return p.dictionary.decode(features) + error
