"""Execute the code of CONTRIBUTING.md: a new op, a new rule, a new estimator, one file each."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.circuits import CircuitModel, Pairs, patch, score
from lrp_engine.method.registry import entries_of, standard
from lrp_engine.testing.rule_case import cases_of
from tests.rules.checks import assert_balanced, assert_matches_definition

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def module_with(word: str, folder: Path) -> ModuleType:
    """Save the code block that holds a word as a file, and import it."""
    (code,) = [block for block in BLOCKS if word in block]
    path = folder / "written.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location("written", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Bessel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.i1e(x).sum(-1, keepdim=True)


def test_a_new_op_is_one_file(tmp_path: Path) -> None:
    entries = entries_of(module_with("special_i1e", tmp_path))
    (op,) = entries
    assert op.target not in standard().ops, "the example must be an op without a record"
    registry = standard().with_entries(entries)
    for case in cases_of(op, registry):
        assert_matches_definition(case)
        assert_balanced(case)
    x = torch.tensor([[0.0, 0.5, -2.0]], dtype=torch.float64)
    explained = lrp.explain(Bessel().eval(), x, 0, rules=entries)
    torch.testing.assert_close(explained.relevance["x"], torch.special.i1e(x))
    explained.check()


def test_a_rule_of_ones_own_is_proved_and_used(tmp_path: Path) -> None:
    absolute = module_with("check_rule(absolute)", tmp_path).absolute
    preset = tmp_path / "own.toml"
    row = '[[rule]]\nfamily = "weighted_sum"\nuse = "absolute"\nmodule = "0"\n'
    preset.write_text(f'extends = "epsilon"\n{row}')
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double().eval()
    x = torch.randn(2, 4, dtype=torch.float64)
    engine = lrp.Engine(model, x, preset=preset, rules=[absolute])
    assert engine.plan.assignments[0].rule is absolute
    engine.explain(x, 1).check()


class Blocks(nn.Module):
    """A residual stream of blocks f(x), (batch, position, feature) -> (batch, class)."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(5, 5), activation, nn.Linear(5, 5)) for _ in range(2)
        )
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x).sum(1)


def subject_of(activation: nn.Module) -> tuple[CircuitModel, Pairs]:
    torch.manual_seed(0)
    clean, corrupt = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    pairs = Pairs(clean, corrupt, lambda out: out[:, 0] - out[:, 1])
    return CircuitModel(Blocks(activation).double().eval(), clean), pairs


def test_a_new_estimator_is_one_record(tmp_path: Path) -> None:
    written = module_with("relp_both", tmp_path)
    assert set(written.scores.values) >= {"blocks.3.attn.hook_z", "blocks.3.hook_mlp_out"}

    model, pairs = subject_of(nn.Identity())
    exact = patch(model, pairs, "mlp_out")
    found = score(model, pairs, "mlp_out", estimator=written.relp_both)
    for name, values in found.values.items():
        torch.testing.assert_close(values, exact[name])

    model, pairs = subject_of(nn.GELU())
    swapped = Pairs(pairs.corrupt, pairs.clean, pairs.metric)
    both = score(model, pairs, "mlp_out", estimator=written.relp_both)
    at_corrupt = score(model, pairs, "mlp_out", estimator="relp")
    at_clean = score(model, swapped, "mlp_out", estimator="relp")
    for name, values in both.values.items():
        torch.testing.assert_close(values, (at_corrupt[name] - at_clean[name]) / 2)
