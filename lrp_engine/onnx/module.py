"""A graph of an ONNX file as a torch module: what capture traces."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from .budget import folding_budget, unrolling_budget
from .errors import Unsupported
from .file import Model, read
from .fold import fold
from .functions import functions_of
from .graph import Graph, Step, graph_of
from .interpret import Scope, refusal, run
from .table import standard
from .values import Host, Value, as_tensor, known

MARK = "onnx"


class OnnxModule(nn.Module):
    """Runs the graph of an ONNX file with torch ops.

    Positional arguments in the order of the file's inputs; returns a dict of tensors by the
    file's output names. Weights are buffers.
    """

    def __init__(self, path: Path, graph: Graph, constants: Mapping[str, Value], scope: Scope):
        super().__init__()
        self.path, self.graph, self.scope = path, graph, scope
        self._held: dict[str, str] = {}
        self._small = {n: v for n, v in constants.items() if not isinstance(v, Tensor)}
        for name, value in constants.items():
            self._hold(name, value)
        self.eval()

    def _hold(self, name: str, value: Value) -> None:
        if isinstance(value, tuple):
            return
        attribute = "_" + re.sub(r"\W", "_", name)
        while hasattr(self, attribute):
            attribute += "_"
        self._held[name] = attribute
        self.register_buffer(attribute, as_tensor(value))

    @property
    def names(self) -> dict[str, str]:
        """The file's names of the buffers."""
        return {attribute: name for name, attribute in self._held.items()}

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """One pass through the graph."""
        constants = {name: self._constant(name) for name in self._held}
        around = {**self._small, **constants}
        scope = replace(self.scope, nodes=unrolling_budget())
        results = run(self.graph, inputs, scope, around)
        return {n: as_tensor(v) for n, v in zip(self.graph.outputs, results, strict=True)}

    def _constant(self, name: str) -> Value:
        tensor = getattr(self, self._held[name])
        host = self._small.get(name)
        return replace(host, constant=tensor) if isinstance(host, Host) else tensor


def load(path: str | Path) -> OnnxModule:
    """An ONNX file as a torch module.

    Raises Unsupported, listing every node that has no entry in the op table.
    """
    model = read(path)
    graph = graph_of(model.proto.graph, model.tensor, constants=False)
    scope = _scope(model)
    _refuse_unknown(graph, scope, str(path))
    constants = {name: known(model.weight(name)) for name in model.initializers}
    with torch.no_grad():
        budget = folding_budget(model.weight_bytes)
        folded = fold(_without(graph, constants), constants, scope, budget)
    return OnnxModule(model.path, folded.graph, folded.constants, scope)


def _scope(model: Model) -> Scope:
    opsets = {o.domain: o.version for o in model.proto.opset_import}
    opsets[""] = opsets.pop("ai.onnx", opsets.get("", 1))
    functions = functions_of(model.proto, model.tensor)
    return Scope(standard(), opsets, functions, mark=_mark)


def _mark(step: Step) -> AbstractContextManager[Any]:
    return torch.fx.traceback.annotate({MARK: (step.name, step.op, step.outputs)})


def _without(graph: Graph, constants: Mapping[str, Value]) -> Graph:
    """Old files list initializers as inputs too."""
    return replace(graph, inputs=tuple(n for n in graph.inputs if n not in constants))


def _refuse_unknown(graph: Graph, scope: Scope, file: str) -> None:
    found = [
        refusal(step, scope, "this op is not supported")
        for step in graph.steps
        if not _is_known(step, scope)
    ]
    if found:
        raise Unsupported(found, file)


def _is_known(step: Step, scope: Scope) -> bool:
    if scope.entry(step) or (step.domain, step.op) in scope.functions:
        return True
    try:
        schema: Any = onnx.defs.get_schema(step.op, scope.opset(step.domain), step.domain)
    except onnx.defs.SchemaError:
        return False
    return schema.has_function or schema.has_context_dependent_function


def signature_of(names: tuple[str, ...]) -> inspect.Signature:
    """Positional parameters for `names`, which need not be identifiers."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature([inspect.Parameter(f"input_{i}", kind) for i, _ in enumerate(names)])
