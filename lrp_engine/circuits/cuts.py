"""Find full cuts: sites that every path from the embeddings to the output passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, fx

from ..graphs.nodes import value
from ..graphs.walk import closure
from .circuit_model import CircuitModel
from .sites import Site, SiteKind

# Names of the sites that form a cut together.
Cut = tuple[str, ...]


def find_cuts(model: CircuitModel, sites: Sequence[Site]) -> tuple[Cut, ...]:
    """Return every full cut among sites: each one that is a cut alone, and all embeddings together.

    The sizes of a tensor are the same in both runs and open no path.
    """
    found: list[Cut] = [(s.name,) for s in sites if _is_cut(model, s)]
    embedded = [s for s in sites if s.kind is SiteKind.EMBED]
    if len(embedded) > 1 and {s.node for s in embedded} >= set(model.embeddings):
        found.append(tuple(s.name for s in embedded))
    return tuple(found)


def _is_cut(model: CircuitModel, site: Site) -> bool:
    def find() -> bool:
        before = closure([model.output.node], _tensors, stop=lambda n: n is site.node)
        others = set(model.embeddings) - {site.node}
        return site.node in before and others.isdisjoint(before)

    return model.remember(("cut", site.node), find)


def _tensors(node: fx.Node) -> Iterable[fx.Node]:
    return (n for n in node.all_input_nodes if _is_tensor(n))


def _is_tensor(node: fx.Node) -> bool:
    found = value(node)
    return isinstance(found, Tensor) or (
        isinstance(found, (tuple, list)) and any(isinstance(part, Tensor) for part in found)
    )
