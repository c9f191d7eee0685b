"""Relevance is conserved exactly where nothing absorbs it, and booked where something does."""

from pathlib import Path

import pytest
import torch
from torch import nn

from lrp_engine import explain
from tests import nets
from tests.support import assert_balances, assert_close, assert_conserves, draw, seeded

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
ONCE = {"dynamic": False, "ledger": True}
each_net = pytest.mark.parametrize("kind", nets.INPUTS, ids=lambda k: k.__name__)
each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])


@pytest.fixture
def tiny_epsilon(tmp_path: Path) -> Path:
    """LRP-epsilon with a stabiliser near the precision of float64."""
    preset = tmp_path / "tiny.toml"
    row = '[[rule]]\nfamily = "weighted_sum"\nuse = "epsilon"\nepsilon = 1e-16\n'
    preset.write_text(f'extends = "epsilon"\n{row}')
    return preset


@each_dtype
@each_net
def test_a_net_without_biases_conserves_under_attnlrp(kind, dtype):
    model, inputs = nets.net(kind, dtype=dtype)
    ex = explain(model, inputs, target=[0, 1, 3], preset="attnlrp", **ONCE)
    assert_conserves(ex, TOLERANCE[dtype])
    assert not any(ex.ledger.absorbed.values())


@each_net
def test_a_net_without_biases_conserves_under_epsilon(kind, tiny_epsilon):
    model, inputs = nets.net(kind, seed=1)
    ex = explain(model, inputs, target=[0, 1, 3], preset=tiny_epsilon, **ONCE)
    assert_conserves(ex, 1e-12)


@each_net
def test_epsilon_books_what_its_stabiliser_takes(kind):
    model, inputs = nets.net(kind)
    ex = explain(model, inputs, target=1, preset="epsilon", **ONCE)
    assert_balances(ex.ledger, 1e-12)
    assert {cause for cause, amount in ex.ledger.absorbed.items() if amount} == {"stabiliser"}


@pytest.mark.parametrize("preset, dtype", [("attnlrp", torch.float64), ("epsilon", torch.float32)])
@each_net
def test_biases_are_booked_so_that_totals_balance(kind, dtype, preset):
    model, inputs = nets.net(kind, bias=True, dtype=dtype)
    ex = explain(model, inputs, target=[0, 1, 3], preset=preset, **ONCE)
    assert_balances(ex.ledger, TOLERANCE[dtype])
    assert sum(abs(amount) for amount in ex.ledger.absorbed.values()) > 1e-3


def test_a_bias_takes_its_weight_times_the_coefficient():
    model = seeded(nn.Linear, 6, 4)
    ex = explain(model, draw(3, 6), target=2, dynamic=False)
    booked = sum(ex.ledger.absorbed.values())
    assert booked == pytest.approx(3 * model.bias[2].item(), rel=1e-12)


def test_relevance_of_a_residual_block_is_the_sum_over_its_two_paths():
    inner = seeded(nn.Linear, 6, 6)
    x, target = draw(3, 6), draw(3, 6, seed=1)
    both = explain(lambda x: x + inner(x), x, target=target).relevance["input"]
    straight = x * target
    through = x * (target @ inner.weight)
    assert_close(both, straight + through, 1e-14)


def test_a_reused_module_gives_the_same_as_its_copies():
    step = seeded(nn.Linear, 6, 6)
    copies = nn.Sequential(*(seeded(nn.Linear, 6, 6) for _ in range(3))).eval()
    reused = nn.Sequential(step, step, step).eval()
    found, expected = (
        explain(model, draw(3, 6), target=1).relevance["input"] for model in (reused, copies)
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    "write",
    [
        lambda x, places: torch.zeros_like(x).scatter(1, places.expand(x.shape[0], -1), x),
        lambda x, places: torch.zeros_like(x).index_copy(1, places, x),
        lambda x, places: torch.zeros_like(x).index_put(
            (torch.arange(x.shape[0])[:, None], places), x
        ),
    ],
)
def test_of_entries_written_to_one_place_only_the_last_gets_relevance(write):
    places, x = torch.tensor([0, 0, 1, 2, 2, 5]), draw(2, 6)
    head = torch.nn.Linear(6, 3, bias=False).double()
    ex = explain(lambda x: head(write(x, places)), x, [0, 2], ledger=True)
    expected = torch.zeros_like(x)
    for sample, target in enumerate([0, 2]):
        for entry in (1, 2, 4, 5):  # 0 and 3 are written over
            expected[sample, entry] = x[sample, entry] * head.weight[target, places[entry]]
    assert_close(ex.relevance["x"], expected.detach(), 1e-12)
    assert_conserves(ex, 1e-12)
