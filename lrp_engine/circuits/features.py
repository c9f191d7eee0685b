"""Score and patch sparse features: an SAE or transcoder in the model, and its error term.

An SAE splits an activation: x = decode(f) + error with f = encode(x). Spliced in this way the model
computes what it did before, and every feature, and the error, is a component. A transcoder reads
one activation (an MLP's input) and writes another (its output).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, fx

from ..capture.ambient import leave_inference, leave_modes
from ..errors import InputError
from ..markup import MOST_ROWS, Overview, Shown
from ..markup.numbers import signed
from ..method.relevance import widen
from .circuit_model import CircuitModel
from .downstream import repeat_batch
from .estimators import Estimator, find_estimator
from .pairs import Pairs, evaluate_metric
from .patching import program_behind
from .run_pair import RunPair, run_both
from .scores import Direction
from .scoring import estimate_coefficients
from .sites import Site, SiteLayout

_TINY = 1e-3


class Dictionary(Protocol):
    """An SAE or transcoder: a module with `encode`, and with `decode`, which must be affine."""

    def encode(self, x: Tensor, /) -> Tensor:
        """Return features, (..., feature), of activations, (..., width)."""

    def decode(self, features: Tensor, /) -> Tensor:
        """Return activations, (..., width), of features, (..., feature)."""


@dataclass(frozen=True)
class Splice:
    """A dictionary at a place.

    Args:
        at: what it writes: a component kind, hook name or module path.
        dictionary: the SAE or transcoder.
        reads: what it reads, for a transcoder; default: what it writes.
    """

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


@dataclass(frozen=True, repr=False)
class FeatureScores(Shown):
    """Scores of features and error terms, in units of the metric.

    `features[site]` is (batch, position, feature), `errors[site]` (batch, position). The score of a
    feature is c_f (f_clean - f_corrupt), with c_f the decoder's transpose of the site's
    coefficient; features and error sum to the site's own score (but for `delta_plus`, which weighs
    each by its own effect). `clean` and `corrupt`, (batch,), are the metric of the two runs.
    """

    estimator: str
    direction: Direction
    features: Mapping[str, Tensor]
    errors: Mapping[str, Tensor]
    clean: Tensor
    corrupt: Tensor

    def ranking(self) -> list[tuple[Feature, float]]:
        """Rank features and errors by absolute mean score, positions summed, largest first."""
        found = []
        for site, values in self.features.items():
            sums = values.mean(0).sum(0)
            found += [
                (Feature(site, i), float(sums[i])) for i in torch.nonzero(sums)[:, 0].tolist()
            ]
            found.append((Feature(site, None), float(self.errors[site].mean(0).sum())))
        return sorted(found, key=lambda item: -abs(item[1]))

    def overview(self) -> Overview:
        """Return the features of largest score."""
        ranking = self.ranking()
        return Overview(
            title=f"scores of features and errors by {self.estimator}, {self.direction.value}",
            facts=(("prompts", str(len(self.clean))), ("sites", ", ".join(self.features))),
            head=("feature", "mean score#"),
            rows=[(feature.name, signed(score)) for feature, score in ranking[:MOST_ROWS]],
            left_out=max(0, len(ranking) - MOST_ROWS),
        )

    def top(self, count: int = 10) -> list[tuple[Feature, float]]:
        """Return the `count` features of largest absolute score."""
        return self.ranking()[:count]


@dataclass(frozen=True)
class PlacedDictionary:
    """A splice with its sites."""

    site: Site
    reads: Site
    dictionary: Dictionary

    def encode(self, values: Mapping[fx.Node, Tensor]) -> tuple[Tensor, Tensor]:
        """Return (features, error) of one run."""
        with torch.no_grad():
            features = self.dictionary.encode(values[self.reads.node])
            return features, values[self.site.node] - self.dictionary.decode(features)

    def decode_change(self, change: Tensor) -> Tensor:
        """Return what a change of the features writes: the decoder without its bias."""
        with torch.no_grad():
            decode = self.dictionary.decode
            return decode(change) - decode(torch.zeros_like(change[:1, :1]))

    def changes(self, runs: RunPair) -> tuple[Tensor, Tensor]:
        """Return clean - corrupt features, and the same of the error term."""
        base, other = self.encode(runs.base_values), self.encode(runs.other_values)
        found = [runs.sign * (widen(o) - widen(b)) for b, o in zip(base, other, strict=True)]
        return found[0], found[1]

    @leave_modes()
    def pull_back(self, c: Tensor, count: int) -> Tensor:
        """Apply the decoder's transpose: c at the activation becomes c at its `count` features."""
        zero = widen(c.new_zeros(*c.shape[:-1], count)).requires_grad_()
        with torch.enable_grad():
            out = self.dictionary.decode(zero)
            (back,) = torch.autograd.grad(out, zero, c.to(out.dtype))
        return back


