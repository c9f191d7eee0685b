"""Show a saved explanation: its sources and its ledger, which is all that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InputError
from ..explorer.scene import Layer, Scene, TargetScene
from ..graphs.nodes import shape_text
from ..results.explanation import Explanation
from ..show.axes import Axis
from ..show.labels import Labels
from .inputs import describe_input
from .layouts import Layout, Reading
from .ledgers import ledger_line
from .places import Place
from .through import Nodes

_BY_RANK = {2: Layout.FEATURES, 3: Layout.TOKENS, 4: Layout.MAP, 5: Layout.FRAMES}
_UNTRACED = (
    "a saved explanation holds no model: lrp view MODEL --inputs FILE computes the layers and"
    " traces through them"
)


def scene_of(explanation: Explanation, *, sample: int = 0, labels: Labels | None = None) -> Scene:
    """Return the scene of an explanation.

    Raises InputError if there is no such sample, or no source that can be shown.
    """
    known = explanation.labels if labels is None else labels
    count = len(explanation.explained)
    if not 0 <= sample < count:
        raise InputError(f"there is no sample {sample}: the explanation has {count}")
    places = [
        Place(name, name, "input", _layout(r.dim(), known.of(name).axes))
        for name, r in explanation.relevance.items()
        if r.dim() in _BY_RANK
    ]
    if not places:
        raise InputError("no source of this explanation has 2 to 5 axes, batch first")
    relevance = explanation.relevance
    readings = {p.source: Reading.of(p.layout, relevance[p.source][sample]) for p in places}
    nodes = Nodes(readings, sample)
    question = known.question(sample).text(known.class_names) or "what was explained"
    shown: dict[str, Any] = describe_input(places, nodes, {}, known)
    return Scene(
        **shown,
        title=question,
        subtitle=f"{explanation.provenance.preset}, sample {sample} of {count}",
        preset=explanation.provenance.preset,
        layers=tuple(_layer(place, readings[place.source], explanation) for place in places),
        targets=(
            TargetScene(
                label=question,
                question=question,
                explained=float(explanation.explained[sample]),
                probability=known.question(sample).probability,
                relevance=nodes.amounts(relevance),
                ledger=ledger_line(explanation.ledger),
            ),
        ),
        unit=known.unit,
        notes=_notes(explanation, count),
        untraced=_UNTRACED,
    )


def _layout(rank: int, axes: Sequence[Axis]) -> Layout:
    """Return how a source is read: as its axes say, else as its rank suggests."""
    return Layout.SERIES if rank == 3 and Axis.TIME in axes else _BY_RANK[rank]


def _notes(explanation: Explanation, count: int) -> tuple[str, ...]:
    own = tuple(explanation.provenance.notes)
    return (*own, f"the ledger is the sum over {count} samples") if count > 1 else own


def _layer(place: Place, reading: Reading, explanation: Explanation) -> Layer:
    return Layer(
        name=place.name,
        group="input",
        rows=reading.rows,
        columns=reading.columns,
        units=reading.units,
        unit=reading.unit,
        shape=shape_text(explanation.relevance[place.source]),
        pooled=reading.pooled,
    )
