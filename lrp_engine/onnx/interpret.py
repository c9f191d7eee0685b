"""Run a graph's steps with torch: plainly, or while torch.export traces them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ..errors import OnnxFileError
from .functions import OnnxFunction, find_local_function, find_schema_function
from .limits import Quota, unrolling_quota
from .node_checks import check_node
from .op_table import OpEntry, OpTable
from .refusals import reason_for
from .steps import OnnxGraph, OnnxStep, prune
from .unsupported import Refusal, Refused, Unsupported
from .values import HostArray, OnnxValue, all_known

# What torch raises for arguments that do not fit; what depends on data has errors of its own.
_WRONG = (TypeError, KeyError, IndexError, ValueError, AttributeError, NotImplementedError)
_DEEPEST = 32  # functions within functions

MARK = "onnx"  # under this key, traced nodes say which ONNX nodes they come from
NodeMark = tuple[str, str, tuple[str, ...]]  # an ONNX node: name, op, outputs
Annotate = Callable[[tuple[NodeMark, ...]], AbstractContextManager[object]]


def _no_mark(path: tuple[NodeMark, ...]) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True)
class ImportScope:
    """The state that all steps of a graph share.

    Attributes:
        table: The op table.
        opsets: The version of each domain.
        functions: The file's own functions by (domain, name).
        nodes: How many nodes may still be run.
        mark: Marks what is traced with the ONNX nodes that it comes from.
        path: The functions that we are inside of, outermost first.
    """

    table: OpTable
    opsets: Mapping[str, int]
    functions: Mapping[tuple[str, str], OnnxFunction]
    nodes: Quota = field(default_factory=unrolling_quota)
    mark: Annotate = _no_mark
    path: tuple[NodeMark, ...] = ()

    def opset(self, domain: str) -> int:
        """Return the opset version of a domain; the first one if the file names none."""
        return self.opsets.get(domain, 1)

    def entry(self, step: OnnxStep, *, on_host: bool = False) -> OpEntry | None:
        """Return the table's entry for a step."""
        return self.table.find(step.domain, step.op, self.opset(step.domain), on_host=on_host)

    def inside(self, node: NodeMark, opsets: Mapping[str, int]) -> ImportScope:
        """Return the scope of a function's body, which brings opsets of its own."""
        return replace(self, path=(*self.path, node), opsets={**self.opsets, **opsets})


@dataclass(frozen=True)
class RunningStep:
    """A step as its table entry sees it: the `NodeContext` of the op table."""

    step: OnnxStep
    scope: ImportScope
    around: Mapping[str, OnnxValue]

    @property
    def opset(self) -> int:
        """The opset of the op's domain."""
        return self.scope.opset(self.step.domain)

    @property
    def name(self) -> str:
        """The node's name in the file."""
        return self.step.name

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs that are wanted; "" for one that is not."""
        return self.step.outputs

    def run(self, graph: OnnxGraph, inputs: Sequence[OnnxValue]) -> tuple[OnnxValue, ...]:
        """Run a subgraph, given as an attribute; names outside it are visible."""
        return run_graph(graph, inputs, self.scope, self.around)


def run_graph(
    graph: OnnxGraph,
    inputs: Sequence[OnnxValue],
    scope: ImportScope,
    around: Mapping[str, OnnxValue] = {},
) -> tuple[OnnxValue, ...]:
    """Run a graph's steps in order and return its outputs.

    Args:
        graph: The graph.
        inputs: A value for each of its inputs.
        scope: What its steps share.
        around: Values from outside that the graph may read by name.

    Raises:
        Unsupported: for the first step that cannot be run.
        OnnxFileError: if it asks for more than a file may ask for.
    """
    environment: dict[str, OnnxValue] = {**around, **graph.constants}
    environment.update(zip(graph.inputs, inputs, strict=True))
    for step in graph.steps:
        outputs = evaluate(step, environment, scope)
        environment.update(zip(step.outputs, outputs, strict=False))
        for name in step.drops:
            environment.pop(name, None)
    return tuple(environment[name] for name in graph.outputs)


def collect_refusals(
    graph: OnnxGraph,
    inputs: Sequence[OnnxValue],
    scope: ImportScope,
    around: Mapping[str, OnnxValue],
) -> list[Refusal]:
    """Return every step that cannot be run, not only the first; leave out what depends on one."""
    environment: dict[str, OnnxValue] = {**around, **dict(zip(graph.inputs, inputs, strict=True))}
    found: list[Refusal] = []
    for step in graph.steps:
        if not all(name in environment for name in step.uses):
            continue
        try:
            results = evaluate(step, environment, scope)
        except Unsupported as error:
            found += error.refusals
        except Exception as error:  # whatever torch says about arguments that do not fit
            found.append(
                describe_refusal(step, scope, f"{type(error).__name__}: {error}".split("\n")[0])
            )
        else:
            environment.update(zip(step.outputs, results, strict=False))
    return found


def evaluate(
    step: OnnxStep, environment: Mapping[str, OnnxValue], scope: ImportScope
) -> tuple[OnnxValue, ...]:
    """Return one step's outputs. Raises Unsupported, naming the step, for what cannot be done."""
    try:
        scope.nodes.spend(1, "unrolling it")
        inputs = tuple(environment[name] if name else None for name in step.inputs)
        with scope.mark((*scope.path, mark_node(step, scope))):
            results = _results(RunningStep(step, scope, environment), inputs)
        if any(step.outputs[len(results) :]):
            raise Refused(f"output {step.outputs[len(results)]!r} is not supported")
    except Unsupported:
        raise
    except Refused as refused:
        raise Unsupported([describe_refusal(step, scope, str(refused))]) from None
    except OnnxFileError as error:
        raise OnnxFileError(str(describe_refusal(step, scope, str(error)))) from error
    except _WRONG as error:
        reason = f"{type(error).__name__}: {error}"
        raise Unsupported([describe_refusal(step, scope, reason)]) from error
    return results


