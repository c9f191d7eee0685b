"""Monte Carlo arithmetic beside what rounding really does, and what it is for: compiled programs of
models that amplify rounding."""

import pytest
import torch
from torch import Tensor, fx, nn

from lrp_engine import Engine
from lrp_engine.errors import CompilerError
from lrp_engine.programs.rounding import run_perturbed
from tests.support import draw, seeded

aten = torch.ops.aten


def chain(*steps) -> fx.GraphModule:
    """x through ops of one tensor, which are all returned."""
    graph = fx.Graph()
    values = [graph.placeholder("x")]
    for op, *args in steps:
        values.append(graph.call_function(op, (values[-1], *args)))
    graph.output(tuple(values[1:]))
    return fx.GraphModule({}, graph)


SUMS = chain(
    (aten.sin.default,), (aten.cumsum.default, 0), (aten.exp.default,), (aten.cumsum.default, 1)
)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_chance_moves_results_as_far_as_rounding_does_and_not_much_further(dtype):
    x = draw(30, 40, dtype=dtype)
    plain, exact, moved = SUMS(x), SUMS(x.double()), run_perturbed(SUMS, x)
    for mine, true, other in zip(plain, exact, moved, strict=True):
        rounding, spread = ((v.double() - true).abs().max() for v in (mine, other))
        assert rounding <= spread <= 30 * rounding


def test_the_same_chances_every_time_and_torchs_own_are_left_alone():
    x, before = draw(5, 4, dtype=torch.float32), torch.get_rng_state()
    first, again, other = (run_perturbed(SUMS, x, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first[-1], again[-1])
    assert not torch.equal(first[-1], other[-1])
    assert torch.equal(before, torch.get_rng_state())


def test_what_is_exact_stays():
    x = torch.tensor([0.0, -torch.inf, torch.inf, torch.finfo(torch.float32).max])
    kept = chain((aten.neg.default,), (aten.view.default, [2, 2]), (aten.isinf.default,))
    negated, viewed, infinite = run_perturbed(kept, x)
    assert negated[:3].tolist() == [0.0, torch.inf, -torch.inf]
    assert negated[3].isfinite()
    assert torch.equal(viewed.flatten(), negated)
    assert infinite.tolist() == [[False, True], [True, False]]


class Amplifies(nn.Module):
    """Multiplies every difference by six, twice over."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(256, 5)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = 2 * torch.sin(3 * x)
        return self.head(x)


@pytest.fixture
def compile_as(monkeypatch):
    """torch.compile, with a compiler that runs the program as it is told."""
    original = torch.compile

    def by(run) -> None:
        def backend(module, example_inputs):
            return lambda *given: run(module, *given)

        monkeypatch.setattr(torch, "compile", lambda f, **options: original(f, backend=backend))
        torch._dynamo.reset()

    return by


def amplifying() -> tuple[nn.Module, Tensor]:
    return seeded(Amplifies, dtype=torch.bfloat16), draw(64, 256, dtype=torch.bfloat16)


def test_a_compiler_may_round_otherwise_where_rounding_is_amplified(compile_as):
    model, x = amplifying()
    plain = Engine(model, x).explain(x, 1).relevance["input"]
    compile_as(lambda module, *given: run_perturbed(module, *given, seed=99))
    found = Engine(model, x, compile=True).explain(x, 1).relevance["input"]
    assert (found - plain).abs().max() > 0.1 * plain.abs().max()  # which half the digits forbid


def test_a_compiler_may_not_do_otherwise_there(compile_as):
    compile_as(lambda module, *given: [1.7 * v for v in run_perturbed(module, *given, seed=99)])
    model, x = amplifying()
    with pytest.raises(CompilerError, match="rounding accounts for"):
        Engine(model, x, compile=True).explain(x, 1)


def test_a_compiled_program_may_not_lose_a_number(compile_as):
    compile_as(lambda module, *given: [v.log() for v in module.forward(*given)])
    model, x = seeded(Amplifies), draw(4, 256)
    with pytest.raises(CompilerError, match="difference inf"):
        Engine(model, x, compile=True).explain(x, 1)
