"""Draw explanations: choose what is shown, and say what stands above it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..errors import InputError, LrpError
from ..markup.numbers import percent, signed
from ..show.agreement import agreement_table
from ..show.axes import Axis
from ..show.balance import Balance, balance_of
from ..show.figure import Look, Part, Picture, Sample, draw_picture
from ..show.figure.bars import Row
from ..show.figure.heading import Heading
from ..show.figure.look import Scale, View, choose
from ..show.figure.panels import Shown
from ..show.figure.sample import take_sample, with_axes_of
from ..show.images import as_images
from ..show.kinds import Kind
from ..show.labelling import SourceWords, label_source, names_of_classes
from ..show.labels import Labels
from ..show.pieces import pieces_of
from ..show.titles import subtitle_of, title_of
from .batch import Samples, find_samples, require_samples
from .by_source import find_source
from .comparable import find_compared, require_one_shape, require_same_data
from .told import Told

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE_BY_SIDE, _MAPS_SIDE_BY_SIDE = 3, 5
_MOST_SAMPLES = 64


@dataclass(frozen=True)
class Given:
    """Hold what a caller says of the data for one picture; None: nothing."""

    kind: Kind | None = None
    axes: str | Sequence[str | Axis] | None = None
    image: Any = None
    tokens: Sequence[Any] | None = None
    class_names: Sequence[str] | Mapping[int, str] | None = None


def plot_explanation(
    explanation: Told,
    source: str | None,
    samples: Samples,
    given: Given,
    look: Look,
    ax: Axes | None = None,
    *,
    ledger: bool = True,
) -> Figure:
    """Draw sources of samples of an explanation.

    Args:
        explanation: The explanation.
        source: The one to draw; None: all of them.
        samples: Their places in the batch: a sheet of several, one picture of one.
        given: What the caller says of the data.
        look: Of the picture.
        ax: The axes to draw on; None: a figure is made.
        ledger: False leaves the ledger's strip out, for which the ledger may have to be computed.

    Raises:
        InputError: there is no such source or sample, or what is given does not fit.
    """
    picture = picture_of(explanation, source, samples, given, look, ledger=ledger)
    return draw_picture(picture, ax)


def picture_of(
    explanation: Told,
    source: str | None,
    samples: Samples,
    given: Given,
    look: Look,
    *,
    ledger: bool = True,
) -> Picture:
    """Return what is drawn of samples of an explanation.

    Args:
        explanation: The explanation.
        source: The one to draw; None: all of them.
        samples: Their places in the batch: a sheet of several, one picture of one.
        given: What the caller says of the data.
        look: Of the picture.
        ledger: False leaves the ledger's strip out, for which the ledger may have to be computed.

    Raises:
        InputError: there is no such source or sample, or what is given does not fit.
    """
    names = _sources(explanation, source)
    labels = _labels(explanation, names, given)
    indices = _find(explanation, samples)
    one = len(indices) == 1
    parts = [
        Part(
            _shown(explanation, labels, name, index, given),
            _label(explanation, labels, name, index, one),
            row=row,
        )
        for row, index in enumerate(indices)
        for name in names
    ]
    heading = _heading(explanation, labels, indices, look, ledger)
    columns = 1 if one and len(names) > 1 else _SIDE_BY_SIDE
    return Picture(heading, parts, look, columns)


def read_kind(kind: str | None) -> tuple[Kind | None, bool]:
    """Return a kind by its name, and whether a table is to be a waterfall. Raises InputError."""
    if kind is None:
        return None, False
    if kind == "waterfall":
        return Kind.TABLE, True
    return choose(Kind, kind, "kind"), False


def compare_explanations(
    explanations: Mapping[str, Told],
    source: str | None,
    sample: int,
    given: Given,
    look: Look,
) -> Figure:
    """Draw explanations of one sample side by side, and how far they agree.

    Args:
        explanations: By the name to show: of a preset, of a model.
        source: The one to draw; None: the only one.
        sample: Its place in the batch.
        given: What the caller says of the data.
        look: Of the picture.

    Raises:
        InputError: there are fewer than two, or they are not of one source and one shape.
    """
    sources = {name: find_compared(one, source) for name, one in explanations.items()}
    require_same_data(explanations, sources)
    parts: list[Part] = []
    maps: dict[str, Tensor] = {}
    for name, explanation in explanations.items():
        one = sources[name]
        labels = _labels(explanation, [one], given)
        (index,) = _find(explanation, sample)
        shown = _shown(explanation, labels, one, index, given)
        explained = signed(_explained(explanation, index))
        if shown.sample.kind is Kind.IMAGE and not parts:
            parts.append(Part(shown, "image", View.IMAGE))
        parts.append(Part(shown, f"{name}  {explained}", View.MAP))
        maps[name] = shown.sample.amounts
    require_one_shape(maps)
    first = next(iter(explanations.values()))
    labels = _labels(first, [next(iter(sources.values()))], given)
    (index,) = _find(first, sample)
    heading = Heading(
        title_of(labels, index, _explained(first, index)),
        subtitle_of(labels, index, _count(first), _scale(look)),
    )
    foot = agreement_table(list(maps), list(maps.values()))
    return draw_picture(Picture(heading, parts, look, _MAPS_SIDE_BY_SIDE, foot))


def _find(explanation: Told, samples: Samples) -> list[int]:
    require_samples(explanation)
    found = find_samples(samples, _count(explanation))
    if len(found) > _MOST_SAMPLES:
        raise InputError(
            f"{len(found)} samples are too many for one picture: at most {_MOST_SAMPLES}, as in"
            f" sample=range({_MOST_SAMPLES})"
        )
    return found


def _count(explanation: Told) -> int:
    return len(explanation.explained.reshape(-1))


def _sources(explanation: Told, source: str | None) -> list[str]:
    if source is None:
        return list(explanation.relevance)
    return [find_source(explanation.relevance, source)]


def _labels(explanation: Told, names: Sequence[str], given: Given) -> Labels:
    """Return the labels with what is said of them for this picture."""
    labels = explanation.labels
    if given.class_names is not None:
        labels = replace(labels, class_names=names_of_classes(given.class_names))
    for name in names:
        relevance = explanation.relevance[name]
        if given.axes is not None:
            labels = label_source(labels, name, relevance, SourceWords(axes=given.axes))
        kind = given.kind
        if kind is None and not labels.of(name).axes:
            if given.image is not None:
                kind = Kind.IMAGE
            if given.tokens is not None:
                kind = Kind.WORDS
        if kind is not None:
            labels = labels.with_source(name, with_axes_of(labels.of(name), kind, relevance))
    return labels


def _shown(explanation: Told, labels: Labels, name: str, index: int, given: Given) -> Shown:
    relevance = explanation.relevance[name]
    sample = take_sample(name, relevance, labels.of(name), index, given.kind)
    known = sample.labels
    if given.image is not None:
        images, true_colours = as_images(given.image, 1)
        known = replace(known, images=images, true_colours=true_colours)
    if given.tokens is not None and sample.kind is Kind.TABLE:
        known = replace(known, feature_names=tuple(map(str, given.tokens)))
    elif given.tokens is not None:
        known = replace(known, words=(pieces_of(given.tokens),))
    explained = _explained(explanation, index)
    return Shown(
        Sample(name, sample.relevance, sample.axes, known, sample.kind),
        explained,
        _absorbed(explanation, name, index, explained),
    )


def _absorbed(explanation: Told, name: str, index: int, explained: float) -> list[Row]:
    """Return what other sources got and what ops absorbed of one sample's explained number."""
    given = {n: float(r[index].detach().double().sum()) for n, r in explanation.relevance.items()}
    rows = [Row(f"source {other}", amount) for other, amount in given.items() if other != name]
    arrived = sum(given.values())
    rest = explained - arrived
    if abs(rest) > 1e-6 * max(abs(explained), abs(arrived)):
        rows.append(Row("absorbed", rest, absorbed=True))
    return rows


