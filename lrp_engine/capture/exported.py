"""Turn an ExportedProgram into a Captured: name inputs and outputs, keep the model's tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.fx.node import Argument

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
from .shape_contract import contract_of
from .signature import leaf_names, output_names

_HELD = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def from_exported(
    functional: Functional,
    names: tuple[str, ...],
    mode: CaptureMode,
    notes: tuple[str, ...] = (),
    own: Mapping[str, Tensor] | None = None,
) -> Captured:
    """Copy an exported program's graph; its tensors stay the model's own objects.

    Args:
        functional: The program, and how to read its ops that write into operands.
        names: Names of forward's positional parameters; empty if there is no module at hand.
        mode: The way in which the program was made.
        notes: What the user should know of the capture.
        own: The module's parameters and buffers by their paths, where there is a module: its
            `state_dict` may have other names for them. Default: the program's.

    Raises:
        CaptureError: The program has inputs that are neither tensors of the model nor the user's.
    """
    program, writes = functional
    copier = Copier(fx.Graph(), writes)
    held = program.constants | program.state_dict | dict(own or {})
    inputs = _copy_inputs(program, copier, held)
    copier.name_sizes(inputs.placeholders)
    for node in program.graph.nodes:
        if node.op == "get_attr":
            copier.copies[node] = _nested(copier.graph, node, program)
        elif node.op not in ("placeholder", "output"):
            copier.call(node)
    leaves = _user_outputs(program, program.graph.output_node(), copier.copies)
    copier.graph.output(tuple(leaves))
    copier.graph.eliminate_dead_code()
    names = names or _argument_names(program)
    return _assemble(program, copier.graph, inputs, leaves, names, mode, notes)


class _Inputs(NamedTuple):
    """The user's inputs in the new graph, and the tensors that its attributes stand for."""

    placeholders: list[fx.Node]
    tensors: dict[str, Tensor]


def _copy_inputs(
    program: ExportedProgram, copier: Copier, held_by_name: Mapping[str, Tensor]
) -> _Inputs:
    inputs = _Inputs([], {})
    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    for node in program.graph.find_nodes(op="placeholder"):
        spec = specs[node.name]
        if spec.kind in _HELD:
            name = str(spec.target)
            copier.copies[node] = _hold(
                copier.graph, node, name, held_by_name[name], inputs.tensors
            )
        elif spec.kind == InputKind.USER_INPUT:
            placeholder = copier.graph.node_copy(node)
            copier.copies[node] = placeholder
            inputs.placeholders.append(placeholder)
        else:
            raise CaptureError(f"inputs of kind {spec.kind} are not supported")
    return inputs


def _assemble(
    program: ExportedProgram,
    graph: fx.Graph,
    inputs: _Inputs,
    leaves: Sequence[Argument],
    names: tuple[str, ...],
    mode: CaptureMode,
    notes: tuple[str, ...],
) -> Captured:
    in_spec, out_spec = program.call_spec.in_spec, program.call_spec.out_spec
    example = in_spec.unflatten([None] * in_spec.num_leaves)
    ports = zip(leaf_names(example, names), inputs.placeholders, strict=True)
    outputs = enumerate(zip(output_names(out_spec), leaves, strict=True))
    return Captured(
        graph=graph,
        tensors=inputs.tensors,
        inputs=tuple(InputPort(name, node) for name, node in ports),
        outputs=tuple(
            OutputPort(name, node, i)
            for i, (name, node) in outputs
            if isinstance(node, fx.Node) and isinstance(node.meta.get("val"), Tensor)
        ),
        in_spec=in_spec,
        out_spec=out_spec,
        argument_names=names,
        shapes=contract_of(inputs.placeholders),
        modules=module_outputs(graph),
        mode=mode,
        notes=notes + _mutation_notes(program),
    )


def _argument_names(program: ExportedProgram) -> tuple[str, ...]:
    """Return the names that export gave to the inputs, for want of the module's own."""
    user = [s for s in program.graph_signature.input_specs if s.kind == InputKind.USER_INPUT]
    return tuple(spec.arg.name for spec in user)


def _hold(
    graph: fx.Graph, node: fx.Node, name: str, held: Tensor, tensors: dict[str, Tensor]
) -> fx.Node:
    """Add a parameter, buffer or constant: an attribute that is the model's own tensor."""
    attribute = re.sub(r"\W", "_", name)
    while attribute in tensors:
        attribute += "_"
    tensors[attribute] = held
    # The attribute is filled in when a program is built; until then only `tensors` has it.
    copy = graph.create_node("get_attr", attribute)
    copy.meta = dict(node.meta) | {"tensor_name": name}
    return copy


def _nested(graph: fx.Graph, node: fx.Node, program: ExportedProgram) -> fx.Node:
    """Copy a graph within the graph, for passes to write out or refuse: its value is itself."""
    copy = graph.node_copy(node)
    copy.meta["val"] = getattr(program.graph_module, str(node.target))
    return copy


def _user_outputs(
    program: ExportedProgram, output: fx.Node, copies: Mapping[fx.Node, Argument]
) -> list[Argument]:
    """Return the leaves that the model returns, without buffers and inputs that it writes to."""
    leaves: list[Argument] = []
    returned = output.args[0]
    assert isinstance(returned, Sequence)
    for spec, result in zip(program.graph_signature.output_specs, returned, strict=True):
        if spec.kind == OutputKind.USER_OUTPUT:
            if isinstance(result, fx.Node) and not isinstance(spec.arg, ConstantArgument):
                result = copies[result]
            leaves.append(result)
    return leaves


def written_buffers(program: ExportedProgram) -> tuple[str, ...]:
    """Return the names of the buffers that a program writes into."""
    specs = program.graph_signature.output_specs
    return tuple(str(s.target) for s in specs if s.kind == OutputKind.BUFFER_MUTATION)


def _mutation_notes(program: ExportedProgram) -> tuple[str, ...]:
    kinds = (OutputKind.BUFFER_MUTATION, OutputKind.USER_INPUT_MUTATION)
    changed = [s.target for s in program.graph_signature.output_specs if s.kind in kinds]
    if not changed:
        return ()
    return (
        f"the model writes to {', '.join(map(str, changed))}; the engine leaves them unchanged",
    )
