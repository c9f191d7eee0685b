"""Compiled programs: no graph breaks, and no compilation for every new length."""

import functools

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine
from lrp_engine.errors import CompilerError, InputError
from lrp_engine.promises.promise import Fate
from tests import nets
from tests.support import assert_close, draw, seeded


class Attends(nn.Module):
    """Embedding, causal attention, a gelu layer, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(11, 8), nn.Linear(8, 24)
        self.inner, self.head = nn.Linear(8, 8), nn.Linear(8, 11)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        q, k, v = self.mix(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + mixed.transpose(1, 2).flatten(-2)
        return self.head(x + nn.functional.gelu(self.inner(x)))


@pytest.mark.parametrize("whole", [pytest.param(True, marks=pytest.mark.slow), None])
def test_new_lengths_and_batches_are_not_compiled_anew(monkeypatch, whole):
    graphs = []

    def counting(module, example_inputs):
        graphs.append(module)
        return module.forward

    # The compiler proper is left out: what is counted is how often it would be called. With
    # fullgraph=True, which the engine passes, a graph break would be an error.
    given: list[bool] = []

    def compile_counted(function, *, fullgraph=False, **options):
        given.append(fullgraph)
        return original(function, fullgraph=fullgraph, backend=counting)

    original = torch.compile
    monkeypatch.setattr(torch, "compile", functools.partial(compile_counted))
    torch._dynamo.reset()
    model = seeded(Attends)
    example = torch.arange(10).reshape(2, 5)
    engine, eager = (Engine(model, {"ids": example}, compile=c) for c in (True, False))
    seen = []
    for batch, length in [(2, 5), (3, 7), (4, 6), (2, 9), (5, 11), (3, 4)]:
        ids = {"ids": torch.randint(0, 11, (batch, length))}
        found, expected = (
            e.explain(ids, 3, position=-1, full_output=whole) for e in (engine, eager)
        )
        assert_close(found.relevance["input"], expected.relevance["input"], 1e-12)
        seen.append(len(graphs))
    assert given == [True, True]
    # Two programs: once for the first sizes, once for sizes left open; then never again.
    assert seen[-1] == seen[1] <= 4


class Gated(nn.Module):
    """A gated layer: its product's factors live inside a fused kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up, self.down = (nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))


def test_what_a_compiler_fuses_is_computed_again_rather_than_written():
    x = torch.ones(3, 8, dtype=torch.float64)
    eager, compiled = (Engine(seeded(Gated), x, compile=c) for c in (False, True))
    kept = {p.made_by for p in compiled.promises if p.fate is Fate.KEPT}
    assert kept == {"aten.linear.default"}
    assert compiled.promises.kept_bytes < eager.promises.kept_bytes
    program = compiled.program
    seed = torch.ones(3, 8, dtype=torch.float64)
    promises = list(program.forward(x))[program.outputs :]
    found, _ = program.relevance([seed, x, *promises])
    expected = eager.explain(x, seed).relevance["input"]
    assert_close(found, expected, 1e-12)


def test_the_compiler_proper_gives_the_same_relevance():
    """A residual net: its halves meet matrix products in sums with a factor."""
    model, x = nets.net(nets.InPlace, bias=True)
    torch._dynamo.reset()
    found, expected = (Engine(model, x, compile=c).explain(x, 1) for c in (True, False))
    assert_close(found.relevance["input"], expected.relevance["input"], 1e-12)
    assert_close(found.explained, expected.explained, 1e-12)


def test_a_mode_that_torch_does_not_know_is_refused_at_once():
    model, x = nets.net(nets.InPlace, bias=True)
    message = r"unknown torch.compile mode 'fast'; choose from: .*reduce-overhead"
    with pytest.raises(InputError, match=message):
        Engine(model, x, compile="fast")


def test_a_compiler_that_gets_it_wrong_is_found_out(monkeypatch):
    original = torch.compile

    def wrong(module, example_inputs):
        def run(*given):
            first, *rest = module.forward(*given)
            return (1.13 * first, *rest)

        return run

    monkeypatch.setattr(torch, "compile", lambda f, **options: original(f, backend=wrong))
    torch._dynamo.reset()
    model, x = nets.net(nets.InPlace, bias=True)
    with pytest.raises(CompilerError, match=r"forward program disagrees .* difference 0\.\d+, of"):
        Engine(model, x, compile=True).explain(x, 1)


class HalfNorm(nn.Module):
    """A sum in half precision and its size in single precision, as in a language model's norms."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(64, 64), nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x + self.inner(x)
            wide = x.float()
            x = (wide * (wide.square().mean(-1, keepdim=True) + 1e-5).rsqrt()).to(x.dtype)
        return self.head(x)


def test_rounding_that_a_compiler_leaves_out_is_no_fault_of_it():
    """Single precision values differ by as much as the half precision values that made them."""
    model, x = seeded(HalfNorm, dtype=torch.bfloat16), draw(4, 64, dtype=torch.bfloat16)
    torch._dynamo.reset()
    found, expected = (Engine(model, x, compile=c).explain(x, 1) for c in (True, False))
    assert_close(found.relevance["input"], expected.relevance["input"], 0.03)


class Noisy(nn.Module):
    """Draws random numbers in eval mode, too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * torch.rand_like(x)


def test_two_runs_of_a_model_that_draws_random_numbers_are_not_compared(monkeypatch):
    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **options: original(f, backend="eager"))
    torch._dynamo.reset()
    model, x = seeded(Noisy), torch.ones(3, 8, dtype=torch.float64)
    found = Engine(model, x, compile=True).explain(x, 1).relevance["input"]
    drawn = found / model.inner.weight[1].detach()
    assert_close(drawn, drawn[:, :1].expand_as(drawn), 1e-12)
