"""Capture without torch's second trace gives the same graph, and knows when it must not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx

import lrp_engine as lrp
from lrp_engine.capture import torch_module
from lrp_engine.capture.functional import make_functional, retrace
from lrp_engine.graphs.nodes import (
    module_stack,
    shape_text,
    target_name,
    value,
)
from tests.support import draw
from tests.zoo.table import ZOO

# --- writes that can be read as new values -----------------------------------------------------


def into_a_result(x: Tensor) -> Tensor:
    y = F.relu_(x * 2)
    y += x
    return y.mul_(y)


def into_a_view_that_only_it_has(x: Tensor) -> Tensor:
    return (x * 2).reshape(-1).neg_()


def under_two_names(x: Tensor) -> Tensor:
    y = x * 2
    y.contiguous().exp_()
    return y + x


def behind_idle_dropout(x: Tensor) -> Tensor:
    y = x * 2
    F.dropout(y, 0.5, False).relu_()
    return y + x


def into_one_of_two_results(x: Tensor) -> Tensor:
    best, where = x.topk(2, -1)
    best /= best.sum(-1, keepdim=True)
    return best * where


def into_zeros(x: Tensor) -> Tensor:
    return torch.zeros_like(x).index_add_(0, torch.tensor([1, 0, 1]), x.exp())


def constants(x: Tensor) -> Tensor:
    return x * torch.tensor(2.0).add_(1)


def dropout_that_acts(x: Tensor) -> Tensor:
    return F.dropout(x, 1.0, True) + x


PLAIN = [
    into_a_result,
    into_a_view_that_only_it_has,
    under_two_names,
    behind_idle_dropout,
    into_one_of_two_results,
    into_zeros,
    constants,
    dropout_that_acts,
]


# --- writes that others see --------------------------------------------------------------------


def through_a_view(x: Tensor) -> Tensor:
    y = x * 2
    y[:, 0] = 0.0
    return y * 3


def seen_through_an_older_view(x: Tensor) -> Tensor:
    y = x * 2
    flat = y.view(-1)
    y.add_(1)
    return flat.exp()


def into_a_part(x: Tensor) -> Tensor:
    y = x.exp()
    first, second = y.chunk(2, 1)
    first.add_(second)
    return y * 2


def into_an_input(x: Tensor) -> Tensor:
    return x.relu_() + x


def into_another_type(x: Tensor) -> Tensor:
    y = x.exp().float()
    y += x
    return x * y


SEEN = [
    through_a_view,
    seen_through_an_older_view,
    into_a_part,
    into_an_input,
    into_another_type,
]


def is_read_as_it_is(function: Callable[[Tensor], Tensor]) -> bool:
    with torch.no_grad():
        program = torch.export.export(torch_module._Function(function), (draw(3, 4),))
    return make_functional(program).program is program


def forward(captured: Any, x: Tensor) -> Tensor:
    program = fx.GraphModule(torch.nn.Module(), fx.Graph())
    for name, tensor in captured.tensors.items():
        setattr(program, name, tensor)
    program.graph = captured.graph
    return program(x)[0]


def test_which_programs_need_no_second_trace():
    assert all(is_read_as_it_is(function) for function in PLAIN)
    assert not any(is_read_as_it_is(function) for function in SEEN)


@pytest.mark.parametrize("function", [*PLAIN, *SEEN], ids=lambda f: f.__name__)
def test_what_is_captured_is_what_the_model_computes(function):
    captured = lrp.Engine(function, draw(3, 4), preset="gradient").captured
    x = draw(3, 4, seed=1)
    assert torch.equal(forward(captured, x.clone()), function(x.clone()))
    schemas = [getattr(node.target, "_schema", None) for node in captured.graph.nodes]
    assert not any(schema.is_mutable for schema in schemas if schema is not None)


def test_a_users_own_export_may_hold_writes():
    program = torch.export.export(torch_module._Function(into_a_result), (draw(3, 4),))
    x = draw(3, 4, seed=1)
    assert torch.equal(forward(lrp.Engine(program).captured, x), into_a_result(x.clone()))


# --- both ways to one graph --------------------------------------------------------------------

QUICK = ("vgg", "resnet", "diffusion_block", "gpt2", "mamba2")
# Behind a view, one trace writes idle dropout as a copy and two traces as nothing.
COPIES = pytest.mark.xfail(strict=True, reason="one trace copies a view behind idle dropout")


def marks_of(name: str) -> list[pytest.MarkDecorator]:
    return ([] if name in QUICK else [pytest.mark.slow]) + ([COPIES] * (name == "deberta_v2"))


BOTH = [pytest.param(n, marks=marks_of(n)) for n in ZOO]


@pytest.mark.parametrize("name", BOTH)
def test_torchs_own_way_gives_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = described(name)
    monkeypatch.setattr(torch_module, "make_functional", lambda program, **_: retrace(program))
    assert ours == described(name)


class WritesAroundDropout(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.relu, self.drop = torch.nn.ReLU(inplace=True), torch.nn.Dropout()
        self.last = torch.nn.Linear(4, 2, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        self.relu(y)
        z = self.drop(y)
        z -= 1
        self.relu(y)
        return self.last(z) + y[:, :2]


def test_a_second_trace_keeps_idle_dropout_among_the_modules() -> None:
    model, x = WritesAroundDropout().eval(), draw(3, 4)
    program = torch.export.export(model, (x,))
    before = str(program.graph)
    found = retrace(program)
    assert str(program.graph) == before
    assert any(is_alias_of_module(n, "drop") for n in found.program.graph.nodes)
    engine = lrp.Engine(model, x)
    assert torch.equal(forward(engine.captured, x), model(x))
    assert "drop" in engine.captured.modules


def is_alias_of_module(node: fx.Node, path: str) -> bool:
    return node.target is torch.ops.aten.alias.default and module_stack(node)[-1][0] == path


def described(name: str) -> tuple[Any, ...]:
    """Graph, modules, conditions and plan, in a fixed order (a view may stand earlier or later)."""
    entry = ZOO[name]
    model, inputs = entry.model(), entry.inputs(3, 7)
    with entry.precision():
        engine = lrp.Engine(model, inputs, output=entry.output, dynamic=entry.dynamic)
    captured = engine.captured
    nodes = [
        (target_name(n), shape_text(value(n)), str(module_stack(n)[-1:]), _operands(n))
        for n in captured.graph.nodes
    ]
    modules = sorted((path, len(found)) for path, found in captured.modules.items())
    conditions = sorted(map(str, captured.shapes.conditions()))
    return sorted(nodes), modules, conditions, sorted(row[1:] for row in engine.plan.rows())


def _operands(node: fx.Node) -> tuple[str, ...]:
    return tuple(target_name(n) for n in node.all_input_nodes if n.op == "call_function")
