"""A circuit as places and lines: layers upward, positions to the right, edges between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..circuit import (
    INPUT,
    OUTPUT,
    Circuit,
    kind_of,
)

# Width of a column in which nothing is drawn.
_NARROW = 0.62


@dataclass(frozen=True)
class Place:
    """A component at a position: its row (0 is the input), and its score there."""

    name: str
    position: int
    row: int
    kind: str
    score: float
    own: str


@dataclass(frozen=True)
class Line:
    """What one component at a position writes and another reads there; score in metric units.

    `input` is what reads (q, k, v, mlp, logits), or `moves` for what attention carries from the
    position it reads to the position it writes at, which has no score of its own.
    """

    source: int
    target: int
    input: str
    score: float


@dataclass(frozen=True)
class Drawing:
    """Places and lines of a circuit, ready to be drawn. `tokens` label the positions.

    `columns` holds the centre of each position, in columns; positions without a place are narrow.
    """

    places: tuple[Place, ...]
    lines: tuple[Line, ...]
    rows: tuple[str, ...]
    tokens: tuple[str, ...]
    columns: tuple[float, ...]
    title: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def arrange(
    circuit: Circuit,
    *,
    tokens: Sequence[str] | None = None,
    own: dict[str, str] | None = None,
    lines: int = 400,
    title: str | None = None,
) -> Drawing:
    """Lays a circuit out by layers and positions, with at most `lines` strongest lines.

    `own` maps short names to the model's own.
    """
    edges = circuit.edges
    kept = (edges.by_position * circuit.keep).abs()
    count = min(lines, int((kept > 0).sum()))
    order = kept.flatten().argsort(descending=True)[:count]
    found = [tuple(torch.unravel_index(i, kept.shape)) for i in order]
    drawn: dict[tuple[str, int], int] = {}
    made: list[Line] = []
    for t, u, d in ((int(a), int(b), int(c)) for a, b, c in found):
        writer, reader = edges.writers[u].name, edges.readers[d]
        ends = [drawn.setdefault((n, t), len(drawn)) for n in (writer, reader.component)]
        made.append(Line(ends[0], ends[1], reader.reads.value, float(edges.by_position[t, u, d])))
    written = edges.by_position.sum(2)
    index = {w.name: i for i, w in enumerate(edges.writers)}
    names = [w.name for w in edges.writers] + [OUTPUT]
    row_of, rows = _rows(names)
    places = [
        Place(
            name,
            t,
            row_of[name],
            kind_of(name),
            float(written[t, index[name]]) if name in index else 0.0,
            (own or {}).get(name, name),
        )
        for name, t in drawn
    ]
    labels = tokens or [str(t) for t in range(kept.shape[0])]
    heading = title or f"{edges.estimator}: {len(circuit)} of {len(edges)} edges"
    return Drawing(
        places=tuple(places),
        lines=(*made, *_moves(drawn, made)),
        rows=tuple(rows),
        tokens=tuple(labels),
        columns=_columns(len(labels), {place.position for place in places}),
        title=heading,
    )


def _columns(count: int, used: set[int]) -> tuple[float, ...]:
    """The centre of each column; the first is at 0 if it is of full width."""
    widths = [1.0 if t in used else _NARROW for t in range(count)]
    ends = [sum(widths[: t + 1]) for t in range(count)]
    return tuple(end - width / 2 - 0.5 for end, width in zip(ends, widths, strict=True))


def _rows(names: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """A row for the input, two per layer (attention below MLP), one for the output."""
    labels = list(dict.fromkeys(_row_label(name) for name in names))
    return {name: labels.index(_row_label(name)) for name in names}, labels


def _row_label(name: str) -> str:
    if name in (INPUT, OUTPUT):
        return name
    layer = name.partition(".")[0][1:]
    return f"{kind_of(name)} {layer}"


def _moves(drawn: dict[tuple[str, int], int], made: Sequence[Line]) -> list[Line]:
    """Attention heads that read keys or values at one position and write at another."""
    places = {i: place for place, i in drawn.items()}
    read = {places[m.target] for m in made if m.input in ("k", "v")}
    wrote = {places[m.source] for m in made}
    return [
        Line(drawn[name, t], drawn[name, s], "moves", 0.0)
        for name, t in sorted(read)
        for other, s in sorted(wrote)
        if other == name and s > t
    ]
