"""Let an explanation know what its data are: words, images, features, class names."""

from __future__ import annotations

from dataclasses import fields, replace

from ..results.explanation import Explanation
from ..show.labels import Labels, SourceLabels
from .batch import THE_SOURCE, Batch
from .opened import OpenedModel


def label(explanation: Explanation, batch: Batch, opened: OpenedModel) -> Explanation:
    """Return an explanation with the labels of its batch and of the model's classes."""
    known = explanation.labels
    for name, own in batch.sources.items():
        source = _source_called(name, explanation)
        if source is not None:
            known = known.with_source(source, _joined(known.of(source), own))
    labels = replace(
        known,
        class_names=opened.class_names or known.class_names,
        samples=batch.samples or known.samples,
        truth=batch.truth or known.truth,
        unit=opened.unit or known.unit,
        notes=(*known.notes, *batch.notes),
    )
    return explanation.labelled(labels) if labels != Labels() else explanation


def _source_called(name: str, explanation: Explanation) -> str | None:
    """Return the source that labels are about; None if relevance was not asked for there."""
    if name != THE_SOURCE:
        return name if name in explanation.relevance else None
    return next(iter(explanation.relevance)) if len(explanation.relevance) == 1 else None


def _joined(known: SourceLabels, own: SourceLabels) -> SourceLabels:
    """Return labels in which what the reader knows goes before what was known."""
    empty = SourceLabels()
    told = {
        f.name: getattr(own, f.name)
        for f in fields(SourceLabels)
        if f.name not in ("images", "true_colours", "data")
        and getattr(own, f.name) != getattr(empty, f.name)
    }
    if own.images:
        told |= {"images": own.images, "true_colours": own.true_colours}
    return replace(known, **told)
