"""Values that cannot be negative are known as such; half of the signed sums is left out there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from lrp_engine import Engine, load_preset
from lrp_engine.graphs.schema import invoke
from lrp_engine.method.op import Op
from lrp_engine.method.registry import standard
from lrp_engine.plan import assign
from lrp_engine.plan.signs import find_never_negative
from lrp_engine.preset.preset import Preset
from lrp_engine.testing.rule_case import arguments_of
from tests.rules.cases import all_records
from tests.support import assert_close, draw, seeded

DECLARED = [op for op in all_records() if op.never_negative and op.samples]
CONVOLUTION = torch.ops.aten.convolution.default


def name(op: Op) -> str:
    return str(op.target)


def held(op: Op, arguments: dict[str, Any], known: bool) -> bool:
    """What the record says if all, or none, of the tensors are known to have no negative entry."""

    def never(argument: Any) -> bool:
        if isinstance(argument, (list, tuple)):
            return all(map(never, argument))
        return known if isinstance(argument, Tensor) else argument is not None and argument >= 0

    assert op.never_negative is not None
    return op.never_negative(arguments, never)


def lowest(op: Op, arguments: dict[str, Any]) -> float:
    found = [t for t in pytree.tree_leaves(invoke(op.target, arguments)) if isinstance(t, Tensor)]
    return min(float(t.min()) for t in found if t.dtype.is_floating_point)


@pytest.mark.parametrize("op", DECLARED, ids=name)
def test_what_is_declared_is_true(op: Op) -> None:
    for place in range(len(op.samples)):
        arguments = arguments_of(op, place)
        if held(op, arguments, known=False):
            assert lowest(op, arguments) >= 0
        if held(op, arguments, known=True):
            above = pytree.tree_map(
                lambda x: x.abs() if isinstance(x, Tensor) and x.is_floating_point() else x,
                arguments,
            )
            assert lowest(op, above) >= 0


@pytest.mark.parametrize("limit, sure", [(0.0, True), (0.25, True), (-1.0, False)])
@pytest.mark.parametrize("target", ["clamp", "clamp_min", "hardtanh"])
def test_a_limit_tells_the_sign(target: str, limit: float, sure: bool) -> None:
    call = getattr(torch.ops.aten, target).default
    highest = () if target == "clamp_min" else (6.0,)
    graph = fx.Graph()
    node = graph.call_function(call, (graph.placeholder("x"), limit, *highest))
    assert (node in find_never_negative(graph, standard())) is sure
    assert (float(call(draw(50), limit, *highest).min()) >= 0) is sure


class Net(nn.Module):
    """Inputs of both signs first, then rectified, pooled, added ones."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (
            nn.Conv2d(a, b, 3, padding=1) for a, b in [(2, 4), (4, 4), (4, 4)]
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.first(x).relu(), 2)
        x = x + self.second(x).relu()
        return self.head(self.third(x).relu().mean((2, 3)))


PRESETS = [
    "epsilon_plus",
    "epsilon_alpha2_beta1",
    "gamma",
    load_preset("epsilon_gamma_box", low=-3.0, high=3.0),
]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: getattr(p, "name", p))
def test_relevance_is_what_it_is_without_that_knowledge(
    preset: str | Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = seeded(Net), draw(2, 2, 8, 8)
    known = Engine(model, x, preset=preset, dynamic=False)
    monkeypatch.setattr(assign, "find_never_negative", lambda *_: frozenset())
    unknown = Engine(model, x, preset=preset, dynamic=False)
    found, expected = (e.explain(x, 1, ledger=True) for e in (known, unknown))
    assert_close(found.relevance["input"], expected.relevance["input"], 1e-13)
    assert found.check().ledger.absorbed == pytest.approx(expected.ledger.absorbed, abs=1e-12)
    counts = [convolutions(engine) for engine in (known, unknown)]
    assert counts[0] < counts[1]


def test_half_of_the_sums_is_left_out_behind_rectifiers() -> None:
    engine = Engine(seeded(Net), draw(2, 2, 8, 8), preset="epsilon_plus")
    # Of the model three. The sums of z+ and their adjoints: two each for the first, one each for
    # the other two convolutions.
    assert convolutions(engine) == 3 + 4 + 2 * 2


def convolutions(engine: Engine) -> int:
    programs = (engine.program.forward, engine.program.relevance)
    return sum("conv" in str(n.target) for program in programs for n in program.graph.nodes)
