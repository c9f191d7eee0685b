"""Let an explanation know what its data are: words, images, features, class names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from ..engine import Engine
from ..errors import InputError
from ..results.explanation import Explanation
from ..show.fit import require_fit
from ..show.labels import Labels, SourceLabels
from .batch import THE_SOURCE, Batch
from .class_names import ClassNames
from .opened import OpenedModel

_WITH_CLASSES = 2  # axes of an output: samples and classes
_SHOWN = 4


def label(
    explanation: Explanation, batch: Batch, opened: OpenedModel, engine: Engine
) -> Explanation:
    """Return an explanation with the labels of its batch and of the model's classes.

    Raises:
        InputError: Something that was said does not fit the model.
    """
    known = explanation.labels
    for name, own in batch.sources.items():
        source = _source_called(name, explanation, engine)
        if source is not None:
            joined = _joined(known.of(source), own)
            require_fit(joined, source, explanation.relevance[source])
            known = known.with_source(source, joined)
    labels = replace(
        known,
        class_names=opened.class_names or known.class_names,
        samples=batch.samples or known.samples,
        truth=batch.truth or known.truth,
        unit=opened.unit or known.unit,
        notes=(*known.notes, *batch.notes),
    )
    return explanation.labelled(labels) if labels != Labels() else explanation


def labels_of(batch: Batch, class_names: tuple[str, ...], engine: Engine) -> Labels:
    """Return what is known of a batch, by the inputs of an engine, before it is explained."""
    ports = [port.name for port in engine.captured.inputs]
    only = ports[0] if len(ports) == 1 else None
    named = {only if name == THE_SOURCE else name: own for name, own in batch.sources.items()}
    return Labels(
        sources={name: own for name, own in named.items() if name is not None},
        class_names=class_names,
        samples=batch.samples,
        truth=batch.truth,
        notes=batch.notes,
    )


def require_classes(opened: OpenedModel, engine: Engine) -> None:
    """Raise InputError unless there is a class per name.

    Where a target is asked in other terms than the output's, nothing can be compared.
    """
    names = opened.class_names
    if not names or opened.ask is not None:
        return
    shape = tuple(engine.plan.output.node.meta["val"].shape)
    if len(shape) < _WITH_CLASSES:
        raise InputError(
            f"{len(names)} classes are named ({_few(names)}), and the output"
            f" {engine.plan.output.name!r} is one number per sample: it has no classes"
        )
    some = isinstance(opened.names, ClassNames) and opened.names.some
    if len(names) > shape[-1] or (len(names) < shape[-1] and not some):
        raise InputError(
            f"{len(names)} classes are named ({_few(names)}), and the output"
            f" {engine.plan.output.name!r} has {shape[-1]}: name each, in the output's order"
        )


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, ..."


def _source_called(name: str, explanation: Explanation, engine: Engine) -> str | None:
    """Return the source that labels are about; None if relevance was not asked for there.

    Labels of the only input are also those of the only source, if that has other axes as well.
    """
    if name != THE_SOURCE:
        return name if name in explanation.relevance else None
    inputs = [port.name for port in engine.captured.inputs if port.name in explanation.relevance]
    if len(inputs) == 1:
        return inputs[0]
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
