"""Write self-contained HTML: a summary, coloured words, small heat maps. No network, no scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from torch import Tensor
from torch.nn.functional import avg_pool2d

from .colours import css_colour, limit_of, text_colour
from .positions import label_positions

_MOST_SAMPLES = 8
_MOST_CELLS = 64


def write_html(
    summary: Sequence[tuple[str, str]],
    relevance: Mapping[str, Tensor],
    tokens: Sequence[Sequence[str]] | None = None,
) -> str:
    """Return a summary table and, per source and sample, a heat map or a row of words.

    Args:
        summary: The rows of the table: name and value.
        relevance: By source; axis 0 is the batch, of which the first 8 samples are shown.
        tokens: One list of words per sample.

    Raises:
        InputError: tokens do not fit the positions.
    """
    parts = [_write_table(summary)]
    for name, of_batch in relevance.items():
        parts.append(f"<p><b>{escape(name)}</b></p>")
        parts += _write_samples(of_batch.detach().float().cpu(), tokens)
    return f'<div style="font-family:sans-serif;font-size:13px">{"".join(parts)}</div>'


def _write_samples(of_batch: Tensor, tokens: Sequence[Sequence[str]] | None) -> Iterator[str]:
    for i, relevance in enumerate(of_batch[:_MOST_SAMPLES]):
        yield _write_sample(relevance, tokens[i] if tokens else None)


def _write_table(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in rows)
    return f"<table>{cells}</table>"


def _write_sample(relevance: Tensor, tokens: Sequence[str] | None) -> str:
    if relevance.dim() == 3 and tokens is None:
        return _write_heat_map(relevance.sum(0))
    amounts = relevance.sum(-1) if relevance.dim() == 2 else relevance.reshape(-1)
    return _write_words(amounts, label_positions(len(amounts), tokens))


def _write_words(amounts: Tensor, words: Sequence[str]) -> str:
    limit = limit_of(amounts)
    spans = (_write_word(a, w, limit) for a, w in zip(amounts.tolist(), words, strict=True))
    return f'<p style="line-height:1.9">{"".join(spans)}</p>'


def _write_word(amount: float, word: str, limit: float) -> str:
    colours = f"background:{css_colour(amount, limit)};color:{text_colour(amount, limit)}"
    return (
        f'<span title="{amount:.4g}" style="{colours};'
        f'padding:2px 3px;margin:1px;border-radius:3px;display:inline-block">{escape(word)}</span>'
    )


def _write_heat_map(plane: Tensor) -> str:
    """Write a heat map as a table, large maps averaged to at most 64 cells a side."""
    step = max(1, -(-max(plane.shape) // _MOST_CELLS))
    if step > 1:
        plane = avg_pool2d(plane[None, None], step, ceil_mode=True)[0, 0]
    limit, size = limit_of(plane), max(3, 192 // max(plane.shape))
    cell = 'style="width:{s}px;height:{s}px;padding:0;background:{c}"'
    rows = "".join(
        "<tr>"
        + "".join(f"<td {cell.format(s=size, c=css_colour(a, limit))}></td>" for a in row)
        + "</tr>"
        for row in plane.tolist()
    )
    style = "border-collapse:collapse;display:inline-block;margin:4px"
    return f'<table style="{style}">{rows}</table>'
