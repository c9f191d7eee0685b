"""The oracles themselves: faults that are planted are caught, each as what it is."""

import time
from unittest import mock

import pytest
import torch

from lrp_engine import Engine, Explanation
from lrp_engine.circuits import score
from lrp_engine.errors import InputError
from lrp_engine.promises.policy import Policy
from tests.fuzz import oracles, ways
from tests.fuzz.generate import EMBEDDING, PORTS
from tests.fuzz.gradients import gradient_is_autograds
from tests.fuzz.nets import Net, Port, Step
from tests.fuzz.onnx_oracle import compare
from tests.fuzz.ops import FAMILIES, ROWS
from tests.fuzz.oracles import Case
from tests.fuzz.outcomes import (
    HangError,
    Outcome,
    RawError,
    SilentError,
    judge,
    require,
)
from tests.fuzz.reread import net_from
from tests.fuzz.rows import Row

SCALE = Row("scale", lambda x, w: x * w, weights=lambda x: [x.shape[1:]])
SOFTMAX = next(row for row in ROWS if row.name == "softmax")
PRODUCT = Row("product", torch.mul, "ff")


def net(*rows: Row, ports: int = 1) -> Net:
    operands = {1: (0,), 2: (0, 1)}
    steps = tuple(Step(row, operands[len(row.operands)], {}) for row in rows)
    return Net((Port("f", (4,)),) * ports, steps)


@pytest.fixture(scope="module")
def product():
    """A product of two inputs, for which every oracle passes."""
    return Case(net(PRODUCT, ports=2), dynamic=True)


def test_all_is_well_without_a_fault(product):
    for oracle in (
        *oracles.ALWAYS,
        gradient_is_autograds,
        oracles.other_data_are_served,
        *oracles.SIZES,
        ways.threads_agree,
    ):
        assert judge(lambda oracle=oracle: oracle(product))[0] is Outcome.SERVED


def changed(ex: Explanation, name: str, factor: float) -> Explanation:
    relevance = {**ex.relevance, name: ex.relevance[name] * factor}
    return Explanation(ex.explained, relevance, ex.coefficient, ex.provenance, ex.output, ex.ledger)


def caught(case: Case, oracle: object, explain: object) -> bool:
    """A fresh case with a faulty engine fails this oracle."""
    with mock.patch.object(Engine, "explain", explain), pytest.raises(SilentError):
        oracle(Case(case.net, dynamic=case.dynamic))
    return True


def faulty(change):
    """Engine.explain, but for a change to what it returns."""
    right = Engine.explain

    def explain(self, inputs, target=None, **options):
        return change(right(self, inputs, target, **options), inputs, self)

    return explain


def test_a_wrong_rule_is_caught(product):
    wrong = faulty(lambda ex, _inputs, _engine: changed(ex, "a", 0.5))
    assert caught(product, oracles.sums_to_the_output, wrong)
    assert caught(product, gradient_is_autograds, wrong)


def test_a_dropped_operand_is_caught(product):
    """Under `gradient` alone: nothing at the second input, as if its argument were unknown."""

    def drop(ex, _inputs, engine):
        return changed(ex, "b", 0.0) if engine.plan.preset.name == "gradient" else ex

    assert caught(product, gradient_is_autograds, faulty(drop))


def test_relevance_that_is_not_finite_is_caught(product):
    wrong = faulty(lambda ex, _inputs, _engine: changed(ex, "a", float("nan")))
    assert caught(product, oracles.is_finite, wrong)


def test_another_answer_for_other_data_is_caught(product):
    def other(ex, inputs, _engine):
        same = torch.equal(inputs[0], product.inputs[0])
        return ex if same else changed(ex, "a", 1.01)

    assert caught(product, oracles.other_data_are_served, faulty(other))


def test_a_net_is_read_from_what_it_prints():
    step = Step(SOFTMAX, (0,), {"axis": 1})
    written = Net((Port("f", (3, 4)), Port("i", (5,))), (step,))
    assert net_from(repr(written)) == written


def test_another_answer_for_one_sample_is_caught(product):
    def alone(ex, inputs, _engine):
        return changed(ex, "a", 1.01) if len(inputs[0]) == 1 else ex

    assert caught(product, oracles.samples_are_independent, faulty(alone))


