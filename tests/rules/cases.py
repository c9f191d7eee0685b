"""Every op x sample x set of live operands x rule, as calls that a rule can be run on."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import torch

from lrp_engine.graphs.schema import operands_of
from lrp_engine.method.call import Call
from lrp_engine.method.op import Inert, Op
from lrp_engine.method.registry import standard
from lrp_engine.method.rule import Rule
from lrp_engine.rules.epsilon import Bias
from lrp_engine.rules.relevance_filter import Rank
from lrp_engine.testing.rule_case import RuleCase, arguments_of, cases_of

PARAMETERS: dict[tuple[str, str], tuple[dict[str, Any], ...]] = {
    ("weighted_sum", "epsilon"): (
        {"epsilon": 0.3},
        {"bias": Bias.DISTRIBUTE},
        {"bias": Bias.MAGNITUDE},
    ),
    ("weighted_sum", "z_plus"): ({"stabiliser": 0.2, "bias": Bias.DISTRIBUTE},),
    ("weighted_sum", "alpha_beta"): ({"alpha": 1.5, "beta": 0.5, "bias": Bias.DISTRIBUTE},),
    ("weighted_sum", "gamma"): ({"gamma": 2.0, "bias": Bias.DISTRIBUTE},),
    ("weighted_sum", "generalised_gamma"): ({"gamma": 2.0, "bias": Bias.DISTRIBUTE},),
    ("weighted_sum", "z_box"): ({"low": -2.0, "high": 3.0},),
    ("weighted_sum", "w_square"): ({"bias": Bias.DISTRIBUTE},),
    ("weighted_sum", "filtered"): ({"keep": 0.4}, {"keep": 0.4, "rank": Rank.MAGNITUDE}),
    ("selection", "takes_most"): ({"beta": 3.0},),
}


@cache
def all_cases() -> tuple[RuleCase, ...]:
    """Every case of the standard registry."""
    records = [op for op in all_records() if not isinstance(op, Inert) and in_double(op)]
    return tuple(case for op in records for case in cases_of(op, standard(), settings))


def in_double(op: Op) -> bool:
    """Whether the samples are in double precision, which the slow definitions need.

    The few ops that know no double have tests of their own (`test_grouped.py`).
    """
    found = operands_of(op.operands, arguments_of(op, 0))
    tensors = [Call(op, arguments_of(op, 0), (), None).operand(o) for o in found]
    return all(t.dtype != torch.bfloat16 for t in tensors)


def all_records() -> list[Op]:
    """Every op record; those of other libraries once these are loaded."""
    import transformers.integrations.moe  # noqa: F401 - registers its grouped matrix product

    registry = standard()
    targets = [named(t) if isinstance(t, str) else t for t in registry.ops]
    return [op for target in targets if target for op in registry.records(target)]


def named(name: str) -> Any:
    """The op of a name, `library.op.overload`; None for torchvision's, where it is not there."""
    library, op, overload = name.split(".")
    ops = getattr(torch.ops, library)
    if library == "torchvision" and not hasattr(ops, op):
        return None
    return getattr(getattr(ops, op), overload)


def settings(rule: Rule) -> list[dict[str, Any]]:
    """A rule's own parameters, where all have defaults, and those of PARAMETERS."""
    given = ({}, *PARAMETERS.get((rule.family, rule.name), ()))
    found = [dict(rule.parameters) | more for more in given]
    return [p for p in found if inspect.Parameter.empty not in p.values()]
