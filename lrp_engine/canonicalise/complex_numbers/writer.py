"""Write calls on the parts of complex values into a new graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import Argument, Target
from torch.utils import _pytree as pytree

from ...graphs.aten import CAST, aten
from ...graphs.decomposition import Traces
from ...graphs.nodes import WHOLE, value, whole_of
from ...graphs.schema import declared_arguments
from ...graphs.tracing import inline, run_without_data, signature, trace
from .arithmetic import Spelling
from .filled import part_dtype
from .pair import Pair

_PLACE = ("nn_module_stack", "stack_trace", WHOLE)
_PARTS = "complex values have no rules of their own: it is computed with real and imaginary parts"


@dataclass
class PartWriter:
    """Writes nodes that compute with parts; `origin` is the node of the old graph they are of."""

    graph: fx.Graph
    traces: Traces = field(default_factory=dict)

    def call(
        self, target: Target, args: Any, origin: fx.Node, kwargs: Any = None, reason: str = _PARTS
    ) -> fx.Node:
        """Write one call; its value is found without data."""
        known = run_without_data(target, args, kwargs or {})
        return self._emitter(origin, reason)(target, args, kwargs or {}, known)

    def split(self, whole: fx.Node, origin: fx.Node, reason: str = _PARTS) -> Pair:
        """Return the parts of a node that is complex."""
        plain = self.call(aten.resolve_conj.default, (whole,), origin, reason=reason)
        pairs = self.call(aten.view_as_real.default, (plain,), origin, reason=reason)
        axis = value(pairs).dim() - 1
        re, im = (
            self.call(aten.select.int, (pairs, axis, i), origin, reason=reason) for i in (0, 1)
        )
        return Pair(re, im)

    def join(self, pair: Pair, origin: fx.Node, reason: str = _PARTS) -> fx.Node:
        """Return a complex node of two parts."""
        # Torch takes `complex` apart, but not this.
        pairs = self.call(aten.stack.default, (list(pair), -1), origin, reason=reason)
        return self.call(aten.view_as_complex.default, (pairs,), origin, reason=reason)

    def spell(self, spelling: Spelling, args: Any, kwargs: Any, origin: fx.Node) -> Argument:
        """Write what a spelling computes; raise NotSpelled if it does not serve the call."""
        leaves, spec = pytree.tree_flatten((args, kwargs))
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, fx.Node)]
        given = [value(leaves[i]) for i in places]

        def run(*arguments: object) -> object:
            filled = list(leaves)
            for place, argument in zip(places, arguments, strict=True):
                filled[place] = argument
            whole_args, whole_kwargs = pytree.tree_unflatten(filled, spec)
            return _as_wide(spelling(*whole_args, **whole_kwargs), value(origin).dtype)

        fixed = tuple(None if i in places else str(leaf) for i, leaf in enumerate(leaves))
        key = (spelling, value(origin).dtype, str(spec), fixed, tuple(map(signature, given)))
        if key not in self.traces:
            self.traces[key] = trace(run, given)
        nodes = [leaves[i] for i in places]
        results = inline(self.traces[key], self.graph, nodes, origin, self._emitter(origin, _PARTS))
        return Pair(*results) if value(origin).dtype.is_complex else results[0]

    def on_each_part(
        self, target: Target, args: Any, kwargs: Any, values: Sequence[str], origin: fx.Node
    ) -> Pair:
        """Write a call once for the real and once for the imaginary part."""
        schema = declared_arguments(target)

        def of_part(index: int) -> fx.Node:
            def pick(name: str, argument: Any) -> Any:
                if name in values:
                    return self._part(argument, index, origin)
                return part_dtype(argument) if isinstance(argument, torch.dtype) else argument

            new = tuple(pick(a.name, v) for a, v in zip(schema, args, strict=False))
            named = {name: pick(name, v) for name, v in kwargs.items()}
            return self._as_wide_as(self.call(target, new, origin, named), origin)

        return Pair(of_part(0), of_part(1))

    def _part(self, argument: Any, index: int, origin: fx.Node) -> Any:
        """Return a part of an argument; real ones have no imaginary part."""
        if isinstance(argument, Pair):
            return argument[index]
        if isinstance(argument, (list, tuple)):
            return [self._part(entry, index, origin) for entry in argument]
        if index == 0 or argument is None:
            return argument
        if isinstance(argument, fx.Node) and isinstance(value(argument), Tensor):
            return self.call(aten.zeros_like.default, (argument,), origin)
        return 0

    def _as_wide_as(self, part: fx.Node, origin: fx.Node) -> fx.Node:
        if not isinstance(value(part), Tensor):
            return part
        dtype = part_dtype(value(origin).dtype)
        if value(part).dtype == dtype:
            return part
        return self.call(CAST, (part,), origin, {"dtype": dtype})

    def _emitter(self, origin: fx.Node, reason: str) -> Callable[..., fx.Node]:
        whole = whole_of(origin, reason)

        def emit(target: Any, args: Any, kwargs: Any, known: object) -> fx.Node:
            made = self.graph.call_function(target, args, kwargs)
            made.meta = {k: v for k, v in origin.meta.items() if k in _PLACE}
            made.meta |= {WHOLE: whole, "val": known}
            return made

        return emit


def _as_wide(result: Any, dtype: torch.dtype) -> Any:
    """Return results in the dtype that torch gives them."""
    wanted = part_dtype(dtype)
    if isinstance(result, Pair):
        return [part.to(wanted) for part in result]
    return result.to(wanted)
