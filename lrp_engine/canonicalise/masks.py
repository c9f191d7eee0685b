"""Turns a materialised attention mask into what it says, so that attention keeps its fast kernel.

torch.export makes a model write out the mask that it would leave to the kernel when run plainly.
A mask that is computed from sizes alone is evaluated at several sizes; if it is the lower triangle
at all of them (or true everywhere), the op is told so instead, and the claim is checked again at
every new size that is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import torch
from torch import Tensor, fx

from ..capture import Captured
from ..graphs.nodes import hint, value
from ..graphs.schema import bind
from .rewriting import Copies, rewrite

_MASK, _FLAG = "attn_mask", "is_causal"
_PROBES = ((1, 5), (2, 3), (3, 8), (2, 17))


class MaskReplacement(Enum):
    """What a mask can be replaced by."""

    CAUSAL = "the lower triangle: is_causal"
    EVERYTHING = "true everywhere: no mask"


@dataclass(frozen=True)
class MaskClaim:
    """`mask(*sizes)` is of one kind at the sizes checked so far."""

    mask: Callable[..., Tensor]
    symbols: tuple[Any, ...]
    kind: MaskReplacement
    _checked: dict[tuple[int, ...], bool] = field(default_factory=dict, compare=False, repr=False)

    def holds(self, sizes: Mapping[Any, int]) -> bool:
        """Whether the mask is of that kind at these sizes (remembered per size)."""
        given = tuple(sizes[symbol] for symbol in self.symbols)
        if given not in self._checked:
            self._checked[given] = _is(self.mask(*given), self.kind)
        return self._checked[given]


def recognise_masks(captured: Captured) -> Captured:
    """Requires nothing; ensures that masks that say `is_causal`, or nothing, are left out."""
    claims: dict[fx.Node, MaskClaim | None] = {}
    used: list[MaskClaim] = []

    def unmasked(node: fx.Node, graph: fx.Graph, copies: Copies) -> Any:
        mask = _mask_of(node)
        if mask is None:
            return None
        if mask not in claims:
            claims[mask] = _claim(captured, mask)
        claim = claims[mask]
        if claim is None:
            return None
        if claim not in used:
            used.append(claim)
        return _without_mask(node, claim.kind, graph, copies)

    rewritten = rewrite(captured, unmasked).captured
    return replace(rewritten, claims=(*captured.claims, *used)) if used else captured


def _mask_of(node: fx.Node) -> fx.Node | None:
    """The boolean mask of an attention op that is not marked as causal already."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or not {_MASK, _FLAG} <= {a.name for a in schema.arguments}:
        return None
    arguments = bind(node.target, node.args, node.kwargs)
    mask, flag = arguments[_MASK], arguments[_FLAG]
    if flag or not isinstance(mask, fx.Node) or value(mask).dtype != torch.bool:
        return None
    return mask


def _without_mask(node: fx.Node, kind: MaskReplacement, graph: fx.Graph, copies: Copies) -> fx.Node:
    arguments = bind(node.target, node.args, node.kwargs)
    changed = {**arguments, _MASK: None, _FLAG: kind is MaskReplacement.CAUSAL}
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    args = tuple(changed[a.name] for a in schema if not a.kwarg_only)
    kwargs = {a.name: changed[a.name] for a in schema if a.kwarg_only}
    mapped = fx.node.map_arg((args, kwargs), lambda n: copies[n])
    made = graph.call_function(node.target, *mapped)  # type: ignore[arg-type]
    made.meta = dict(node.meta)
    return made


def _claim(captured: Captured, mask: fx.Node) -> MaskClaim | None:
    """The mask as a function of the free sizes, if it is one and of one kind at every probe."""
    free = {f.symbol: f for f in captured.shapes.free()}
    symbols = tuple(dict.fromkeys(f for f in free if f.is_symbol))
    program = _as_function_of_sizes(captured, mask, symbols)
    if program is None:
        return None
    example = tuple(_hint_of(captured, symbol) for symbol in symbols)
    probes = {example, *(_probe(symbols, pair) for pair in _PROBES)}
    for kind in MaskReplacement:
        claim = MaskClaim(program, symbols, kind)
        try:
            if all(claim.holds(dict(zip(symbols, p, strict=True))) for p in probes):
                return claim
        except RuntimeError:
            return None
    return None


def _probe(symbols: tuple[Any, ...], pair: tuple[int, int]) -> tuple[int, ...]:
    # The batch comes first; a single free size may well be the length.
    return tuple(pair[0] if i == 0 < len(symbols) - 1 else pair[1] for i in range(len(symbols)))


def _hint_of(captured: Captured, symbol: Any) -> int:
    for found in captured.shapes.free():
        if found.symbol == symbol:
            return hint(captured.shapes.fakes[found.leaf].shape[found.axis])
    raise KeyError(symbol)


def _as_function_of_sizes(
    captured: Captured, mask: fx.Node, symbols: tuple[Any, ...]
) -> fx.GraphModule | None:
    """Copies what the mask is computed from; None if that includes the values of an input."""
    graph = fx.Graph()
    sizes = {symbol: graph.placeholder(f"size_{i}") for i, symbol in enumerate(symbols)}
    copies: dict[fx.Node, fx.Node] = {}
    for node in _needed(mask):
        fake = value(node)
        expr = fake.node.expr if isinstance(fake, torch.SymInt) else None
        if expr in sizes:
            copies[node] = sizes[expr]
        elif node.op != "call_function" or not set(node.all_input_nodes) <= set(copies):
            return None
        else:
            copies[node] = graph.node_copy(node, lambda n: copies[n])
    graph.output(copies[mask])
    return fx.GraphModule({}, graph)


def _needed(mask: fx.Node) -> list[fx.Node]:
    """The mask's ancestors in order, down to the sizes that inputs have."""
    found: set[fx.Node] = set()
    stack = [mask]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            if not isinstance(value(node), torch.SymInt):
                stack += node.all_input_nodes
    return [node for node in mask.graph.nodes if node in found]


def _is(mask: Tensor, kind: MaskReplacement) -> bool:
    if kind is MaskReplacement.EVERYTHING:
        return bool(mask.all())
    queries, keys = mask.shape[-2:]
    triangle = torch.ones(queries, keys, dtype=torch.bool, device=mask.device).tril()
    return queries == keys and bool((mask == triangle).all())
