"""Start relevance at inner sources as well as at the output: what passes through them alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import fx
from torch.fx.node import Argument

from ..graphs.nodes import value
from ..method.call import Form
from .flows import Flow
from .propagator import Propagator


@dataclass(frozen=True)
class StartAtOutputAnd:
    """Seeds the output, and adds a coefficient of its own at each of some values.

    The relevance program then takes, after the output's coefficient, one for each of `nodes`. With
    zero at the output, its results are the relevance that sets out from these values, which is the
    relevance that passes through them: rules are linear in what arrives.
    """

    nodes: tuple[fx.Node, ...]

    def __call__(self, propagator: Propagator) -> Sequence[Argument]:
        """Write the seeds; return what the model returns."""
        joint, output = propagator.joint, propagator.plan.output.node
        whole = joint.seed("seed", value(output))
        for i, node in enumerate(self.nodes):
            added = joint.seed(f"added_{i}", value(node))
            propagator.flows.add(node, Flow(added, Form.COEFFICIENT))
        propagator.flows.add(output, Flow(whole, Form.COEFFICIENT))
        return propagator.model_outputs()
