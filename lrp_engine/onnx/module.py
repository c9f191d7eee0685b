"""A graph of an ONNX file as a torch module: what capture traces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from .affine import with_biases
from .budget import folding_budget, unrolling_budget
from .errors import Refusal, Unsupported
from .file import Model, read
from .fold import Folded, fold
from .functions import functions_of
from .graph import Graph, Step, graph_of, pruned
from .interpret import Mark, Scope, refusal, refusals, run
from .ports import Port, inputs_of, made_up, outputs_of
from .reasons import reason_for
from .table import standard
from .values import Host, Value, as_tensor, known

MARK = "onnx"


class OnnxModule(nn.Module):
    """Runs the graph of an ONNX file with torch ops.

    Positional arguments in the order of the file's inputs; returns a dict of tensors by the
    file's output names. Weights are buffers.
    """

    def __init__(self, path: Path, folded: Folded, scope: Scope, ports: Sequence[Port]) -> None:
        super().__init__()
        self.path, self.graph, self.scope = path, folded.graph, scope
        self.ports = tuple(ports)
        self.notes: tuple[str, ...] = ()
        constants = folded.constants
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

    def example(self) -> dict[str, Tensor]:
        """Made-up inputs of the declared types and sizes; raises InputError if it has no sizes."""
        names = (port.name for port in self.ports)
        return dict(zip(names, made_up(self.ports), strict=True))

    @property
    def names(self) -> dict[str, str]:
        """The file's names of the buffers."""
        return {attribute: name for name, attribute in self._held.items()}

    def forward(self, *inputs: Tensor) -> dict[str, Any]:
        """One pass through the graph."""
        constants = {name: self._constant(name) for name in self._held}
        around = {**self._small, **constants}
        scope = replace(self.scope, nodes=unrolling_budget())
        results = run(self.graph, inputs, scope, around)
        return {n: _returned(v) for n, v in zip(self.graph.outputs, results, strict=True)}

    def refusals(self, inputs: Sequence[Tensor]) -> list[Refusal]:
        """Every node that cannot be run at inputs of these sizes, with no entry computed."""
        with FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True) as mode:
            given = [mode.from_tensor(x, static_shapes=True) for x in inputs]
            around = {**self._small, **{name: self._constant(name) for name in self._held}}
            return refusals(self.graph, given, self.scope, around)

    def _constant(self, name: str) -> Value:
        tensor = getattr(self, self._held[name])
        host = self._small.get(name)
        return replace(host, constant=tensor) if isinstance(host, Host) else tensor


def _returned(value: Value) -> Any:
    return [_returned(v) for v in value] if isinstance(value, tuple) else as_tensor(value)


def load(path: str | Path) -> OnnxModule:
    """An ONNX file as a torch module.

    Raises Unsupported, listing every node that has no entry in the op table.
    """
    return of_model(read(path))


def of_model(model: Model) -> OnnxModule:
    """The same for a model that has been read and checked."""
    graph = graph_of(model.proto.graph, model.tensor, constants=False)
    numbers, text = outputs_of(model.proto.graph)
    ports = inputs_of(model.proto.graph, model.initializers)
    inputs = tuple(port.name for port in ports)
    graph = replace(graph, inputs=inputs, outputs=numbers, steps=pruned(graph.steps, numbers))
    scope = _scope(model)
    _refuse_unknown(graph, scope, model.path.name)
    used = {name for step in graph.steps for name in step.uses} | set(numbers)
    constants = {n: known(model.weight(n)) for n in model.initializers if n in used}
    with torch.no_grad():
        folded = fold(graph, constants, scope, folding_budget(model.weight_bytes))
    folded = with_biases(folded)
    module = OnnxModule(model.path, folded, scope, ports)
    if text:
        module.notes = (f"left out of the output, because it is text: {', '.join(text)}",)
    return module


def _scope(model: Model) -> Scope:
    opsets = {o.domain: o.version for o in model.proto.opset_import}
    opsets[""] = opsets.pop("ai.onnx", opsets.get("", 1))
    functions = functions_of(model.proto, model.tensor)
    return Scope(standard(), opsets, functions, mark=_mark)


def _mark(path: tuple[Mark, ...]) -> AbstractContextManager[Any]:
    return torch.fx.traceback.annotate({MARK: path})


def _refuse_unknown(graph: Graph, scope: Scope, file: str) -> None:
    found = [
        refusal(step, scope, reason_for(step.domain, step.op))
        for step in _every_step(graph)
        if not _is_known(step, scope)
    ]
    if found:
        raise Unsupported(found, file)


def _every_step(graph: Graph) -> Iterator[Step]:
    """The steps of a graph and of the graphs inside it."""
    for step in graph.steps:
        yield step
        for inner in step.attributes.values():
            if isinstance(inner, Graph):
                yield from _every_step(inner)


def _is_known(step: Step, scope: Scope) -> bool:
    if scope.entry(step) or (step.domain, step.op) in scope.functions:
        return True
    try:
        schema: Any = onnx.defs.get_schema(step.op, scope.opset(step.domain), step.domain)
    except onnx.defs.SchemaError:
        return False
    return schema.has_function or schema.has_context_dependent_function
