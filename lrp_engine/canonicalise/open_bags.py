"""Take bags of embeddings apart, so that every row that is looked up has its own relevance."""

from __future__ import annotations

from dataclasses import replace

from ..capture import Captured
from .decompose import decompose
from .embedding_bags import BAGS
from .grid_bags import open_grid_bags


def open_bags(captured: Captured) -> Captured:
    """Replace every bag of embeddings by a look-up and a sum, mean or maximum per bag.

    Requires nothing. Ensures that no such op is left. As with every decomposition, results may
    differ in the last bits: the model is compared once.
    """
    why = "every row has its own relevance"
    names = {str(node.target) for node in captured.graph.nodes if node.target in BAGS}
    if not names:
        return captured
    grids = open_grid_bags(captured)
    flat = captured if grids is None else grids.captured
    nodes = {node: why for node in flat.graph.nodes if node.target in BAGS}
    opened = decompose(flat, nodes) if nodes else None
    found = flat if opened is None else opened.captured
    return replace(found, taken_apart=tuple(sorted({*found.taken_apart, *names})))
