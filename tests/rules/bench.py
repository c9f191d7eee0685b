"""A model that makes many calls side by side, each on inputs of its own, one number per call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

import lrp_engine as lrp
from lrp_engine.graphs.schema import Operand, invoke, substitute
from lrp_engine.testing.rule_case import RuleCase, call_of, pairs


class Bench(nn.Module):
    """Entry k of its output is sum(c_k * op_k(x_k, ...)), so c_k is what arrives at op k."""

    def __init__(self, cases: Sequence[RuleCase]) -> None:
        super().__init__()
        self.cases = tuple(cases)
        self.calls = [call_of(case) for case in cases]
        for k, (call, c) in enumerate(self.calls):
            for i, (_, entry) in enumerate(pairs(call.out, c)):
                self.register_buffer(f"c_{k}_{i}", entry)

    def inputs(self) -> tuple[Tensor, ...]:
        """Every live operand of every call."""
        return tuple(call.operand(o) for call, _ in self.calls for o in call.live)

    def forward(self, *inputs: Tensor) -> Tensor:
        """One number per call."""
        given = iter(inputs)
        numbers = []
        for k, (call, c) in enumerate(self.calls):
            live = {operand: next(given) for operand in call.live}
            out = invoke(call.op.target, substitute(call.arguments, live))
            weighed = [
                (o * getattr(self, f"c_{k}_{i}")).double().sum()
                for i, (o, _) in enumerate(pairs(out, c))
            ]
            numbers.append(sum(weighed))
        return torch.stack(numbers)

    def split(self, relevance: Sequence[Tensor]) -> list[dict[Operand, Tensor]]:
        """Relevance per input -> per call and operand."""
        given = iter(relevance)
        return [{operand: next(given) for operand in call.live} for call, _ in self.calls]


def preset_file(folder: Path, *rows: dict[str, Any], name: str = "bench") -> Path:
    """AttnLRP with some rows on top, as a user would write it."""
    lines = ['extends = "attnlrp"', "gates = false"]
    for row in rows:
        lines.append("[[rule]]")
        lines += [f'{k} = "{v}"' if isinstance(v, str) else f"{k} = {v}" for k, v in row.items()]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def assert_functional(graph: fx.Graph) -> None:
    """No op writes into its operands: equal computations are shared, so that would spoil others."""
    for node in graph.nodes:
        schema = getattr(node.target, "_schema", None)
        assert schema is None or not schema.is_mutable, node.format_node()


def explained(bench: Bench, preset: Path, **options: Any) -> lrp.Explanation:
    """The bench's calls, explained all at once with the ledger."""
    inputs = bench.inputs()
    engine = lrp.Engine(bench.eval(), inputs, preset=preset, dynamic=False, **options)
    assert_functional(engine.program.relevance.graph)
    result = engine.explain(inputs, torch.ones(len(bench.calls)).double(), ledger=True)
    assert torch.equal(result.output, bench(*inputs)), "the forward pass is not the model's own"
    return result
