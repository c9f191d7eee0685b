"""Self-contained HTML: the ledger, coloured words, small heat maps. No network, no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from torch import Tensor

from ...errors import InputError
from .colours import css, ink, limit_of

if TYPE_CHECKING:
    from ..explanation import Explanation

_MOST_SAMPLES = 8
_MOST_CELLS = 64


def html(
    explanation: Explanation,
    source: str | None = None,
    tokens: Sequence[Sequence[str]] | None = None,
) -> str:
    """A summary table and, per sample, a heat map or a row of words for each source."""
    names = list(explanation.relevance) if source is None else [source]
    parts = [_summary(explanation)]
    for name in names:
        relevance = explanation.relevance[name].detach().float().cpu()
        parts.append(f"<p><b>{escape(name)}</b></p>")
        parts += [_sample(r, tokens[i] if tokens else None) for i, r in _some(relevance)]
    return f'<div style="font-family:sans-serif;font-size:13px">{"".join(parts)}</div>'


def _some(relevance: Tensor) -> list[tuple[int, Tensor]]:
    return list(enumerate(relevance[:_MOST_SAMPLES]))


def _summary(explanation: Explanation) -> str:
    p = explanation.provenance
    numbers = ", ".join(f"{n:.4g}" for n in explanation.explained.reshape(-1)[:8].tolist())
    rows = [
        ("explained", numbers),
        ("preset", p.preset),
        ("coverage", p.coverage.removeprefix("coverage: ")),
    ]
    if explanation.known_ledger is not None:
        rows += [(name, f"{amount:.4g}") for name, amount in explanation.known_ledger.rows()[1:]]
    cells = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in rows)
    return f"<table>{cells}</table>"


def _sample(relevance: Tensor, tokens: Sequence[str] | None) -> str:
    if relevance.dim() == 3 and tokens is None:
        return _grid(relevance.sum(0))
    amounts = relevance.sum(-1) if relevance.dim() == 2 else relevance.reshape(-1)
    words = list(tokens) if tokens is not None else [str(i) for i in range(len(amounts))]
    if len(words) != len(amounts):
        raise InputError(f"{len(words)} tokens were given for {len(amounts)} positions")
    return _words(amounts, words)


def _words(amounts: Tensor, words: Sequence[str]) -> str:
    limit = limit_of(amounts)
    spans = [
        f'<span title="{a:.4g}" style="background:{css(a, limit)};color:{ink(a, limit)};'
        f'padding:2px 3px;margin:1px;border-radius:3px;display:inline-block">{escape(w)}</span>'
        for a, w in zip(amounts.tolist(), words, strict=True)
    ]
    return f'<p style="line-height:1.9">{"".join(spans)}</p>'


def _grid(plane: Tensor) -> str:
    """A heat map as a table; large maps are averaged down to at most 64 cells a side."""
    step = max(1, -(-max(plane.shape) // _MOST_CELLS))
    if step > 1:
        from torch.nn.functional import avg_pool2d

        plane = avg_pool2d(plane[None, None], step, ceil_mode=True)[0, 0]
    limit, size = limit_of(plane), max(3, 192 // max(plane.shape))
    cell = 'style="width:{s}px;height:{s}px;padding:0;background:{c}"'
    rows = "".join(
        "<tr>" + "".join(f"<td {cell.format(s=size, c=css(a, limit))}></td>" for a in row) + "</tr>"
        for row in plane.tolist()
    )
    style = "border-collapse:collapse;display:inline-block;margin:4px"
    return f'<table style="{style}">{rows}</table>'
