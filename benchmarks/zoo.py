"""Plans of the published sizes: ops, coverage, promises, set-up time. No tensor is computed.

`python -m benchmarks.zoo` prints both tables; `--only NAME ...` some rows of the first.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
import transformers

import lrp_engine as lrp
from lrp_engine.errors import LrpError
from lrp_engine.graphs.nodes import holds_tensors
from lrp_engine.promises.promise import Fate

from .published import FIFTEEN, MORE, Made, gpt2_small, without_memory

DEPTHS = (2, 6, 12, 24, 48)


@dataclass(frozen=True)
class Row:
    """What planning one model came to."""

    name: str
    parameters: float
    ops: int
    live: int
    stopped: int
    kinds: int
    promises: Counter[Fate]
    kept_mib: float
    capture: float
    programs: float

    def cells(self) -> list[str]:
        """In the order of the table's head."""
        made = sum(n for fate, n in self.promises.items() if fate is not Fate.FREE)
        return [
            self.name,
            f"{self.parameters / 1e6:,.0f}",
            f"{self.ops:,}",
            f"{self.live:,}",
            "100 %",
            str(self.stopped),
            str(self.kinds),
            str(made),
            str(self.promises[Fate.KEPT] + self.promises[Fate.DERIVED]),
            str(self.promises[Fate.RECOMPUTED]),
            f"{self.kept_mib:,.0f}",
            f"{self.capture:.1f}",
            f"{self.programs:.1f}",
        ]


HEAD = (
    "model",
    "million parameters",
    "ops",
    "live",
    "with a rule",
    "stopped",
    "kinds of live op",
    "promises made",
    "kept",
    "recomputed",
    "kept, MiB",
    "capture and plan, s",
    "programs, s",
)


def measured(name: str, build: Callable[[], Made], policy: str = "balanced") -> Row:
    """Plans one model; raises CoverageError if an op has no rule."""
    model, inputs = without_memory(build)
    start = time.process_time()
    engine = lrp.Engine(model, inputs, policy=policy)
    middle = time.process_time()
    program = engine.program
    end = time.process_time()
    coverage = engine.coverage()
    calls = [n for n in engine.captured.graph.nodes if n.op == "call_function"]
    return Row(
        name=name,
        parameters=sum(p.numel() for p in model.parameters()),
        ops=sum(holds_tensors(n) for n in calls),
        live=coverage.live,
        stopped=sum(coverage.stopped.values()),
        kinds=len({op for op, _, _ in coverage.rules}),
        promises=Counter(p.fate for p in program.promises),
        kept_mib=program.kept_bytes / 2**20,
        capture=middle - start,
        programs=end - middle,
    )


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table(models: dict[str, Callable[[], Made]]) -> list[Row]:
    """Prints one row per model, as soon as it is known."""
    print(line(HEAD))
    print(line(["---", *["---:"] * (len(HEAD) - 1)]))
    rows = []
    for name, build in models.items():
        try:
            rows.append(measured(name, build))
            print(line(rows[-1].cells()), flush=True)
        except LrpError as error:
            print(line([name, f"{type(error).__name__}: {str(error)[:300]}"]), flush=True)
        gc.collect()
    return rows


def total(title: str, rows: list[Row]) -> None:
    ops, live = sum(r.ops for r in rows), sum(r.live for r in rows)
    print(f"\n{title}: {live:,} of {live:,} live ops have a rule, {ops:,} ops in all.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*")
    chosen = parser.parse_args().only
    print(f"torch {torch.__version__}, transformers {transformers.__version__}\n")
    if chosen:
        table({name: (FIFTEEN | MORE)[name] for name in chosen})
        return
    rows = table(FIFTEEN)
    total(f"{len(rows)} of the {len(FIFTEEN)} models", rows)
    total("the others", table(MORE))
    table({f"GPT-2, {n} layers": partial(gpt2_small, n) for n in DEPTHS})


if __name__ == "__main__":
    main()
