"""Draw a circuit with matplotlib: layers upward, positions to the right, edges by their weight."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...show.colours import LIGHT
from .layout import Drawing, DrawnComponent, DrawnEdge

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FILL = {"input": "#e9e4d4", "attention": "#cfe0f5", "mlp": "#f6dcc3", "logits": "#d9ecd2"}
_PORTS = {"q": -0.13, "k": 0.0, "v": 0.13}  # of a head: to the left and right of its middle
_PORT_BELOW = 0.2
_DOT = {"boxstyle": "circle,pad=0.1", "facecolor": LIGHT.paper, "edgecolor": "none"}
_MOST_LINES = 80
_FAINT = 0.005  # of the strongest line


def place_components(drawing: Drawing) -> dict[int, tuple[float, float]]:
    """Return (x, y) of every component; those that share a cell lie side by side, staggered."""
    cells: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, place in enumerate(drawing.places):
        cells[place.position, place.row].append(i)
    where = {}
    for (position, row), inside in cells.items():
        inside.sort(key=lambda i: drawing.places[i].name)
        for k, i in enumerate(inside):
            x = (k - (len(inside) - 1) / 2) * min(0.42, 0.8 / len(inside))
            where[i] = (
                drawing.columns[position] + x,
                row + (0.2 if k % 2 else -0.2) * (len(inside) > 1),
            )
    return where


def draw_figure(drawing: Drawing, *, lines: int = _MOST_LINES) -> Figure:
    """Draw the circuit's `lines` strongest edges and what they join."""
    from matplotlib.figure import Figure  # slow to import

    shown = _shown(drawing, lines)
    joined = {i for m in shown for i in (m.source, m.target)}
    read = {m.target for m in shown if m.input in ("k", "v")}
    wrote = {m.source for m in shown}
    moves = [m for m in drawing.lines if m.input == "moves"]
    moved = [m for m in moves if m.source in read and m.target in wrote]
    wide, rows = drawing.columns[-1] + 1, len(drawing.rows)
    made = Figure(figsize=(max(6.0, 0.9 * wide + 1.6), max(3.5, 0.62 * rows + 1.2)))
    axes = made.add_subplot()
    where = place_components(drawing)
    largest = max((abs(m.score) for m in shown), default=1.0) or 1.0
    for m in moved:
        _line(axes, where[m.source], where[m.target], "#b9b9b9", 0.8, "dotted")
    for m in reversed(shown):
        width = 0.4 + 4.0 * abs(m.score) / largest
        ink, style = _style(m.score)
        _line(axes, where[m.source], _port(where[m.target], m.input), ink, width, style)
    for i, port in {(m.target, m.input) for m in shown if m.input in _PORTS}:
        x, y = _port(where[i], port)
        axes.text(
            x, y, port, size=6, color=LIGHT.ink, ha="center", va="center", zorder=4, bbox=_DOT
        )
    for i in joined:
        _box(axes, drawing.places[i], where[i])
    _frame(axes, drawing)
    made.tight_layout()
    return made


def _style(score: float) -> tuple[str, Literal["solid", "dashed"]]:
    """Return colour and line of an edge: for in red, against in blue and dashed."""
    return (LIGHT.speaks_for, "solid") if score >= 0 else (LIGHT.speaks_against, "dashed")


def _port(middle: tuple[float, float], read: str) -> tuple[float, float]:
    """Return where an edge ends: at what a head reads with, below its box, or at the box."""
    x, y = middle
    return (x + _PORTS[read], y - _PORT_BELOW) if read in _PORTS else middle


def _shown(drawing: Drawing, count: int) -> list[DrawnEdge]:
    """Return the strongest edges, less those too thin to be seen."""
    scored = sorted((m for m in drawing.lines if m.input != "moves"), key=lambda m: -abs(m.score))
    return [m for m in scored[:count] if abs(m.score) >= _FAINT * abs(scored[0].score)]


def save_figure(drawing: Drawing, path: str | Path, *, lines: int = _MOST_LINES) -> None:
    """Write the figure to a file; its suffix (.png, .svg, .pdf) says in which format."""
    draw_figure(drawing, lines=lines).savefig(path, dpi=130)


def _line(
    axes: Axes, a: tuple[float, float], b: tuple[float, float], ink: str, width: float, style: str
) -> None:
    bend = 0.25 if abs(a[1] - b[1]) < 0.6 else 0.12
    axes.annotate(
        "",
        xy=b,
        xytext=a,
        arrowprops={
            "arrowstyle": "-",
            "color": ink,
            "alpha": 0.75,
            "linewidth": width,
            "linestyle": style,
            "connectionstyle": f"arc3,rad={bend}",
        },
    )


def _box(axes: Axes, place: DrawnComponent, at: tuple[float, float]) -> None:
    axes.text(
        *at,
        place.name.split(".")[-1] if place.kind == "attention" else place.name,
        ha="center",
        va="center",
        fontsize=7,
        bbox={
            "boxstyle": "round,pad=0.25",
            "facecolor": _FILL[place.kind],
            "edgecolor": "#555555",
            "linewidth": 0.6,
        },
    )


def _frame(axes: Axes, drawing: Drawing) -> None:
    from matplotlib.lines import Line2D

    axes.set_xlim(drawing.columns[0] - 0.7, drawing.columns[-1] + 0.7)
    axes.set_ylim(-0.7, len(drawing.rows) - 0.3)
    axes.set_xticks(drawing.columns, drawing.tokens, rotation=40, ha="right", fontsize=8)
    axes.set_yticks(range(len(drawing.rows)), drawing.rows, fontsize=8)
    axes.tick_params(length=0)
    axes.grid(axis="x", color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    handles = [
        Line2D([], [], color=_style(sign)[0], linestyle=_style(sign)[1], label=label)
        for sign, label in ((1.0, "for"), (-1.0, "against"))
    ]
    handles.append(Line2D([], [], color="#b9b9b9", linestyle="dotted", label="attention moves"))
    axes.legend(handles=handles, loc="upper left", fontsize=7, frameon=False)
    axes.set_title(drawing.title, fontsize=9)
