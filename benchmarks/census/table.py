"""Write the table of a census: counts by stage, what stopped where and why.

python -m benchmarks.census.table FILE.jsonl > benchmarks/census.md
"""

from __future__ import annotations

import json
import platform
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .trial import Stage

Row = dict[str, Any]
ORDER = [stage.value for stage in Stage]
HEAD = """# A census of model classes

`python -m benchmarks.census FILE.jsonl` tries model classes of transformers and timm, each in a
process of its own: the smallest config that builds (made small by a table of size fields), made-up
inputs, random weights. {where}

- *tried*: all that were begun. *built*: torch made the model. *runs*: it runs in plain torch on two
  different inputs; what does not is the census's own lack of a config or of inputs, and says
  nothing of the engine.
- *captured*, *covered*: `Engine(model, first input)` under preset `attnlrp`, no other setting.
- *explained*, *conserved*: one number of the second input was explained, and `check()` found the
  account closed. That takes longest, so most models were taken to *covered* only.
"""


def latest(file: Path) -> list[Row]:
    """Return the last row of every model."""
    rows: dict[tuple[str, str, str], Row] = {}
    for row in map(json.loads, file.read_text().splitlines()):
        rows[row["library"], row["family"], row["name"]] = row
    return list(rows.values())


def reached(rows: Iterable[Row], stage: str) -> int:
    """Count the models that came so far, or further."""
    return sum(ORDER.index(row["stage"]) >= ORDER.index(stage) for row in rows)


def counts(rows: list[Row]) -> str:
    """Return the table of counts."""
    lines = [f"| library | {' | '.join(ORDER)} |", f"|---{'|---:' * len(ORDER)}|"]
    for library in sorted({row["library"] for row in rows}):
        mine = [row for row in rows if row["library"] == library]
        cells = [str(reached(mine, stage)) for stage in ORDER]
        lines.append(f"| {library} {_version(library)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def failures(rows: list[Row]) -> str:
    """Return what went no further, by cause; most frequent first."""
    failed = [row for row in rows if row["error"]]
    causes = Counter((_where(row), row["error"]) for row in failed)
    lines = ["| stopped | error | models | in words |", "|---|---|---:|---|"]
    for (where, error), count in causes.most_common():
        mine = [row for row in failed if (_where(row), row["error"]) == (where, error)]
        for row in mine:
            cell = row["message"].replace("|", "/").replace("\n", " ")[:220]
            first = f"{where} | {error} | {count}" if row is mine[0] else " | | "
            lines.append(f"| {first} | `{row['name'] or row['family']}`: {cell} |")
    return "\n".join(lines)


def _where(row: Row) -> str:
    raw = ", raw exception" if row["raw"] and reached([row], Stage.RUNS.value) else ""
    return f"after *{row['stage']}*{raw}"


def went_through(rows: list[Row]) -> str:
    """Return the models that nothing stopped, by how far they were taken."""
    lines = []
    for stage in (Stage.CONSERVED, Stage.COVERED):
        names = sorted(r["name"] for r in rows if r["stage"] == stage.value and not r["error"])
        lines.append(f"*{stage.value}* ({len(names)}): {', '.join(names)}.\n")
    return "\n".join(lines)


def fallbacks(rows: list[Row]) -> str:
    """Return the models whose capture is not the one with free sizes."""
    notes = ("sizes are fixed", "recorded:", "held to", "taken for not empty")
    found = [
        f"`{row['name']}`: {told}"
        for row in rows
        for told in row["notes"]
        if any(note in told for note in notes) and "capture with" not in told
    ]
    return "\n".join(f"- {line}" for line in found) or "None."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def main() -> None:
    rows = latest(Path(sys.argv[1]))
    where = (
        f"{date.today():%d %B %Y}, {platform.machine()}, {platform.python_implementation()}"
        f" {platform.python_version()}, torch {_version('torch')}."
    )
    print(HEAD.format(where=where))
    print(counts(rows))
    print(*(f"\n{note}" for note in sys.argv[2:]))
    print(f"\n## What stopped\n\n{failures(rows)}")
    print(f"\n## Captured otherwise than with free sizes\n\n{fallbacks(rows)}")
    print(f"\n## What went through\n\n{went_through(rows)}")


if __name__ == "__main__":
    main()
