"""Say of a run what pictures have to know: axes, inputs, what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..plan.plan import Plan
from ..show.labels import Labels, SourceLabels
from ..show.questions import Question
from .axes import read_axes
from .inputs import count_versions
from .target import Seed

_MOST_CLASSES = 64
_LOGITS = frozenset({"logits", "scores"})
_STALE = "inputs were changed in place since they were explained: they are not shown"


def read_labels(plan: Plan, leaves: Sequence[Any], versions: tuple[int, ...], seed: Seed) -> Labels:
    """Return the labels of one explanation.

    Args:
        plan: Of the explanation.
        leaves: The inputs that were explained; of those that are sources, a copy is kept.
        versions: How often inputs and parameters had been changed in place then. Inputs that were
            changed since are left out, and a note says so.
        seed: Of what was explained.
    """
    axes, inputs = read_axes(plan), zip(plan.captured.inputs, leaves, strict=False)
    given = {port.node: leaf for port, leaf in inputs if isinstance(leaf, Tensor)}
    fresh = _inputs_unchanged(plan, leaves, versions)
    sources = {
        source.name: SourceLabels(
            axes=axes.get(source.name, ()),
            data=given[source.node].detach().clone() if fresh and source.node in given else None,
        )
        for source in plan.sources
    }
    return Labels(
        sources=sources,
        questions=read_questions(seed, plan.output.node.meta["val"].dim()),
        unit="logit" if plan.output.name in _LOGITS else "",
        notes=() if fresh else (_STALE,),
    )


def _inputs_unchanged(plan: Plan, leaves: Sequence[Any], versions: tuple[int, ...]) -> bool:
    inputs = len(versions) - len(plan.captured.counted)
    return count_versions(plan.captured, leaves)[:inputs] == versions[:inputs]


def read_questions(seed: Seed, axes: int = 2) -> tuple[Question, ...]:
    """Return what was explained of each sample, read off the coefficient of the output.

    Args:
        seed: Its coefficient is (batch, classes), or zero but for one row per sample.
        axes: Of the output. One with more is explained in words: too much is asked at once.
    """
    samples = len(seed.explained.reshape(-1))
    if seed.row is not None:
        rows = seed.row.rows.tolist()
        weights = seed.row.weights.detach().cpu()
        return tuple(_question(w, position) for w, position in zip(weights, rows, strict=True))
    if axes > 2:
        return (Question(about="a function of the output"),) * samples
    dense = seed.dense().detach().cpu()
    if dense.dim() < 2 or dense.shape[1] == 1:
        return (Question(about="the output"),) * samples
    return tuple(_question(weights) for weights in dense)


def _question(weights: Tensor, position: int | None = None) -> Question:
    """Return the question that weights (classes,) ask."""
    classes = weights.nonzero().flatten().tolist()
    if len(classes) > _MOST_CLASSES:
        return Question(about="a function of the output", position=position)
    ordered = sorted(classes, key=lambda index: -float(weights[index]))
    return Question(tuple((index, float(weights[index])) for index in ordered), position)
