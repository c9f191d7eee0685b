"""Define the Rule record and the one decorator that makes one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..graphs.schema import Operand
from .by_name import find_entry, reference_to
from .call import Coefficients
from .call import Form as Form
from .op import Op

Propagate = Callable[..., Coefficients]

Absorbs = Callable[..., Mapping[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Rule:
    """A rule by which relevance passes through the ops of one family.

    `propagate(call, c, **parameters)` returns one coefficient per live operand.
    `carries` narrows the operands that pass relevance on (None: all that the op declares).
    `absorbs` says what is not passed on: None (nothing: received = passed), a cause under
    which the whole remainder is booked, or a function that computes the amounts independently.
    """

    name: str
    family: str
    propagate: Propagate
    cites: str
    absorbs: Absorbs | str | None = None
    carries: Callable[[Op], tuple[str, ...]] | None = None
    takes: Form = Form.COEFFICIENT
    gives: Form = Form.COEFFICIENT
    stops: bool = False
    linear: bool = True
    serves: Callable[[Op], bool] | None = None
    runs: int = 1

    def __reduce__(self) -> tuple[object, ...]:
        return find_entry, reference_to(self)

    @property
    def parameters(self) -> Mapping[str, object]:
        """Return parameter names and defaults."""
        found = list(inspect.signature(self.propagate).parameters.values())[2:]
        return {p.name: p.default for p in found}

    def form_taken(self, op: Op, live: Sequence[Operand]) -> Form:
        """Return the form in which relevance must arrive at a call with these live operands."""
        if self.takes is not Form.PROPORTIONAL:
            return self.takes
        names = tuple(operand.name for operand in live)
        return Form.EITHER if op.is_proportional(names) else Form.COEFFICIENT

    def form_given(self, arrived: Form) -> Form:
        """Return the form of what this rule passes on, given the form of what arrives."""
        return arrived if self.gives is Form.EITHER else self.gives

    def operands(self, op: Op) -> tuple[str, ...]:
        """Return the op's arguments through which this rule passes relevance."""
        if self.stops:
            return ()
        return op.operands if self.carries is None else self.carries(op)


def rule(
    name: str,
    *,
    family: type[Op],
    cites: str,
    absorbs: Absorbs | str | None = None,
    carries: Callable[[Op], tuple[str, ...]] | None = None,
    takes: Form = Form.COEFFICIENT,
    gives: Form = Form.COEFFICIENT,
    stops: bool = False,
    linear: bool = True,
    serves: Callable[[Op], bool] | None = None,
    runs: int = 1,
) -> Callable[[Propagate], Rule]:
    """Make a function `(call, c, **parameters) -> coefficients` a Rule of one family.

    Args:
        name: What presets call the rule.
        family: The family of ops that it serves.
        cites: Its source, "key, eq. 5" with a key of `rules/references.bib`, or "own: ...".
        absorbs: The relevance that it does not pass on: None for none, a cause for a remainder
            without a formula, or a function that computes the amounts by cause.
        carries: The operands of an op that receive relevance; default: all.
        takes: The form in which relevance arrives.
        gives: The form in which it is passed on.
        stops: Whether no relevance is passed on.
        linear: Whether the result is linear in what arrives.
        serves: The ops of the family that it can serve; default: all.
        runs: 2 if it compares a run with a reference run, `call.reference`.

    Example:
        >>> from lrp_engine.method.op import Pointwise
        >>> @rule("halve", family=Pointwise, cites="own", absorbs="halved")
        ... def halve(call, c):
        ...     return call.only(c / 2)
        >>> halve.name, halve.family
        ('halve', 'pointwise')
    """

    def make(propagate: Propagate) -> Rule:
        what = (name, family.family, propagate, cites)
        return Rule(*what, absorbs, carries, takes, gives, stops, linear, serves, runs)

    return make
