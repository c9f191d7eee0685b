"""Print plans, coverage and ledgers as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .console import print_table, say

if TYPE_CHECKING:
    from ..plan.plan import Coverage, Plan
    from ..propagate.ledger import Ledger

RULES_HEAD = ("op", "family", "rule", "count#")
INPUTS_HEAD = ("input", "is", "where its way ends", "why")
STOPS_HEAD = ("op", "why relevance stops here", "count#")


def rule_rows(coverage: Coverage) -> list[tuple[str, ...]]:
    """Return one row per op, family and rule."""
    return [(*key, str(count)) for key, count in coverage.rules.items()]


def stop_rows(coverage: Coverage) -> list[tuple[str, ...]]:
    """Return one row per op and reason."""
    return [(*key, str(count)) for key, count in coverage.stopped.items()]


def input_rows(coverage: Coverage) -> list[tuple[str, ...]]:
    """Return one row per input: a source, a control, or unreached."""
    return [
        (use.name, use.kind.value, use.op, use.reason or f"explained at {', '.join(use.sources)}")
        for use in coverage.inputs
    ]


def print_coverage(coverage: Coverage) -> None:
    """Print the tables and the one-line summary."""
    if coverage.inputs:
        print_table("inputs", INPUTS_HEAD, input_rows(coverage))
    print_table("rules", RULES_HEAD, rule_rows(coverage))
    if coverage.stopped:
        print_table("stopped on purpose", STOPS_HEAD, stop_rows(coverage))
    say(coverage.line())


def print_coverage_markdown(coverage: Coverage) -> None:
    """Print the same as Markdown, for a pull request or a report."""
    tables = (
        (INPUTS_HEAD, input_rows(coverage)),
        (RULES_HEAD, rule_rows(coverage)),
        (STOPS_HEAD, stop_rows(coverage)),
    )
    for head, rows in tables:
        if rows:
            ruler = ["---:" if name.endswith("#") else "---" for name in head]
            for cells in ([name.removesuffix("#") for name in head], ruler, *rows):
                say(f"| {' | '.join(cells)} |")
            say("")
    say(coverage.line())


def print_plan(plan: Plan) -> None:
    """Print every live op with its rule."""
    head = ("node", "op", "value", "rule", "through", "module")
    print_table(f"plan: preset {plan.preset.name}", head, plan.rows())


def print_ledgers(ledgers: Mapping[str, Ledger]) -> None:
    """Print where the explained number went, one column per ledger."""
    columns = [dict(ledger.rows()) for ledger in ledgers.values()]
    names = list(dict.fromkeys(name for column in columns for name in column if name != "residual"))
    rows = [
        (name, *(f"{c[name]:.6g}" if name in c else "" for c in columns))
        for name in [*names, "residual"]
    ]
    print_table(
        "where the explained number went",
        ("", *(f"{name}#" for name in ledgers)),
        rows,
    )


def balance_line(ledger: Ledger, tolerance: float | None = None) -> str:
    """Return a sentence about the largest residual of one op."""
    worst, limit = ledger.worst, ledger.tolerance if tolerance is None else tolerance
    if worst is None:
        return "no op between the sources and the output"
    return (
        f"{len(ledger.accounts)} accounts; the largest residual is {worst.error:.1e} of its"
        f" op's sum of |R| ({worst.node}; tolerance {limit:.0e})"
    )
