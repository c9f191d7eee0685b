"""Random graphs: relevance balances, promises are kept, and how a net is written is irrelevant."""

import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lrp_engine import Engine, Explanation
from lrp_engine.promises.policy import Policy
from tests.random_graphs import Program, Renamed, another_order, programs
from tests.support import assert_balances, draw

X, Y = draw(2, 3, 4), draw(2, 3, 4, seed=1)
quietly = settings(
    deadline=None,
    derandomize=True,
    max_examples=15,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def output_of(model: torch.nn.Module) -> Tensor:
    """The model's own result; programs that blow up are of no interest."""
    with torch.no_grad():
        output = model(X, Y)
    assume(output.isfinite().all() and output.abs().max() < 1e6)
    return output


def explained(model: torch.nn.Module) -> Explanation:
    return Engine(model, (X, Y), dynamic=False).explain((X, Y), [1, 3], ledger=True)


def assert_same(found: Explanation, expected: Explanation, tolerance: float) -> None:
    """Source by source, relative to the largest relevance that any op handled."""
    scale = max(account.size for account in expected.ledger.accounts)
    pairs = zip(found.relevance.values(), expected.relevance.values(), strict=True)
    assert all((a - b).abs().max() <= tolerance * scale for a, b in pairs)


@quietly
@given(programs())
def test_accounts_balance_promises_are_kept_and_the_output_is_the_models(steps):
    model = Program(steps)
    output = output_of(model)
    engine = Engine(model, (X, Y), dynamic=False)
    ways = (engine.with_policy(policy) for policy in Policy)
    keep, *others = every = [way.explain((X, Y), [1, 3], ledger=True) for way in ways]
    for other in others:
        assert_same(other, keep, 1e-14)
    for ex in every:
        assert torch.equal(ex.output, output)
        assert_balances(ex.ledger, 1e-12)
        assert {k for k, amount in ex.ledger.absorbed.items() if amount} <= {"constant", "bias"}


@quietly
@given(programs(), st.integers(0, 99))
def test_order_and_names_are_irrelevant(steps, seed):
    model = Program(steps)
    output_of(model)
    reordered = Renamed(Program(steps, another_order(steps, seed)))
    found, expected = explained(reordered), explained(model)
    assert_same(found, expected, 1e-12)
    renamed = {"x": "left", "y": "right"}
    assert list(found.relevance) == [renamed[name] for name in expected.relevance]
