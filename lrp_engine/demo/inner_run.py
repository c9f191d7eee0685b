"""Run a captured model with a value inside it replaced."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from ..engine import Engine
from ..graphs.modules import module_of
from ..run.inputs import flatten_inputs


class InnerRun(fx.Interpreter):
    """One run of an engine's graph; what does not depend on its only source is computed once.

    Attributes:
        held: What the source held.
        explained: What was explained then.
    """

    def __init__(self, engine: Engine, inputs: Any) -> None:
        graph = module_of(engine.captured.tensors, engine.captured.graph)
        super().__init__(graph, garbage_collect_values=False)
        (source,) = engine.plan.sources
        self._source = self._find(source.node.name)
        self._output = self._find(engine.plan.output.node.name)
        self._leaves = flatten_inputs(engine.captured, inputs)
        with torch.no_grad():
            self.run(*self._leaves)
        self.held: Tensor = self.env[self._source]
        self.explained: Tensor = self.env[self._output]
        behind = self._behind(self._source)
        self._before = {node: v for node, v in self.env.items() if node not in behind}

    def output_with(self, value: Tensor) -> Tensor:
        """Return what was explained if the source held another value."""
        with torch.no_grad():
            self.run(*self._leaves, initial_env={**self._before, self._source: value})
        found: Tensor = self.env[self._output]
        return found

    def _find(self, name: str) -> fx.Node:
        found: fx.Node = next(node for node in self.graph.nodes if node.name == name)
        return found

    def _behind(self, source: fx.Node) -> set[fx.Node]:
        """Return the nodes that depend on one."""
        behind = {source}
        for node in self.graph.nodes:
            if not behind.isdisjoint(node.all_input_nodes):
                behind.add(node)
        return behind
