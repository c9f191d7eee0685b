"""Collect what rounding, detaching and quantisation mean for the plan of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from torch import fx

from ..method.op import Op, Selection
from ..method.registry import Registry
from .quantisation import Quantisation, find_quantisation
from .straight_through import Why, find_constant_choices

_ONE_CODE = 1.001  # a little more than a step: what was rounded before need not be whole


@dataclass(frozen=True)
class Choices:
    """The detached and rounded values that are constants, with the reason; the quantisation."""

    constant: Mapping[fx.Node, Why] = field(default_factory=dict)
    quantisation: Quantisation = field(default_factory=Quantisation)

    @property
    def rounded(self) -> frozenset[fx.Node]:
        """The detached values that are nothing but what rounding changed."""
        return frozenset(n for n, why in self.constant.items() if why is Why.ROUNDED)

    def with_slack(self, node: fx.Node, op: Op) -> Op:
        """Return the record of a limit; one that ends the range of codes may round by a step."""
        at_codes = node in self.quantisation.limits and isinstance(op, Selection)
        return _slackened(op) if at_codes else op


@cache
def _slackened(op: Selection) -> Selection:
    return replace(op, slack=_ONE_CODE)


def find_choices(graph: fx.Graph, registry: Registry) -> Choices:
    """Find the choices of a graph that is to be planned."""
    quantisation = find_quantisation(graph, registry)
    return Choices(find_constant_choices(graph, registry, quantisation), quantisation)
