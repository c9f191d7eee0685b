"""A graph of an ONNX file as a torch module: what capture traces."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from ..capture import Captured, capture
from ..capture.captured import CapturesItself
from ..errors import CaptureError, TargetError
from .capture_onnx import order_inputs, plan_call, restore_names
from .file import OnnxModel
from .import_graph import ImportedGraph, import_graph
from .interpret import ImportScope, collect_refusals, run_graph
from .limits import unrolling_quota
from .ports import OnnxInput, describe_made_up, make_example
from .steps import OnnxGraph
from .unsupported import Refusal, Unsupported
from .values import HostArray, OnnxValue, as_tensor


class OnnxModule(nn.Module, CapturesItself):
    """Run the graph of an ONNX file with torch ops.

    Positional arguments in the order of the file's inputs; returns a dict of tensors by the
    file's output names. Weights are buffers.

    Attributes:
        model: The checked file.
        graph: The steps that are run.
        ports: The file's inputs.
        notes: What a reader of a result should know, such as outputs that were left out.
    """

    def __init__(
        self,
        imported: ImportedGraph,
        settings: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self._settings = dict(settings)
        self.model: OnnxModel = imported.model
        self.graph: OnnxGraph = imported.folded.graph
        self.scope: ImportScope = imported.scope
        self.ports: tuple[OnnxInput, ...] = imported.inputs
        self.notes: tuple[str, ...] = imported.notes
        constants = imported.folded.constants
        self._held: dict[str, str] = {}
        self._small = {n: v for n, v in constants.items() if not isinstance(v, Tensor)}
        for name, value in constants.items():
            self._hold(name, value)
        self.eval()

    def _hold(self, name: str, value: OnnxValue) -> None:
        if isinstance(value, tuple):
            return
        attribute = "_" + re.sub(r"\W", "_", name)
        while hasattr(self, attribute):
            attribute += "_"
        self._held[name] = attribute
        self.register_buffer(attribute, as_tensor(value))

    def example(self) -> dict[str, Tensor]:
        """Make up inputs of the declared types and sizes, by name.

        Raises InputError if the file does not say how many axes an input has.
        """
        names = (port.name for port in self.ports)
        return dict(zip(names, make_example(self.ports), strict=True))

    @property
    def file(self) -> str:
        """The file's name."""
        return self.model.path.name

    @property
    def names(self) -> dict[str, str]:
        """The file's names of the buffers."""
        return {attribute: name for name, attribute in self._held.items()}

    def forward(self, *inputs: Tensor) -> dict[str, Any]:
        """Return the file's outputs by name; an output that is a sequence is a list of tensors."""
        scope = replace(self.scope, nodes=unrolling_quota())
        results = run_graph(self.graph, inputs, scope, self._constants())
        return {n: _as_output(v) for n, v in zip(self.graph.outputs, results, strict=True)}

    def with_output(self, name: str) -> OnnxModule:
        """Return the same file with one more output: a value that one of its nodes computes.

        Raises TargetError if the file has no value of that name.
        """
        if name in self.graph.outputs:
            return self
        values = {value for node in self.model.proto.graph.node for value in node.output}
        if name not in values:
            close = difflib.get_close_matches(name, values | set(self.graph.outputs), n=3)
            hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise TargetError(f"{self.file} computes no value {name!r}{hint}")
        return OnnxModule(import_graph(self.model, (name,), self._settings), self._settings)

    def capture(
        self, example: Any = None, *, dynamic: Any = True, output: str | None = None
    ) -> Captured:
        """Return the file's graph as a functional graph of ATen ops, in the file's own names.

        Axes that the file leaves open stay open, fixed ones stay fixed. Every node carries the
        name of the ONNX node that it comes from, as if that were a module.

        Args:
            example: A tensor, a tuple in the file's order, or a mapping by the file's input names;
                without it, the graph is traced at made-up inputs of the declared sizes.
            dynamic: False fixes every size; a mapping from input names goes to torch.export.
            output: A value of the file that becomes an output, too.

        Raises:
            Unsupported: with every node that cannot be run at inputs of these sizes.
            InputError: if the example does not fit the file's inputs.
            TargetError: if the file computes no value called `output`.
        """
        module = self.with_output(output) if output else self
        given = make_example(self.ports) if example is None else order_inputs(self.ports, example)
        shown, shapes = plan_call(self.ports, given, dynamic)
        try:
            with torch.fx.traceback.preserve_node_meta():
                captured = capture(module, given, dynamic=shapes, example=shown)
        except CaptureError as error:
            if found := module.find_refusals(given):
                raise Unsupported(found, self.file) from error
            raise
        made_up = describe_made_up(self.ports, given) if example is None else ()
        return restore_names(captured, module.ports, module.names, (*module.notes, *made_up))

    def find_refusals(self, inputs: Sequence[Tensor]) -> list[Refusal]:
        """Return every node that cannot be run at inputs of these sizes; compute no entry."""
        with FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True) as mode:
            given = [mode.from_tensor(x, static_shapes=True) for x in inputs]
            return collect_refusals(self.graph, given, self.scope, self._constants())

    def _constants(self) -> dict[str, OnnxValue]:
        return {**self._small, **{name: self._constant(name) for name in self._held}}

    def _constant(self, name: str) -> OnnxValue:
        tensor: Tensor = getattr(self, self._held[name])
        host = self._small.get(name)
        return replace(host, constant=tensor) if isinstance(host, HostArray) else tensor


def _as_output(value: OnnxValue) -> Any:
    return [_as_output(v) for v in value] if isinstance(value, tuple) else as_tensor(value)
