"""Take bags of embeddings apart, so that every row that is looked up has its own relevance."""

from __future__ import annotations

from ..capture import Captured
from .decompose import decompose
from .embedding_bags import BAGS


def open_bags(captured: Captured) -> Captured:
    """Replace every bag of embeddings by a look-up and a sum, mean or maximum per bag.

    Requires nothing. Ensures that no such op is left. As with every decomposition, results may
    differ in the last bits: the model is compared once.
    """
    why = "every row has its own relevance"
    nodes = {node: why for node in captured.graph.nodes if node.target in BAGS}
    opened = decompose(captured, nodes) if nodes else None
    return captured if opened is None else opened.captured
