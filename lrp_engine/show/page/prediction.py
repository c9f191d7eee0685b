"""Write what the model said: its top classes, and the class that was explained."""

from __future__ import annotations

from torch import Tensor

from ...markup import Markup, element, quote
from ...markup.numbers import plain
from ..labels import Labels
from .bar import Scale, Span, write_track

_MOST_CLASSES = 5
_ROUNDING = 1e-3


def write_prediction(scores: Tensor, labels: Labels, sample: int) -> Markup:
    """Write the classes of highest score with their probabilities, and those that were explained.

    Scores that are probabilities already are shown as they are. Of others the softmax is shown, and
    called so: whether it is a probability depends on how the model was trained.

    Args:
        scores: Of one sample, (classes,).
        labels: Of the explanation.
        sample: Its place in the batch.
    """
    scores = scores.double()
    explained = [index for index, _ in labels.question(sample).classes]
    order = scores.argsort(descending=True, stable=True).tolist()
    top = order[:_MOST_CLASSES]
    shown = [*top, *(i for i in explained[:_MOST_CLASSES] if i not in top)]
    are_shares = _are_shares(scores)
    shares = scores if are_shares else scores.softmax(0)
    rows = []
    for index in shown:
        share = float(shares[index])
        bar = write_track([Span(0.0, share, "given")], Scale(0.0, 1.0))
        own = [] if are_shares else [element("td", plain(float(scores[index])), class_="number")]
        name = quote(_name(labels, index))
        mark = [element("small", " explained")] if index in explained else []
        cells = [element("th", name, *mark, scope="row"), element("td", bar), *own]
        cells.append(element("td", f"{share:.3f}", class_="number"))
        rows.append(element("tr", *cells, class_="chosen" if index in explained else None))
    return element("table", _head(are_shares, labels.unit), element("tbody", *rows), class_="chart")


def _head(are_shares: bool, unit: str) -> Markup:
    names = ["probability"] if are_shares else [unit or "output", "softmax"]
    cells = [element("th", name, scope="col", class_="number") for name in names]
    return element("thead", element("tr", element("td"), element("td"), *cells))


def _are_shares(scores: Tensor) -> bool:
    """Return whether scores are between 0 and 1 and sum to 1."""
    inside = float(scores.min()) >= 0 and float(scores.max()) <= 1
    return inside and abs(float(scores.sum()) - 1) < _ROUNDING


def _name(labels: Labels, index: int) -> str:
    names = labels.class_names
    return names[index] if index < len(names) else f"class {index}"
