"""Eager programs are spelt otherwise: the very same ops arrive at torch."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lrp_engine import Engine
from lrp_engine.programs.eager import generate_eager
from lrp_engine.run.inputs import flatten_inputs
from tests.support import assert_close, draw
from tests.test_promises import each_model, each_policy, engine_of, model_of
from tests.tracker import Arrivals

aten = torch.ops.aten


@torch.library.custom_op("lrp_engine_tests::mul", mutates_args=())
def other_mul(a: Tensor, b: Tensor) -> Tensor:
    """Named like an op of torch's, and something else."""
    return a + 2 * b


@other_mul.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return torch.empty_like(a)


def heard(run: Callable[..., Any], *given: Any) -> Sequence[Any]:
    """Names of ops and their arguments, as they arrive at torch."""
    with torch.no_grad(), Arrivals() as arrivals:
        run(*given)
    return arrivals.seen


@each_policy
@each_model
def test_the_same_ops_with_the_same_arguments_arrive(name, policy):
    engine = engine_of(name, policy)
    way, leaves = engine._explainer.pairs.whole, flatten_inputs(engine.captured, model_of(name)[1])
    program = way.wanted.program
    with torch.no_grad():
        values = program.forward(*leaves)
        output = values[engine.plan.output.position]
        given = [torch.ones_like(output), *leaves, *values[program.outputs :]]
        results = [run(list(given)) for run in (way.relevance, program.relevance)]
    assert heard(way.forward, *leaves) == heard(program.forward, *leaves)
    assert heard(way.relevance, list(given)) == heard(program.relevance, list(given))
    for mine, theirs in zip(*results, strict=True):
        assert torch.equal(mine, theirs)


def program_of(op: Any, *arguments: Any, **options: Any) -> fx.GraphModule:
    """A program of one call; tensors among its arguments are what the program is given."""
    graph = fx.Graph()
    with FakeTensorMode() as mode:
        nodes = []
        for i, argument in enumerate(arguments):
            nodes.append(graph.placeholder(f"x{i}") if isinstance(argument, Tensor) else argument)
            if isinstance(argument, Tensor):
                nodes[-1].meta["val"] = mode.from_tensor(argument)
        call = graph.call_function(op, tuple(nodes), options)
        call.meta["val"] = op(*fx.node.map_arg(tuple(nodes), lambda n: n.meta["val"]), **options)
    graph.output((call,))
    return fx.GraphModule({}, graph)


X, Y = draw(3, 4), draw(3, 4)


@pytest.mark.parametrize(
    "op, arguments, options, spelt",
    [
        (aten.mul.Tensor, (X, Y), {}, "torch.mul"),
        (aten.mul.Tensor, (X, 2.0), {}, "torch.mul"),
        (aten.add.Tensor, (X, Y), {"alpha": 0.5}, "torch.add"),
        (aten.sum.dim_IntList, (X, [1], True), {}, "torch.sum"),
        (aten.view.default, (X, [12]), {}, "x0.view"),
        (aten.linear.default, (X, Y), {}, "torch._C._nn.linear"),
        (aten._to_copy.default, (X,), {"dtype": torch.float32}, "x0.to"),
        (aten._to_copy.default, (X,), {"dtype": X.dtype}, "torch.ops.aten._to_copy.default"),
        (aten.silu.default, (X,), {}, "torch._C._nn.silu"),
        (aten.mean.dim, (X, None), {}, "torch.mean"),
        (aten.slice.Tensor, (X, 0, 1, 2), {}, "torch.ops.aten.slice.Tensor"),
        (aten.zeros.default, ([3],), {}, "torch.ops.aten.zeros.default"),
        (torch.ops.lrp_engine_tests.mul.default, (X, Y), {}, "torch.ops.lrp_engine_tests.mul"),
    ],
    ids=lambda v: str(v) if isinstance(v, (str, torch._ops.OpOverload)) else "",
)
def test_a_call_has_the_shortest_name_that_means_the_same(op, arguments, options, spelt):
    program = program_of(op, *arguments, **options)
    run, given = generate_eager(program), [a for a in arguments if isinstance(a, Tensor)]
    assert re.search(re.escape(spelt) + r"\b", run.code)
    assert heard(run, *given) == heard(program, *given)
    assert torch.equal(run(*given)[0], program(*given)[0])


def test_a_default_device_of_the_users_moves_nothing():
    for op, arguments in [(aten.zeros.default, ([3],)), (aten.zeros_like.default, (X,))]:
        run = generate_eager(program_of(op, *arguments))
        with torch.device("meta"):
            (found,) = run(*(a for a in arguments if isinstance(a, Tensor)))
        assert found.device == X.device


def test_a_cast_to_the_same_dtype_is_no_cast_for_the_next():
    """A name is found for one kind of call, and `to` may return the very tensor."""
    for dtypes in ([torch.float32, X.dtype], [X.dtype, torch.float32]):
        graph, mode = fx.Graph(), FakeTensorMode()
        given = graph.placeholder("x")
        given.meta["val"] = mode.from_tensor(X)
        casts = [graph.call_function(aten._to_copy.default, (given,), {"dtype": d}) for d in dtypes]
        for cast, dtype in zip(casts, dtypes, strict=True):
            cast.meta["val"] = given.meta["val"].to(dtype, copy=True)
        graph.output(tuple(casts))
        program = fx.GraphModule({}, graph)
        assert heard(generate_eager(program), X) == heard(program, X)
        assert all(found is not X for found in generate_eager(program)(X))


def test_products_one_behind_the_other_are_both_called_whole():
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 4, bias=False)).double().eval()
    x = draw(2, 3, 6)
    engine = Engine(model, x, preset="gradient")
    way = engine._explainer.pairs.whole
    assert way.relevance.code.count("torch.matmul") == 2
    assert_close(engine.explain(x, lambda out: out.sum()).coefficient["input"], in_full(model, x))


def in_full(model: nn.Module, x: Tensor) -> Tensor:
    """The plain gradient."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(model(x).sum(), x)[0]
