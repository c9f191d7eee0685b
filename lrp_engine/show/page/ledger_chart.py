"""Write a ledger: a strip of shares, and a waterfall from the output to the inputs."""

from __future__ import annotations

from ...markup import Markup, element, join, quote
from ...markup.numbers import percent, plain, signed
from ..balance import Balance, Part, PartKind
from .bar import Scale, Span, write_track
from .table import write_table

_KIND = {PartKind.ABSORBED: "absorbed", PartKind.RESIDUAL: "open"}


def write_strip(balance: Balance) -> Markup:
    """Write the shares of what arrived and what was absorbed; numbers alone where signs cancel."""
    merged = _merged(balance)
    shares = merged.shares()
    texts = [
        f"{part.text()} {signed(part.amount) if shares is None else percent(share)}"
        for part, share in zip(merged.parts, shares or [0.0] * len(merged.parts), strict=True)
    ]
    keys = [
        element("li", element("i", class_=_kind(part)), quote(text))
        for part, text in zip(merged.parts, texts, strict=True)
    ]
    picture = [] if shares is None else [_draw_strip(merged)]
    return element("div", *picture, element("ul", *keys), class_="strip")


def write_waterfall(balance: Balance) -> Markup:
    """Write a table: each row takes its part off what is left, from the output to the inputs."""
    left = balance.explained
    steps = [("explained", Span.of(left), left)]
    for part in balance.parts:
        kind = _KIND.get(part.kind, "for" if part.amount >= 0 else "against")
        steps.append((part.text(), Span(left, left - part.amount, kind), part.amount))
        left -= part.amount
    scale = Scale.around(*(end for _, span, _ in steps for end in (span.start, span.end)))
    rows = [(quote(name), write_track([span], scale), plain(n)) for name, span, n in steps]
    return write_table(("", "", "amount#"), rows, kind="chart")


def _merged(balance: Balance) -> Balance:
    """Return the balance with what arrived as one part, which comes first."""
    arrived = Part(PartKind.ARRIVED, "", balance.total(PartKind.ARRIVED))
    others = [part for part in balance.parts if part.kind is not PartKind.ARRIVED]
    return Balance(balance.explained, (arrived, *others), balance.balances)


def _draw_strip(balance: Balance) -> Markup:
    spans, at = [], 0.0
    for part in balance.parts:
        spans.append(Span(at, at + part.amount, _kind(part)))
        at += part.amount
    return write_track(spans, Scale.around(at), height=6)


def _kind(part: Part) -> str:
    return _KIND.get(part.kind, "arrived")


def write_accounts(rows: list[tuple[str, ...]], left_out: int) -> Markup:
    """Write the ops that absorbed most, and how many more there are."""
    table = write_table(("op", "rule", "in", "absorbed#"), rows)
    more = [element("p", f"… {left_out} more", class_="quiet")] if left_out else []
    return join([table, *more])
