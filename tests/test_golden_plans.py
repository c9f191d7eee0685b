"""The plans of four transformers, op by op, as they were when last looked at.

A change of a rule, of liveness or of a pass shows here as a line of text. After a change that is
meant, `python -m tests.test_golden_plans` writes the files anew; read the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

import lrp_engine as lrp
from tests.references import models

FOLDER = Path(__file__).parent / "golden"
NAMES = ("gpt2", "llama", "bert", "vit")


def versions() -> str:
    return f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}"


def plan_text(name: str) -> str:
    """The plan without node names and sizes, which are torch's to choose."""
    model, inputs = getattr(models, name)(attn_implementation="sdpa")
    plan = lrp.Engine(model, inputs).plan
    rows = [f"{op} | {rule} | {live} | {place}" for _, op, _, rule, live, place in plan.rows()]
    stops = [f"{s.node.target} | {s.reason}" for s in plan.stopped]
    sources = ", ".join(source.name for source in plan.sources)
    return "\n".join([versions(), f"sources: {sources}", "", *rows, "", "stopped", *stops, ""])


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_is_the_one_that_was_looked_at(name: str) -> None:
    golden = (FOLDER / f"{name}.txt").read_text()
    if golden.splitlines()[0] != versions():
        pytest.skip(f"written for {golden.splitlines()[0]}: other versions spell the models anew")
    assert plan_text(name) == golden


def main() -> None:
    for name in NAMES:
        (FOLDER / f"{name}.txt").write_text(plan_text(name))


if __name__ == "__main__":
    main()
