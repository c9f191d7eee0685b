"""Compiled programs: no graph breaks, and no compilation for every new length."""

import functools

import torch
from torch import Tensor, nn

from lrp_engine import Engine
from tests.support import assert_close, seeded


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


def test_new_lengths_and_batches_are_not_compiled_anew(monkeypatch):
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
        found, expected = (e.explain(ids, 3, position=-1) for e in (engine, eager))
        assert_close(found.relevance["input"], expected.relevance["input"], 1e-12)
        seen.append(len(graphs))
    assert given == [True, True]
    # Two programs: once for the first sizes, once for sizes left open; then never again.
    assert seen[-1] == seen[1] <= 4
