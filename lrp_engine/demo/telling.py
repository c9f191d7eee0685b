"""Say of an explanation what was asked, and bring it into the axes that are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from ..results.explanation import Explanation
from ..show.questions import Question


def asked(explanation: Explanation, about: str) -> Explanation:
    """Return an explanation of one sample with the question in words: `why A3, at 1.5 s?`."""
    labels = replace(explanation.labels, questions=(Question(about=about),))
    return explanation.labelled(labels)


def arranged(
    explanation: Explanation, arrange: Callable[[Tensor], Tensor], name: str
) -> Explanation:
    """Return an explanation whose only source has other axes, and another name.

    Args:
        explanation: The explanation.
        arrange: Takes relevance of the source; moves and sums its entries, (1, ...).
        name: Of the result: what its entries are.
    """
    (relevance,) = explanation.relevance.values()
    (arrived,) = explanation.ledger.arrived.values()
    return replace(
        explanation,
        relevance={name: arrange(relevance)},
        coefficient={},  # sums of relevance have none
        stored_ledger=replace(explanation.ledger, arrived={name: arrived}),
        stored_labels=replace(explanation.labels, sources={}),
        compute_labels=None,
    )