def _explained(explanation: Told, index: int) -> float:
    return float(explanation.explained.detach().reshape(-1)[index])


def _label(explanation: Told, labels: Labels, name: str, index: int, one: bool) -> str:
    """Return the line above a part: the sample's question in a sheet, the source of several."""
    said = "" if one else title_of(labels, index, _explained(explanation, index))
    if not one:
        shown = labels.samples[index] if index < len(labels.samples) else f"sample {index}"
        said = f"{shown}: {said}"
    if len(explanation.relevance) > 1:
        found = explanation.relevance.items()
        amounts = {n: float(r[index].detach().abs().sum()) for n, r in found}
        total = sum(amounts.values())
        share = f", {percent(amounts[name] / total)} of |R|" if total else ""
        said = f"{said}  {name}{share}".strip()
    return said


def _heading(
    explanation: Told, labels: Labels, indices: Sequence[int], look: Look, ledger: bool
) -> Heading:
    balance, said = _balance(explanation) if ledger else (None, "")
    notes = [*labels.notes, *filter(None, [said])]
    preset, count = explanation.provenance.preset, _count(explanation)
    if len(indices) == 1:
        title = title_of(labels, indices[0], _explained(explanation, indices[0]))
        quiet = subtitle_of(labels, indices[0], count, preset)
    else:
        asked = {labels.question(index).text(labels.class_names) for index in indices}
        title = asked.pop() if len(asked) == 1 and "" not in asked else labels.title
        title = title or f"relevance of {len(indices)} samples"
        quiet = f"{preset}, {len(indices)} of {count} samples, {_scale(look)}"
    return Heading(title, quiet, balance, count, notes)


def _scale(look: Look) -> str:
    match look.scale:
        case Scale.OWN:
            return "each with its own scale"
        case Scale.ROW:
            return "one scale per sample"
    return "one scale for all"


def _balance(explanation: Told) -> tuple[Balance | None, str]:
    """Return where the explained numbers went, or why that is not known."""
    try:
        return balance_of(explanation.ledger), ""
    except LrpError as error:
        return None, f"no ledger: {str(error).splitlines()[0]}"