def test_another_answer_for_larger_batches_is_caught(product):
    right = Engine.explain
    calls = []

    def explain(self, inputs, target=None, **options):
        calls.append(self)
        ex = right(self, inputs, target, **options)
        return changed(ex, "a", 1.01) if len(inputs[0]) == 5 and self is calls[0] else ex

    assert caught(product, oracles.other_sizes_are_served, explain)


def test_a_policy_that_disagrees_is_caught(product):
    def by_policy(ex, _inputs, engine):
        return ex if engine.policy is Policy.KEEP else changed(ex, "a", 1.01)

    assert caught(product, oracles.policies_agree, faulty(by_policy))


def test_threads_that_disagree_are_caught(product):
    count = iter(range(10**6))
    wrong = faulty(lambda ex, _inputs, _engine: changed(ex, "a", 1.0 + 0.01 * next(count)))
    assert caught(product, ways.threads_agree, wrong)


def test_another_forward_result_is_caught():
    """A model whose own result is not what was captured, in the last bit."""
    case = Case(net(SCALE))
    assert case.audited.output is not None
    with torch.no_grad():
        case.model.heads["1"].bias.nextafter_(torch.tensor(9.0).double())
    with pytest.raises(SilentError, match="output differs"):
        oracles.forward_is_the_models(case)


def test_a_score_that_is_no_coefficient_times_difference_is_caught():
    case = Case(net(SCALE))
    with mock.patch.object(ways, "score", wrong_score), pytest.raises(SilentError, match="score"):
        ways.scores_are_coefficients_times_differences(case)


def wrong_score(*args, **kwargs):
    found = score(*args, **kwargs)
    wrong = {name: 1.01 * values for name, values in found.values.items()}
    return mock.Mock(values=wrong)


def test_compiled_programs_that_differ_are_caught(product):
    def wrong(engine, inputs):
        return changed(oracles.explain(engine, inputs), "a", 1.01)

    with mock.patch.object(ways, "explain", wrong), pytest.raises(SilentError):
        ways.compiled_by("eager")(Case(product.net))


def test_a_model_that_differs_at_batch_size_1_is_refused_or_caught():
    special = Row("special", lambda x: 2 * x if x.shape[0] == 1 else x)
    case = Case(net(special, SCALE), dynamic=True)
    outcome, why = judge(lambda: oracles.samples_are_independent(case))
    assert outcome is Outcome.REFUSED
    assert "size of 1" in why


# --- outcomes ------------------------------------------------------------------------------------


def raw():
    raise IndexError("tuple index out of range")


def refused():
    raise InputError("the input has no axes")


def hang():
    while True:
        try:
            sum(range(1000))
        except Exception:  # code under test that catches everything
            continue


def test_outcomes():
    assert judge(lambda: None) == (Outcome.SERVED, "")
    assert judge(refused)[0] is Outcome.REFUSED
    with pytest.raises(RawError, match="IndexError: tuple index"):
        judge(raw)
    with pytest.raises(HangError):
        judge(hang, working=0.2)
    with pytest.raises(HangError):
        judge(lambda: time.sleep(5), waiting=0.2)
    with pytest.raises(SilentError):
        judge(lambda: require(False, "wrong"))


def test_a_file_with_another_output_is_caught():
    right = torch.tensor([[1.0, 2.0]])
    compare([right.numpy()], [right])
    with pytest.raises(SilentError, match="by the reference"):
        compare([right.numpy()], [right + 0.1])
    with pytest.raises(SilentError, match="shape"):
        compare([right.numpy()], [right[0]])


# --- the generator -------------------------------------------------------------------------------


def test_rows_are_named_once_and_many():
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names)) > 500
    assert all(FAMILIES.values())


def test_nets_use_every_value_that_nothing_reads():
    """Else a fault in a branch could not show."""
    found = Net(PORTS[:2], (Step(SCALE, (0,), {}), Step(SCALE, (1,), {})))
    assert found.unread() == (2, 3)
    assert set(oracles.build(found).heads) == {"2", "3"}
    ids = Net((Port("i", (5,)),), (Step(EMBEDDING, (0,), {}),))
    assert oracles.build(ids)(*ids.inputs()).shape == (2, 3)
