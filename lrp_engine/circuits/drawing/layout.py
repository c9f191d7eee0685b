"""Lay out a circuit: layers upward, positions to the right, edges between components."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from ..circuit import INPUT, OUTPUT, Circuit, component_kind
from ..edges import EdgeScores

# Width of a column in which nothing is drawn.
_NARROW = 0.62


@dataclass(frozen=True)
class DrawnComponent:
    """A component at a position, its row (0 is the input), and its score there.

    `own` is the model's own name for it.
    """

    name: str
    position: int
    row: int
    kind: str
    score: float
    own: str


@dataclass(frozen=True)
class DrawnEdge:
    """An edge at a position: what one component writes there and another reads; in metric units.

    `input` is what reads (q, k, v, mlp, logits), or `moves` for what attention carries from the
    position it reads to the position it writes at, which has no score of its own.
    """

    source: int
    target: int
    input: str
    score: float


@dataclass(frozen=True)
class Drawing:
    """The components (`places`) and edges (`lines`) of a circuit, ready to be drawn.

    `rows` names the rows from below, `tokens` the positions.

    `columns` holds the centre of each position, in columns; positions without a place are narrow.
    """

    places: tuple[DrawnComponent, ...]
    lines: tuple[DrawnEdge, ...]
    rows: tuple[str, ...]
    tokens: tuple[str, ...]
    columns: tuple[float, ...]
    title: str

    def as_dict(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return asdict(self)


def arrange(
    circuit: Circuit,
    *,
    tokens: Sequence[str] | None = None,
    own: dict[str, str] | None = None,
    lines: int = 400,
    title: str | None = None,
) -> Drawing:
    """Lay a circuit out by layers and positions.

    Args:
        circuit: the circuit to draw.
        tokens: labels of the positions; default: their numbers.
        own: the model's own names by short names.
        lines: how many edges are drawn at most, the strongest first.
        title: default: the estimator and the number of edges.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> from lrp_engine.circuits import edge_scores, top_edges
        >>> model, pairs = ioi_subject()
        >>> drawing = arrange(top_edges(edge_scores(model, pairs), 40))
        >>> drawing.rows[:3]
        ('input', 'attention 0', 'mlp 0')
    """
    edges = circuit.edges
    drawn: dict[tuple[str, int], int] = {}
    made = list(_strongest(circuit, lines, drawn))
    labels = tokens or [str(t) for t in range(edges.by_position.shape[0])]
    places, rows = _components(edges, drawn, own or {})
    return Drawing(
        places=tuple(places),
        lines=(*made, *_moves(drawn, made)),
        rows=tuple(rows),
        tokens=tuple(labels),
        columns=_columns(len(labels), {place.position for place in places}),
        title=title or f"{edges.estimator}: {len(circuit)} of {len(edges)} edges",
    )


def _strongest(
    circuit: Circuit, most: int, drawn: dict[tuple[str, int], int]
) -> Iterator[DrawnEdge]:
    """Yield the strongest edges; numbers the (component, position) that they join in `drawn`."""
    edges = circuit.edges
    kept = (edges.by_position * circuit.keep).abs()
    count = min(most, int((kept > 0).sum()))
    for i in kept.flatten().argsort(descending=True)[:count]:
        t, u, d = (int(axis) for axis in torch.unravel_index(i, kept.shape))
        writer, reader = edges.writers[u].name, edges.readers[d]
        a, b = (drawn.setdefault((n, t), len(drawn)) for n in (writer, reader.component))
        yield DrawnEdge(a, b, reader.reads.value, float(edges.by_position[t, u, d]))


def _components(
    edges: EdgeScores, drawn: Iterable[tuple[str, int]], own: Mapping[str, str]
) -> tuple[list[DrawnComponent], list[str]]:
    """Return every (component, position) with its score, and the names of the rows."""
    written = edges.by_position.sum(2)
    index = {w.name: i for i, w in enumerate(edges.writers)}
    row_of, rows = _rows([*index, OUTPUT])
    places = [
        DrawnComponent(
            name=name,
            position=t,
            row=row_of[name],
            kind=component_kind(name),
            score=float(written[t, index[name]]) if name in index else 0.0,
            own=own.get(name, name),
        )
        for name, t in drawn
    ]
    return places, rows


def _columns(count: int, used: set[int]) -> tuple[float, ...]:
    """Return the centre of each column; the first is at 0 if it is of full width."""
    widths = [1.0 if t in used else _NARROW for t in range(count)]
    ends = [sum(widths[: t + 1]) for t in range(count)]
    return tuple(end - width / 2 - 0.5 for end, width in zip(ends, widths, strict=True))


def _rows(names: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Assign a row to the input, two to each layer (attention below MLP), one to the output."""
    labels = list(dict.fromkeys(_row_label(name) for name in names))
    return {name: labels.index(_row_label(name)) for name in names}, labels


def _row_label(name: str) -> str:
    if name in (INPUT, OUTPUT):
        return name
    layer = name.partition(".")[0][1:]
    return f"{component_kind(name)} {layer}"


def _moves(drawn: dict[tuple[str, int], int], made: Sequence[DrawnEdge]) -> list[DrawnEdge]:
    """Return moves of heads that read keys or values at one position and write at another."""
    places = {i: place for place, i in drawn.items()}
    read = {places[m.target] for m in made if m.input in ("k", "v")}
    wrote = {places[m.source] for m in made}
    return [
        DrawnEdge(drawn[name, t], drawn[name, s], "moves", 0.0)
        for name, t in sorted(read)
        for other, s in sorted(wrote)
        if other == name and s > t
    ]