def mark_node(step: OnnxStep, scope: ImportScope) -> NodeMark:
    """Return the step's name as seen from the top graph, its op and its outputs."""
    above = f"{scope.path[-1][0]}/" if scope.path else ""
    return above + step.name, step.op, step.outputs


def describe_refusal(step: OnnxStep, scope: ImportScope, reason: str) -> Refusal:
    """Return a refusal that says which step of the file it is about."""
    domain = f"{step.domain}." if step.domain else ""
    name = mark_node(step, scope)[0]
    return Refusal(f"{domain}{step.op}", name, scope.opset(step.domain), reason)


def _results(node: RunningStep, inputs: tuple[OnnxValue | None, ...]) -> tuple[OnnxValue, ...]:
    step, scope = node.step, node.scope
    if (step.domain, step.op) not in scope.functions:
        check_node(step, scope.opset(step.domain), inputs)
    if all_known(inputs) and (entry := scope.entry(step, on_host=True)):
        found = entry(node, inputs, step.attributes)
        if found is not NotImplemented:
            return _as_outputs(found, inputs)
    if entry := scope.entry(step):
        found = entry(node, inputs, step.attributes)
        if found is not NotImplemented:
            return _as_outputs(found, inputs)
    function = find_local_function(step, scope.functions) or find_schema_function(
        step, scope.opset(step.domain), inputs
    )
    if function is None:
        raise Refused(reason_for(step.domain, step.op))
    return _call(function, step, inputs, scope)


def _call(
    function: OnnxFunction, step: OnnxStep, inputs: tuple[OnnxValue | None, ...], scope: ImportScope
) -> tuple[OnnxValue, ...]:
    """Run a function's body in the place of a step."""
    if len(scope.path) >= _DEEPEST:
        raise Refused(f"functions are nested deeper than {_DEEPEST}")
    graph = function.body(step.attributes)
    given = dict(zip(graph.inputs, inputs, strict=False))
    missing = {name for name in graph.inputs if given.get(name) is None}
    inner = scope.inside(mark_node(step, scope), function.opsets)
    wanted = [i for i, name in enumerate(step.outputs) if name]
    names = tuple(graph.outputs[i] for i in wanted)
    graph = replace(graph, outputs=names, steps=prune(graph.steps, names))
    results = dict(zip(wanted, _run_body(graph, given, missing, inner), strict=True))
    return tuple(results.get(i) for i, _ in enumerate(step.outputs))  # type: ignore[misc]


def _run_body(
    graph: OnnxGraph, given: Mapping[str, OnnxValue | None], missing: set[str], scope: ImportScope
) -> tuple[OnnxValue, ...]:
    """Run a function's body; inputs that the caller left out are left out in it, too."""
    steps = tuple(
        replace(s, inputs=tuple("" if name in missing else name for name in s.inputs))
        for s in graph.steps
    )
    names = tuple(name for name in graph.inputs if name not in missing)
    values = [value for name in names if (value := given[name]) is not None]
    return run_graph(replace(graph, inputs=names, steps=steps), values, scope)


def _as_outputs(found: object, inputs: tuple[OnnxValue | None, ...]) -> tuple[OnnxValue, ...]:
    """Read a single result, or several in a list; arrays get the type of the first input."""
    results = found if isinstance(found, list) else [found]
    return tuple(_as_value(result, inputs) for result in results)


def _as_value(result: object, inputs: tuple[OnnxValue | None, ...]) -> OnnxValue:
    if isinstance(result, (Tensor, HostArray, tuple)):
        return result
    first = next((v for v in inputs if isinstance(v, HostArray)), None)
    dtype = torch.int64 if first is None else first.dtype
    array = np.asarray(result)
    if array.dtype != object:
        dtype = torch.bool if array.dtype == bool else dtype
    return HostArray.of(array, dtype)
