"""Replace a materialised causal or all-true attention mask, so that attention stays fast.

Under torch.export a model writes out the mask that it would otherwise leave to the kernel. A mask
that is computed from sizes alone is evaluated at several sizes; if it is the lower triangle at all
of them (or true everywhere), the op gets `is_causal` (or no mask) instead, and the claim is checked
again at every new size that is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.fx.node import Argument

from ..capture import Captured
from ..capture.shape_contract import Symbol
from ..graphs.nodes import hint, value
from ..graphs.schema import bind
from ..graphs.walk import closure, inputs
from .rewriting import Copies, rewrite

_MASK, _FLAG = "attn_mask", "is_causal"
_PROBES = ((1, 5), (2, 3), (3, 8), (2, 17))


class MaskReplacement(Enum):
    """The kinds of masks that can be replaced."""

    CAUSAL = "the lower triangle: is_causal"
    EVERYTHING = "true everywhere: no mask"


@dataclass(frozen=True)
class MaskClaim:
    """`mask(*sizes)` is of one kind at the sizes checked so far."""

    mask: Callable[..., Tensor]
    symbols: tuple[Symbol, ...]
    kind: MaskReplacement
    _checked: dict[tuple[int, ...], bool] = field(default_factory=dict, compare=False, repr=False)

    def holds(self, sizes: Mapping[Symbol, int]) -> bool:
        """Return whether the mask is of that kind at these sizes (remembered per size)."""
        given = tuple(sizes[symbol] for symbol in self.symbols)
        if given not in self._checked:
            self._checked[given] = _is(self.mask(*given), self.kind)
        return self._checked[given]


def recognise_masks(captured: Captured) -> Captured:
    """Leave out the masks of attention ops that are causal, or true everywhere.

    Requires nothing. Ensures that every mask that was left out comes with a claim, which is checked
    at the sizes of every call.
    """
    claims: dict[fx.Node, MaskClaim | None] = {}
    used: list[MaskClaim] = []

    def unmasked(node: fx.Node, graph: fx.Graph, copies: Copies) -> Argument:
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
    """Return the boolean mask of an attention op that is not marked as causal already."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or not {_MASK, _FLAG} <= {a.name for a in schema.arguments}:
        return None
    arguments = bind(node.target, node.args, node.kwargs)
    mask, flag = arguments[_MASK], arguments[_FLAG]
    if flag or not isinstance(mask, fx.Node) or value(mask).dtype != torch.bool:
        return None
    return mask


def _without_mask(node: fx.Node, kind: MaskReplacement, graph: fx.Graph, copies: Copies) -> fx.Node:
    op = node.target
    assert isinstance(op, OpOverload)
    arguments = bind(op, node.args, node.kwargs)
    changed = {**arguments, _MASK: None, _FLAG: kind is MaskReplacement.CAUSAL}
    schema = op._schema.arguments
    args = tuple(changed[a.name] for a in schema if not a.kwarg_only)
    kwargs = {a.name: changed[a.name] for a in schema if a.kwarg_only}
    args, kwargs = fx.node.map_arg((args, kwargs), lambda n: copies[n])
    made = graph.call_function(op, args, kwargs)
    made.meta = dict(node.meta)
    return made


def _claim(captured: Captured, mask: fx.Node) -> MaskClaim | None:
    """Return the claim that a mask is of one kind, if it depends on sizes alone and is."""
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


def _probe(symbols: tuple[Symbol, ...], pair: tuple[int, int]) -> tuple[int, ...]:
    # The batch comes first; a single free size may well be the length.
    return tuple(pair[0] if i == 0 < len(symbols) - 1 else pair[1] for i in range(len(symbols)))


def _hint_of(captured: Captured, symbol: Symbol) -> int:
    for found in captured.shapes.free():
        fake = captured.shapes.fakes[found.leaf]
        if found.symbol == symbol and isinstance(fake, Tensor):
            return hint(fake.shape[found.axis])
    raise KeyError(symbol)


def _as_function_of_sizes(
    captured: Captured, mask: fx.Node, symbols: tuple[Symbol, ...]
) -> fx.GraphModule | None:
    """Copy what the mask is computed from; None if that includes the values of an input."""
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
    """Return what the mask is computed from, in order, down to the sizes that inputs have."""
    found = closure([mask], inputs, stop=lambda node: isinstance(value(node), torch.SymInt))
    return [node for node in mask.graph.nodes if node in found]


def _is(mask: Tensor, kind: MaskReplacement) -> bool:
    if kind is MaskReplacement.EVERYTHING:
        return bool(mask.all())
    queries, keys = mask.shape[-2:]
    triangle = torch.ones(queries, keys, dtype=torch.bool, device=mask.device).tril()
    return queries == keys and bool((mask == triangle).all())
