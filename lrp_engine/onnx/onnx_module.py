"""A graph of an ONNX file as a torch module: what capture traces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from .file import OnnxModel
from .fold import FoldedGraph
from .interpret import ImportScope, refusals, run
from .limits import unrolling_quota
from .ports import OnnxInput, make_example
from .unsupported import Refusal
from .values import HostArray, OnnxValue, as_tensor

MARK = "onnx"


class OnnxModule(nn.Module, CapturesItself):
    """Runs the graph of an ONNX file with torch ops.

    Positional arguments in the order of the file's inputs; returns a dict of tensors by the
    file's output names. Weights are buffers.
    """

    def __init__(
        self,
        model: OnnxModel,
        folded: FoldedGraph,
        scope: ImportScope,
        ports: Sequence[OnnxInput],
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.model, self.graph, self.scope = model, folded.graph, scope
        self.ports, self.notes = tuple(ports), tuple(notes)
        constants = folded.constants
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
        """Made-up inputs of the declared types and sizes; raises InputError if it has no sizes."""
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
        """One pass through the graph."""
        constants = {name: self._constant(name) for name in self._held}
        around = {**self._small, **constants}
        scope = replace(self.scope, nodes=unrolling_quota())
        results = run(self.graph, inputs, scope, around)
        return {n: _returned(v) for n, v in zip(self.graph.outputs, results, strict=True)}

    def refusals(self, inputs: Sequence[Tensor]) -> list[Refusal]:
        """Every node that cannot be run at inputs of these sizes, with no entry computed."""
        with FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True) as mode:
            given = [mode.from_tensor(x, static_shapes=True) for x in inputs]
            around = {**self._small, **{name: self._constant(name) for name in self._held}}
            return refusals(self.graph, given, self.scope, around)

    def _constant(self, name: str) -> OnnxValue:
        tensor = getattr(self, self._held[name])
        host = self._small.get(name)
        return replace(host, constant=tensor) if isinstance(host, HostArray) else tensor


def _returned(value: OnnxValue) -> Any:
    return [_returned(v) for v in value] if isinstance(value, tuple) else as_tensor(value)
