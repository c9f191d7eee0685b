"""Records and rules are validated when they are registered."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lrp_engine.errors import RuleError
from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import (
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
