"""ExportedProgram -> Captured: parameters become attributes, inputs and outputs get names."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind

from ..errors import CaptureError
from .captured import (
    Captured,
    CaptureMode,
    InputPort,
    OutputPort,
)
from .copying import Copier
from .functional import Functional
from .module_outputs import module_outputs
from .shapes import contract_of
from .signature import leaf_names, output_names

_HELD = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def from_exported(
    functional: Functional, names: tuple[str, ...], mode: CaptureMode, notes: tuple[str, ...] = ()
) -> Captured:
    """Copies an exported program's graph; its tensors stay the model's own objects."""
    program, writes = functional
    graph = fx.Graph()
    tensors: dict[str, Tensor] = {}
    placeholders: list[fx.Node] = []
    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    copier = Copier(graph, writes)
    copies = copier.copies
    for node in program.graph.find_nodes(op="placeholder"):
        if specs[node.name].kind in _HELD:
            copies[node] = _hold(graph, node, program, specs[node.name].target, tensors)
        elif specs[node.name].kind == InputKind.USER_INPUT:
            copies[node] = graph.node_copy(node)
            placeholders.append(copies[node])
        else:
            raise CaptureError(f"inputs of kind {specs[node.name].kind} are not supported")
    copier.name_sizes(placeholders)
    for node in program.graph.nodes:
        if node.op == "get_attr":
            copies[node] = _nested(graph, node, program)
        elif node.op not in ("placeholder", "output"):
            copier.call(node)
    leaves = _user_outputs(program, program.graph.output_node(), copies)
    graph.output(tuple(leaves))
    graph.eliminate_dead_code()
    return _assemble(program, graph, tensors, placeholders, leaves, names, mode, notes)


def _assemble(
    program: ExportedProgram,
    graph: fx.Graph,
    tensors: dict[str, Tensor],
    placeholders: list[fx.Node],
    leaves: list[Any],
    names: tuple[str, ...],
    mode: CaptureMode,
    notes: tuple[str, ...],
) -> Captured:
    in_spec, out_spec = program.call_spec.in_spec, program.call_spec.out_spec
    example = in_spec.unflatten([None] * in_spec.num_leaves)
    inputs = zip(leaf_names(example, names or _argument_names(program)), placeholders, strict=True)
    outputs = enumerate(zip(output_names(out_spec), leaves, strict=True))
    return Captured(
        graph=graph,
        tensors=tensors,
        inputs=tuple(InputPort(name, node) for name, node in inputs),
        outputs=tuple(
            OutputPort(name, node, i)
            for i, (name, node) in outputs
            if isinstance(node, fx.Node) and isinstance(node.meta.get("val"), Tensor)
        ),
        in_spec=in_spec,
        out_spec=out_spec,
        argument_names=names or _argument_names(program),
        shapes=contract_of(placeholders),
        modules=module_outputs(graph),
        mode=mode,
        notes=notes + _mutation_notes(program),
    )


def _argument_names(program: ExportedProgram) -> tuple[str, ...]:
    """Without the module at hand: the names that export gave to the positional inputs."""
    user = [s for s in program.graph_signature.input_specs if s.kind == InputKind.USER_INPUT]
    return tuple(spec.arg.name for spec in user)


def _hold(
    graph: fx.Graph,
    node: fx.Node,
    program: ExportedProgram,
    name: str,
    tensors: dict[str, Tensor],
) -> fx.Node:
    """A parameter, buffer or constant: an attribute that is the model's own tensor."""
    held = program.state_dict.get(name)
    held = program.constants[name] if held is None else held
    attribute = re.sub(r"\W", "_", name)
    while attribute in tensors:
        attribute += "_"
    tensors[attribute] = held
    # The attribute is filled in when a program is built; until then only `tensors` has it.
    copy = graph.create_node("get_attr", attribute)
    copy.meta = dict(node.meta) | {"tensor_name": name}
    return copy


def _nested(graph: fx.Graph, node: fx.Node, program: ExportedProgram) -> fx.Node:
    """A graph within the graph, for passes to write out or refuse: its value is itself."""
    copy = graph.node_copy(node)
    copy.meta["val"] = getattr(program.graph_module, str(node.target))
    return copy


def _user_outputs(
    program: ExportedProgram, output: fx.Node, copies: dict[fx.Node, Any]
) -> list[Any]:
    """The leaves that the model returns (mutated buffers and inputs are left out)."""
    leaves: list[Any] = []
    returned: Any = output.args[0]
    for spec, result in zip(program.graph_signature.output_specs, returned, strict=True):
        if spec.kind == OutputKind.USER_OUTPUT:
            constant = isinstance(spec.arg, ConstantArgument) or not isinstance(result, fx.Node)
            leaves.append(result if constant else copies[result])
    return leaves


def _mutation_notes(program: ExportedProgram) -> tuple[str, ...]:
    kinds = (OutputKind.BUFFER_MUTATION, OutputKind.USER_INPUT_MUTATION)
    changed = [s.target for s in program.graph_signature.output_specs if s.kind in kinds]
    if not changed:
        return ()
    return (
        f"the model writes to {', '.join(map(str, changed))}; the engine leaves them as they are",
    )