@leave_inference()
def score_features(
    model: CircuitModel,
    pairs: Pairs,
    splices: Sequence[Splice],
    *,
    estimator: str | Estimator = "relp",
    direction: Direction | str = Direction.DENOISE,
) -> FeatureScores:
    """Score every feature of every dictionary, and its error term, in one relevance pass.

    Args:
        model: the model to score.
        pairs: a batch of clean and corrupt prompts with their metric.
        splices: dictionaries with their places.
        estimator: a name in `ESTIMATORS`, or one of your own.
        direction: the run that is patched.

    Raises:
        SourceError: a place is unknown.
        InputError: a place is not one (batch, position, feature) activation, or a decoder is not
            affine.

    Example:
        >>> import torch
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> class Identity:  # an SAE whose features are the activation's own entries
        ...     def encode(self, x):
        ...         return x
        ...
        ...     def decode(self, features):
        ...         return features
        >>> model, pairs = ioi_subject()
        >>> scores = score_features(model, pairs, [Splice("blocks.3.hook_mlp_out", Identity())])
        >>> scores.features["blocks.3.hook_mlp_out"].shape  # (prompt, position, feature)
        torch.Size([4, 15, 96])
    """
    direction, chosen = Direction(direction), find_estimator(estimator)
    placed = place_all(model, splices)
    nodes = nodes_of(placed)
    terms = [term for part in chosen.parts for term in part.terms]
    runs = run_both(model, pairs, nodes, direction, terms)
    found = [estimate_coefficients(model, pairs, runs, part, nodes) for part in chosen.parts]
    clean, corrupt = runs.metrics(pairs)
    features, errors = {}, {}
    for p in placed:
        require_affine(p, runs.base_values[p.reads.node])
        parts = [_score_dictionary(p, runs, c) for c in found]
        features[p.site.name], errors[p.site.name] = (
            chosen.combine(several, several, clean - corrupt)
            for several in zip(*parts, strict=True)
        )
    return FeatureScores(chosen.name, direction, features, errors, clean, corrupt)


def _score_dictionary(
    p: PlacedDictionary, runs: RunPair, coefficients: Mapping[fx.Node, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the scores of the features, (batch, position, feature), and of the error term."""
    change, lost = p.changes(runs)
    c = coefficients.get(p.site.node, torch.zeros_like(lost)).to(lost.dtype)
    return p.pull_back(c, change.shape[-1]) * change, p.site.sum_features(c * lost)


def place_dictionary(model: CircuitModel, splice: Splice) -> PlacedDictionary:
    """Find the sites of a splice.

    Raises:
        SourceError: a place is unknown.
        InputError: a place is not one (batch, position, feature) activation.
    """
    found = [model.choose(name) for name in (splice.at, splice.reads or splice.at)]
    for name, sites in zip((splice.at, splice.reads), found, strict=True):
        if len(sites) != 1 or sites[0].layout is not SiteLayout.POSITION:
            raise InputError(
                f"a dictionary belongs at one (batch, position, feature) activation; {name!r} names"
                f" {', '.join(s.name for s in sites)}"
            )
    return PlacedDictionary(found[0][0], found[1][0], splice.dictionary)


def place_all(model: CircuitModel, splices: Iterable[Splice]) -> list[PlacedDictionary]:
    """Find the sites of several splices; raise InputError if two are at one place."""
    placed = [place_dictionary(model, splice) for splice in splices]
    sites = [p.site for p in placed]
    for i, site in enumerate(sites):
        if any(site.node is other.node for other in sites[:i]):
            raise InputError(f"two dictionaries are at one place, {site.name}: give one per place")
    return placed


def nodes_of(placed: Iterable[PlacedDictionary]) -> tuple[fx.Node, ...]:
    """Return every node that dictionaries write or read, once."""
    return tuple(dict.fromkeys(n for p in placed for n in (p.site.node, p.reads.node)))


def require_affine(p: PlacedDictionary, x: Tensor) -> None:
    """Raise InputError if the decoder is not affine, for activations like x."""
    with torch.no_grad():
        f = p.dictionary.encode(x[:1, :1])
        f = f + torch.linspace(0, 1, f.shape[-1], dtype=f.dtype, device=f.device)
        once, twice = p.decode_change(f), p.decode_change(2 * f)
    if not torch.allclose(2 * once, twice, rtol=_TINY, atol=_TINY * float(once.abs().max())):
        raise InputError(
            f"the decoder at {p.site.name} is not affine, so one feature's effect depends on the"
            " others: use a dictionary with an affine decoder"
        )


@leave_inference()
def patch_features(
    model: CircuitModel,
    pairs: Pairs,
    splice: Splice,
    features: Iterable[int | None],
    *,
    direction: Direction | str = Direction.DENOISE,
) -> dict[int | None, Tensor]:
    """Patch one feature at a time, exactly, at all positions at once.

    Args:
        model: the model to patch.
        pairs: a batch of clean and corrupt prompts with their metric.
        splice: a dictionary with its place.
        features: numbers of features; None is the error term.
        direction: the run that is patched.

    Returns:
        The score of each feature in units of the metric, (batch,).
    """
    direction, p = Direction(direction), place_dictionary(model, splice)
    runs = run_both(model, pairs, nodes_of([p]), direction)
    change, lost = p.changes(runs)
    rest = program_behind(model, p.site)
    _, boundary = model.activations(rest.boundary, runs.base)
    start = evaluate_metric(pairs.metric, runs.base_output)
    found: dict[int | None, Tensor] = {}
    for index in features:
        only = torch.zeros_like(change)
        if index is not None:
            only[..., index] = change[..., index]
        moved = lost if index is None else p.decode_change(only)
        base = repeat_batch(runs.base_values[p.site.node], 1)
        patched = base + runs.sign * moved.to(start.dtype)
        (output,) = rest.run(runs.base, boundary, [patched], 1)
        found[index] = runs.sign * (evaluate_metric(pairs.metric, output) - start)
    return found
