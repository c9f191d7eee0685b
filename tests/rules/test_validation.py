"""Records and rules are validated when they are registered."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lrp_engine.errors import RuleError
from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import (
    Linear,
    Lookup,
    Normalisation,
    Op,
    Pointwise,
    Product,
    Quotient,
    WeightedSum,
)
from lrp_engine.method.registry import build, standard
from lrp_engine.method.rule import Rule, rule
from lrp_engine.method.samples import real, sample

aten = torch.ops.aten
_LINEAR: dict[str, Any] = {"input": "input", "weight": "weight", "bias": "bias"}


def citing(cites: str) -> Rule:
    @rule("mine", family=Pointwise, cites=cites)
    def mine(call: Call[Pointwise], c: Tensor) -> Coefficients:
        return call.only(c)

    return mine


MISSPELT: dict[str, tuple[Op, str]] = {
    "operands": (Pointwise(target=aten.special_i1.default, operands=("input",)), "self"),
    "input": (WeightedSum(target=aten.linear.default, **_LINEAR | {"input": "inpt"}), "input"),
    "weight": (WeightedSum(target=aten.linear.default, **_LINEAR | {"weight": "wight"}), "weight"),
    "bias": (WeightedSum(target=aten.linear.default, **_LINEAR | {"bias": "baes"}), "bias"),
    "factors": (Product(target=aten.mul.Tensor, factors=("self", "othr")), "other"),
    "numerator": (
        Quotient(target=aten.div.Tensor, numerator="slf", denominator="other"),
        "self",
    ),
    "denominator": (
        Quotient(target=aten.div.Tensor, numerator="self", denominator="othr"),
        "other",
    ),
    "table": (Lookup(target=aten.embedding.default, table="wight", indices="indices"), "weight"),
    "indices": (Lookup(target=aten.embedding.default, table="weight", indices="index"), "indices"),
}


@pytest.mark.parametrize("field", MISSPELT)
def test_a_misspelt_argument_is_refused(field: str) -> None:
    op, right = MISSPELT[field]
    with pytest.raises(RuleError, match=rf"{op.target}.*{field} '\w+'.*{right}"):
        build([op])


def test_a_misspelt_bias_of_a_normalisation_is_refused() -> None:
    op = Normalisation(target=aten.layer_norm.default, frozen=lambda call, c: c, bias="bais")
    with pytest.raises(
        RuleError, match=r"layer_norm\.default has bias 'bais'.*did you mean 'bias'"
    ):
        standard().with_entries([op])


def test_a_record_declared_by_name_is_validated_when_it_is_bound() -> None:
    registry = build([Pointwise(target="aten.special_i1.default", operands=("input",))])
    with pytest.raises(RuleError, match=r"special_i1\.default has operands 'input'.*self"):
        registry.records(aten.special_i1.default)


@pytest.mark.parametrize("cites", ["bach2015", "bach2015, eq. 58", "own", "own: by hand"])
def test_what_a_rule_may_cite(cites: str) -> None:
    assert build([citing(cites)]).rules


@pytest.mark.parametrize("cites", ["bach2016, eq. 58", "", "Bach et al.", "owned by me"])
def test_a_rule_that_cites_no_listed_paper_is_refused(cites: str) -> None:
    with pytest.raises(RuleError, match=r"rule 'mine' of family 'pointwise'.*references\.bib"):
        build([citing(cites)])


def test_the_nearest_key_is_named() -> None:
    with pytest.raises(RuleError, match="did you mean 'bach2015'"):
        build([citing("bach2051, eq. 58")])


def pointwise(**facts: Any) -> Op:
    return Pointwise(**{"target": aten.elu.default, "operands": ("self",)} | facts)


UNFIT: dict[str, tuple[Op, str]] = {
    "no tensor": (pointwise(operands=("alpha",)), "operands 'alpha', which is no tensor"),
    "no operand": (pointwise(operands=()), "names no operand.*'self'"),
    "template": (pointwise(templates=("othr",)), "templates 'othr'"),
    "packet": (pointwise(target=aten.elu), r"one overload.*add\.Tensor"),
    "function": (pointwise(target=torch.tanh), "one overload"),
    "half a name": (pointwise(target="elu.default"), "one overload"),
    "in place": (pointwise(target=aten.elu_.default), "writes into its operands"),
    "no family": (Op(target=aten.elu.default, operands=("self",)), "without a family"),
    "sample lacks": (pointwise(samples=(sample(alpha=1.0),)), "number 0, that lacks self"),
    "sample has more": (pointwise(samples=(sample(real(2), 1, 1, 1, 1),)), "more than the schema"),
    "sample misnames": (pointwise(samples=(sample(real(2), alhpa=1.0),)), "more than the schema"),
    "when": (pointwise(when=lambda arguments: True), "has 'when', which cannot be called with 2"),
    "ratio": (pointwise(ratio=lambda x: x), "has 'ratio', .*by name, alpha, scale, input_scale"),
    "adjoint": (
        Linear(target=aten.neg.default, operands=("self",), adjoint=lambda c: c),
        "has 'adjoint', which cannot be called with 2",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_record_that_does_not_fit_its_op_is_refused(name: str) -> None:
    op, message = UNFIT[name]
    with pytest.raises(RuleError, match=message):
        build([op])


def absorbs_two(call: Call[Pointwise], c: Tensor) -> dict[str, Tensor]:
    return {}


UNFIT_RULES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "too few": (lambda call: (), {}, r"must take \(call, c\)"),
    "any number": (lambda call, c, *more: (), {}, r"must take \(call, c\)"),
    "absorbs": (lambda call, c: (), {"absorbs": absorbs_two}, r"absorbs must take \(call, c, pas"),
    "form": (lambda call, c: (), {"gives": "relevance"}, "gives is 'relevance', which is no Form"),
}


@pytest.mark.parametrize("name", UNFIT_RULES)
def test_a_rule_that_cannot_be_called_is_refused(name: str) -> None:
    function, facts, message = UNFIT_RULES[name]
    with pytest.raises(RuleError, match=message):
        build([rule("mine", family=Pointwise, cites="own", **facts)(function)])


def test_a_rule_carries_operands_only() -> None:
    mine = rule("mine", family=Pointwise, cites="own", carries=lambda op: ("input",))
    with pytest.raises(RuleError, match=r"'mine'.*carries 'input'.*no operand of aten\.elu"):
        build([pointwise(), mine(lambda call, c: ())])
