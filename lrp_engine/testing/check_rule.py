"""Verify the claims of a rule on sample calls, in double precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from ..errors import RuleError
from ..graphs.tracing import trace
from ..method.call import Form
from ..method.op import Op
from ..method.registry import Registry, standard
from ..method.rule import Rule
from .rule_case import (
    Arrived,
    RuleCase,
    apply,
    balance,
    call_of,
    cases_of,
    relevance_of,
    run_rule,
)

Reference = Callable[..., Sequence[Tensor]]

TOLERANCE = 1e-10


def check_rule(
    rule: Rule,
    *,
    ops: Iterable[Op] = (),
    reference: Reference | None = None,
    registry: Registry | None = None,
    **parameters: object,
) -> int:
    """Check a rule on the samples of every op that it can serve; return the number of calls.

    On each call, with every choice of live operands and in every form that the rule takes:

    - it returns one flow per live operand, of the operand's shape, finite, and can be traced;
    - received = passed + what `absorbs` claims, to 1e-10 of the sum of |R|;
    - it is linear in what arrives (or, with `linear=False`, doubles when that is doubled);
    - whether coefficients or relevance arrive makes no difference;
    - with `reference(call, c, **parameters)`, which gives the relevance of each live operand by the
      rule's slow definition, both agree to 1e-10 of the largest entry.

    Args:
        rule: The rule; it need not be registered.
        ops: Records to check it on; default: all records of its family in the registry.
        reference: The slow definition.
        registry: Where op records are looked up; default: those that come with the engine.
        parameters: Of the rule, where its defaults are not enough.

    Raises:
        RuleError: If a claim is broken; names the op, the sample and the claim.

    Example:
        >>> from lrp_engine.rules.epsilon import epsilon
        >>> from lrp_engine.testing import check_rule
        >>> check_rule(epsilon, epsilon=0.1) > 20
        True
    """
    cases = _cases(rule, tuple(ops), standard() if registry is None else registry, parameters)
    for case in cases:
        for claim in (_shapes, _balance, _linearity, _forms):
            claim(case)
        if reference is not None:
            _definition(case, reference)
    return len(cases)


def _cases(
    rule: Rule, ops: tuple[Op, ...], registry: Registry, parameters: Mapping[str, object]
) -> list[RuleCase]:
    """Return the rule's cases on records that it serves; raise RuleError if there are none."""
    found = ops or tuple(
        op
        for target, records in registry.ops.items()
        for op in records
        if op.family == rule.family and not isinstance(target, str)
    )
    served = [op for op in found if rule.serves is None or rule.serves(op)]
    chosen = [{**rule.parameters, **parameters}]
    every = (c for op in served for c in cases_of(op, registry, lambda _: chosen, [rule]))
    cases = [case for case in every if _is_precise(case)]
    if not cases:
        raise RuleError(f"rule {rule.name!r} serves no op of family {rule.family!r}")
    return cases


def _is_precise(case: RuleCase) -> bool:
    """Return whether the live operands have 32 bits or more; with 16, nothing is exact to 1e-10."""
    call, _ = call_of(case)
    return all(torch.finfo(call.operand(o).dtype).bits >= 32 for o in case.live)


def _refuse(case: RuleCase, what: str) -> None:
    raise RuleError(f"rule {case.rule.name!r} on {case}: {what}")


def _shapes(case: RuleCase) -> None:
    call, arrived, passed = apply(case)
    if len(passed) != len(case.live):
        _refuse(case, f"it returned {len(passed)} flows for {len(case.live)} live operands")
    for operand, flow in zip(case.live, passed, strict=True):
        wanted = tuple(call.operand(operand).shape)
        if flow is not None and tuple(flow.shape) != wanted:
            _refuse(case, f"the flow to {operand} has shape {tuple(flow.shape)}, not {wanted}")
        if flow is not None and not flow.isfinite().all():
            _refuse(case, f"the flow to {operand} is not finite")
    try:
        trace(lambda *flows: list(run_rule(case, call, _rebuilt(arrived, flows))), _flat(arrived))
    except Exception as error:
        raise RuleError(
            f"rule {case.rule.name!r} on {case}: it cannot be traced, as the engine must:"
            f" {type(error).__name__}: {error}"
        ) from error


def _balance(case: RuleCase) -> None:
    received, passed, absorbed, size = balance(case)
    missing = received - passed - sum(absorbed.values())
    if abs(missing) > TOLERANCE * size:
        _refuse(
            case,
            f"received {received:.6g}, passed {passed:.6g}, absorbed"
            f" { ({k: round(v, 6) for k, v in absorbed.items()}) }: {missing:.3g} is missing",
        )


def _linearity(case: RuleCase) -> None:
    call, arrived, passed = apply(case)
    twice = run_rule(case, call, _rebuilt(arrived, [2 * f for f in _flat(arrived)]))
    _agree(case, [2 * f for f in _some(passed)], _some(twice), "doubled input, not doubled result")
    if not case.rule.linear:
        return
    generator = torch.Generator().manual_seed(3)
    other = [f * torch.rand(f.shape, generator=generator).to(f) - f for f in _flat(arrived)]
    alone = run_rule(case, call, _rebuilt(arrived, other))
    both = [f + g for f, g in zip(_flat(arrived), other, strict=True)]
    together = run_rule(case, call, _rebuilt(arrived, both))
    sums = [f + g for f, g in zip(_some(passed), _some(alone), strict=True)]
    _agree(case, sums, _some(together), "it is not linear in what arrives (declare linear=False)")


def _forms(case: RuleCase) -> None:
    takes = case.rule.form_taken(case.op, case.live)
    if takes is Form.EITHER and case.form is Form.RELEVANCE:
        as_coefficient = relevance_of(case.with_form(Form.COEFFICIENT))
        found = relevance_of(case)
        _agree(
            case,
            list(as_coefficient.values()),
            list(found.values()),
            "relevance and coefficients lead to different results",
        )


def _definition(case: RuleCase, reference: Reference) -> None:
    call, c = call_of(case)
    expected = reference(call, c, **case.parameters)
    listed = list(expected.values()) if isinstance(expected, Mapping) else list(expected)
    _agree(case, listed, list(relevance_of(case).values()), "its definition gives something else")


def _agree(case: RuleCase, expected: Sequence[Tensor], found: Sequence[Tensor], what: str) -> None:
    size = max((float(e.abs().max()) for e in expected if e.numel()), default=0.0)
    for e, f in zip(expected, found, strict=True):
        error = float((e.double() - f.double()).abs().max()) if e.numel() else 0.0
        if not error <= TOLERANCE * size:
            _refuse(case, f"{what}: off by {error:.1e} of {size:.1e}")


def _flat(arrived: Arrived) -> list[Tensor]:
    flows = arrived if isinstance(arrived, tuple) else (arrived,)
    return [flow for flow in flows if flow is not None]


def _rebuilt(arrived: Arrived, flows: Sequence[Tensor]) -> Arrived:
    """Return the same structure with other flows."""
    if not isinstance(arrived, tuple):
        return flows[0]
    rest = iter(flows)
    return tuple(None if f is None else next(rest) for f in arrived)


def _some(passed: Sequence[Tensor | None]) -> list[Tensor]:
    return [flow for flow in passed if flow is not None]
