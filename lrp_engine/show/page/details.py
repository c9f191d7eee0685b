"""Write what stands below the pictures: ledger, coverage, notes, provenance, check, papers."""

from __future__ import annotations

from ...markup import Markup, Overview, element, join, quote
from .content import Content, Verdict
from .ledger_chart import write_waterfall
from .table import fold, write_table


def write_ledger(content: Content, heading: str) -> Markup:
    """Write the way from the output to the inputs, and the ops that kept most."""
    title = element(heading, "From the output to the inputs")
    if content.balance is None:
        return join([title, element("p", quote(content.no_balance), class_="quiet")])
    samples = len(content.explained)
    said = "What ops kept, and what arrived at the inputs"
    said += f"; sum over {samples} samples." if samples > 1 else "."
    parts = [title, element("p", said, class_="quiet"), write_waterfall(content.balance)]
    if content.accounts is not None and content.accounts.rows:
        parts.append(_write_accounts(content.accounts))
    return join(parts)


def write_details(content: Content, heading: str) -> Markup:
    """Write what the explanation rests on."""
    rows = [(name, element("code", quote(value))) for name, value in content.provenance]
    papers = [element("li", quote(paper)) for paper in content.citations]
    notes = [element("li", quote(note)) for note in (*content.labels.notes, *content.notes)]
    parts = [element(heading, "What it rests on"), _write_verdict(content.verdict)]
    parts.append(element("p", quote(content.coverage)))
    parts += [element("ul", *notes)] if notes else []
    parts.append(fold("Provenance", write_table(("", ""), rows)))
    parts += [fold("Papers to cite", element("ul", *papers))] if papers else []
    return join(parts)


def _write_accounts(accounts: Overview) -> Markup:
    rows = [(quote(row[0]), *map(quote, row[1:-1]), row[-1]) for row in accounts.rows]
    more = [element("p", f"… {accounts.left_out} more")] if accounts.left_out else []
    return fold(accounts.title, write_table(accounts.head, rows), *more)


def _write_verdict(verdict: Verdict) -> Markup:
    kind = "wrong" if verdict.passed is False else None
    return element("p", quote(verdict.text), class_=kind)
