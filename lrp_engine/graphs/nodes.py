"""Describe fx nodes: their values, sizes, names, and where they come from."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import Any, SupportsInt

import torch
from torch import Tensor, fx
from torch.fx.node import Argument
from torch.utils import _pytree as pytree

# Marks a node that stands for another one, for the rules to see: its value is that node's.
VALUE_OF = "value_of"

# Marks a part of an op that was taken apart: what there is to say of the op that the user wrote.
WHOLE = "whole"

_NEVER_THE_USERS = ("/lrp_engine/capture/", "<eval_with_key>")  # the second: code of torch's own
_GUESS = 1024
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)')


@dataclass(frozen=True)
class Origin:
    """The place in the user's model that a node comes from."""

    module: str
    module_type: str
    source: str

    def __str__(self) -> str:
        place = f"{self.module or '(root)'} ({self.module_type})" if self.module_type else "(root)"
        return f"{place}, {self.source}" if self.source else place


@dataclass(frozen=True)
class Whole:
    """An op that the user wrote, and why it has no rule or was taken apart."""

    name: str
    op: str
    description: str
    origin: Origin
    reason: str


def value(argument: object) -> Any:
    """Return the fake value of a node; anything else is returned as it is."""
    return argument.meta.get("val") if isinstance(argument, fx.Node) else argument


def values(arguments: Argument) -> Any:
    """Return a tree of arguments with every node replaced by its fake value."""
    return fx.node.map_arg(arguments, value)


def holds_tensors(node: fx.Node) -> bool:
    """Return whether a node's value is a tensor or several, and not a size."""
    return any(isinstance(v, torch.Tensor) for v in pytree.tree_leaves(value(node)))


def is_floating(node: fx.Node) -> bool:
    """Return whether a node's value, or one of its values, is floating-point."""
    leaves = pytree.tree_leaves(value(node))
    return any(isinstance(v, torch.Tensor) and v.dtype.is_floating_point for v in leaves)


def carries_values(node: fx.Node) -> bool:
    """Return whether relevance could be at a node: a tensor or number, no integer and no size."""
    leaves = pytree.tree_leaves(value(node))
    tensors = [v.dtype for v in leaves if isinstance(v, torch.Tensor)]
    numbers = any(isinstance(v, (float, torch.SymFloat)) for v in leaves)
    return numbers or any(t.is_floating_point or t.is_complex for t in tensors)


def is_complex(node: fx.Node) -> bool:
    """Return whether a node's value, or one of its values, is complex."""
    leaves = pytree.tree_leaves(value(node))
    return any(isinstance(v, torch.Tensor) and v.dtype.is_complex for v in leaves)


def is_below_two_bytes(node: fx.Node) -> bool:
    """Return whether a node's value is of a floating-point dtype for storage alone, as float8.

    torch has no arithmetic for these dtypes.
    """
    leaves = pytree.tree_leaves(value(node))
    dtypes = [v.dtype for v in leaves if isinstance(v, torch.Tensor)]
    return any(dtype.is_floating_point and dtype.itemsize < 2 for dtype in dtypes)


def is_sparse(node: fx.Node) -> bool:
    """Return whether a node's value is a tensor of which zeros are not stored."""
    leaves = pytree.tree_leaves(value(node))
    return any(isinstance(v, torch.Tensor) and v.layout != torch.strided for v in leaves)


def module_stack(node: fx.Node) -> tuple[tuple[str, str], ...]:
    """Return (module path, type name) of every module call around a node, outermost first."""
    stack = node.meta.get("nn_module_stack") or {}
    entries = []
    for key, (path, kind) in stack.items():
        if key.startswith("_empty"):
            continue
        name = kind if isinstance(kind, str) else kind.__qualname__
        call = key[key.index("@") :] if "@" in key else ""
        entries.append((path + call, name.rsplit(".", 1)[-1]))
    return tuple(entries)


def origin(node: fx.Node) -> Origin:
    """Return module path, module type and source line of a node."""
    stack = module_stack(node)
    module, kind = stack[-1] if stack else ("", "")
    return Origin(module, kind, source_line(node))


def source_line(node: fx.Node) -> str:
    """Return `file:line`, as close to the user's own code as the stack trace allows."""
    found = _FRAME.finditer(node.meta.get("stack_trace") or "")
    frames = [frame for frame in found if not any(n in frame["file"] for n in _NEVER_THE_USERS)]
    own = [f for f in frames if "/torch/nn/" not in f["file"]] or frames
    return f"{own[-1]['file']}:{own[-1]['line']}" if own else ""


def describe(node: fx.Node) -> str:
    """Return one line for an error: name, op, shapes, place."""
    shapes = ", ".join(shape_text(value(a)) for a in node.all_input_nodes)
    return f"{node.name} = {target_name(node)}({shapes}) in {origin(node)}"


def whole_of(node: fx.Node, reason: str = "") -> Whole:
    """Return the op that the user wrote and that a node is a part of, or is itself."""
    known: Whole | None = node.meta.get(WHOLE)
    return known or Whole(node.name, target_name(node), describe(node), origin(node), reason)


def shape_text(v: object) -> str:
    """Return `float32[2, s0]` for a tensor, the plain text of anything else."""
    if isinstance(v, torch.Tensor):
        dtype = str(v.dtype).removeprefix("torch.")
        return f"{dtype}[{', '.join(str(s) for s in v.shape)}]"
    if isinstance(v, (tuple, list)):
        return f"({', '.join(shape_text(x) for x in v)})"
    return str(v)


def target_name(node: fx.Node) -> str:
    """Return `aten.linear.default` for an op, the function's name otherwise."""
    if isinstance(node.target, str):
        return node.target
    name = getattr(node.target, "__name__", "")
    return str(node.target) if "." in str(node.target)[:20] else name


def hint(size: SupportsInt) -> int:
    """Return the concrete size behind a symbolic one, that of the example inputs.

    A size that depends on data, such as a count of nonzero entries, is guessed.
    """
    if isinstance(size, torch.SymInt):
        known = size.node.hint
        return _GUESS if known is None else int(known)
    return int(size)


def nbytes(node: fx.Node) -> int:
    """Return the bytes of a node's tensors at the example's sizes."""
    total = 0
    for leaf in pytree.tree_leaves(value(node)):
        if isinstance(leaf, torch.Tensor):
            count = 1
            for size in leaf.shape:
                count *= hint(size)
            total += count * leaf.element_size()
    return total


def part_of(node: fx.Node) -> tuple[fx.Node, int]:
    """Return (producer, index) of a node that takes one result out of several."""
    producer, index = node.args
    assert isinstance(producer, fx.Node)
    assert isinstance(index, int)
    return producer, index


def is_getitem(node: fx.Node) -> bool:
    """Return whether a node takes one result out of several."""
    return node.op == "call_function" and node.target is operator.getitem


def device_of(x: Tensor) -> torch.device:
    """Return where a tensor is.

    A fake tensor says "meta" of itself while any thread runs an op on tensors of its mode.
    """
    device: torch.device = getattr(x, "fake_device", None) or x.device
    return device
