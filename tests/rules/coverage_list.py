"""The ops that the method knows, one per line: op, family, rule under the default preset.

`python -m tests.rules.coverage_list` writes the list anew.
"""

from __future__ import annotations

from pathlib import Path

from torch import fx

from lrp_engine.method.op import Op
from lrp_engine.method.registry import standard
from lrp_engine.preset.preset import Preset
from lrp_engine.preset.preset_file import load

LIST = Path(__file__).with_name("op_coverage.txt")


def lines() -> list[str]:
    """The list as the registry has it now."""
    preset = load("attnlrp", standard())
    records = [op for ops in standard().ops.values() for op in ops]
    return sorted({f"{op.target} {op.family} {rule_for(op, preset)}" for op in records})


def rule_for(op: Op, preset: Preset) -> str:
    """The rule that the preset chooses for an op wherever it stands."""
    if op.family == "inert":
        return "(dropped)"
    graph = fx.Graph()
    node = graph.placeholder("x") if isinstance(op.target, str) else graph.call_function(op.target)
    entry = preset.choose(node, op.family)
    assert entry is not None, f"no rule for family {op.family!r}"
    return entry.use


if __name__ == "__main__":
    LIST.write_text("\n".join(lines()) + "\n")
    print(f"{len(lines())} lines written to {LIST}")
