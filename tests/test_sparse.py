"""Constant sparse matrices: as the dense ones, and watched."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine
from lrp_engine.capture import sparse
from lrp_engine.errors import CaptureError, InputError
from tests.support import draw

Product = Callable[[Tensor, Tensor], Tensor]
ADJACENT = (draw(6, 6, seed=4) > 0.3).double()

PRODUCTS: dict[str, tuple[Callable[[Tensor], Tensor], Product]] = {
    "coo, sparse.mm": (Tensor.to_sparse, lambda a, h: torch.sparse.mm(a, h)),
    "csr, @": (Tensor.to_sparse_csr, lambda a, h: a @ h),
    "coo, addmm": (Tensor.to_sparse, lambda a, h: torch.sparse.addmm(h, a, h)),
    "coo, spmm": (Tensor.to_sparse, lambda a, h: torch.spmm(a, h)),
}


class Graph(nn.Module):
    """One layer of a graph network; its matrix is a buffer or a plain attribute."""

    def __init__(self, matrix: Tensor, product: Product, plain: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.out = nn.Linear(5, 4, bias=False), nn.Linear(4, 2, bias=False)
        self.double().eval()
        self.matrix = matrix if plain else nn.Buffer(matrix)
        self.product = product

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.product(self.matrix, self.inner(x))))


X = draw(6, 5)


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_relevance_is_gradient_times_input(name: str) -> None:
    """A net of weighted sums and rectifiers without biases."""
    layout, product = PRODUCTS[name]
    model = Graph(layout(ADJACENT), product, plain="@" in name)
    ex = Engine(model, X).explain(X, target=0)
    ex.check()
    leaf = X.clone().requires_grad_()
    dense = {"coo, addmm": lambda a, h: h + a @ h}.get(name, lambda a, h: a @ h)
    (slope,) = torch.autograd.grad(Graph(ADJACENT, dense)(leaf)[:, 0].sum(), leaf)
    torch.testing.assert_close(ex.relevance["x"], slope * X)
    assert model.matrix.layout is not torch.strided
    assert any("'matrix' is taken for a dense one" in note for note in ex.provenance.notes)


def test_a_changed_matrix_is_an_error() -> None:
    model = Graph(ADJACENT.to_sparse(), torch.sparse.mm)
    engine = Engine(model, X)
    engine.explain(X, target=0)
    model.matrix._values().mul_(2)
    with pytest.raises(InputError, match="entries of the sparse tensor 'matrix' are others"):
        engine.explain(X, target=0)
    model.matrix._values().div_(2)
    engine.explain(X, target=0)
    model.matrix = ADJACENT.to_sparse()
    with pytest.raises(InputError, match="'matrix' was replaced"):
        engine.explain(X, target=0)


def test_a_large_matrix_is_refused_with_the_way_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "_LARGEST", 10)
    with pytest.raises(CaptureError, match="index_add"):
        Engine(Graph(ADJACENT.to_sparse(), torch.sparse.mm), X)
