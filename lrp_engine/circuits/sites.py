"""Sites: the places in a model whose activations are scored and patched, with all their names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

import torch
from torch import Tensor, fx

from ..capture import Captured
from ..errors import SourceError
from ..graphs.nodes import is_floating, origin, value
from .blocks import Block, Branch, Structure


class Layout(Enum):
    """What the axes of an activation are, and which of them a score keeps.

    A score is summed over features; what is left is (batch, position) or (batch, position, unit).
    """

    POSITION = "(batch, position, feature): one score per position"
    HEAD = "(batch, head, position, feature): one score per position and head"
    NEURON = "(batch, position, neuron): one score per position and neuron"
    WHOLE = "(batch, ...): one score per sample"


class Kind(Enum):
    """The kinds of components. The value is what `components=` takes."""

    EMBED = "embed"
    RESID_PRE = "resid_pre"
    RESID_MID = "resid_mid"
    RESID_POST = "resid_post"
    ATTN_OUT = "attn_out"
    MLP_OUT = "mlp_out"
    Z = "z"
    Q = "q"
    K = "k"
    V = "v"
    NEURON = "neuron"
    MODULE = "module"


RESIDUAL = (Kind.RESID_PRE, Kind.RESID_MID, Kind.RESID_POST)

# The hook names that people know. {} is the layer.
_HOOKS = {
    Kind.RESID_PRE: "blocks.{}.hook_resid_pre",
    Kind.RESID_MID: "blocks.{}.hook_resid_mid",
    Kind.RESID_POST: "blocks.{}.hook_resid_post",
    Kind.ATTN_OUT: "blocks.{}.hook_attn_out",
    Kind.MLP_OUT: "blocks.{}.hook_mlp_out",
    Kind.Z: "blocks.{}.attn.hook_z",
    Kind.Q: "blocks.{}.attn.hook_q",
    Kind.K: "blocks.{}.attn.hook_k",
    Kind.V: "blocks.{}.attn.hook_v",
    Kind.NEURON: "blocks.{}.mlp.hook_post",
}


_ALIASES = {"result": "z", "head": "z", "residual": "resid_pre"}


@dataclass(frozen=True)
class Site:
    """One activation of the model. `name` is its hook name, `own` the model's own name for it."""

    name: str
    kind: Kind
    layer: int | None
    node: fx.Node
    layout: Layout
    own: str

    def short(self, unit: int | None = None) -> str:
        """The name of edge attribution patching: `a5.h3`, `m5`, `input`; the hook name else."""
        if self.kind is Kind.EMBED:
            return "input"
        if self.kind is Kind.MLP_OUT:
            return f"m{self.layer}"
        if self.layout is Layout.HEAD and unit is not None:
            suffix = "" if self.kind is Kind.Z else f"<{self.kind.value}>"
            return f"a{self.layer}.h{unit}{suffix}"
        return self.name if unit is None else f"{self.name}.{unit}"

    def reduced(self, product: Tensor) -> Tensor:
        """Sums a product of the activation's shape over features: (batch, position[, unit])."""
        product = wide(product)
        if self.layout is Layout.POSITION:
            return product.sum(-1)
        if self.layout is Layout.HEAD:
            return product.sum(-1).transpose(1, 2)
        if self.layout is Layout.NEURON:
            return product
        return product.flatten(1).sum(1)

    def units(self, activation: Tensor) -> tuple[int, ...]:
        """How many scores one sample has, by axis: (positions,), (positions, heads), ..."""
        shape = activation.shape
        if self.layout is Layout.POSITION:
            return (shape[1],)
        if self.layout is Layout.HEAD:
            return (shape[2], shape[1])
        return tuple(shape[1:]) if self.layout is Layout.NEURON else ()


def find_sites(captured: Captured, structure: Structure) -> tuple[Site, ...]:
    """Every site of the blocks, in the order of the forward pass."""
    return (*_embedding_sites(structure), *_block_sites(structure))


def _embedding_sites(structure: Structure) -> Iterator[Site]:
    for i, node in enumerate(structure.embeddings):
        name = "hook_embed" if len(structure.embeddings) == 1 else f"hook_embed:{i}"
        yield _site(Kind.EMBED, None, node, origin(node).module or node.name, name)


def _block_sites(structure: Structure) -> Iterator[Site]:
    known: set[tuple[Kind, int]] = set()
    for number, b in enumerate(structure.branches):
        first = Kind.RESID_PRE if (Kind.RESID_PRE, b.layer) not in known else None
        if first:
            known.add((first, b.layer))
            yield _site(first, b.layer, b.skip, f"{b.path}:residual before")
        yield from _inner_sites(b)
        last = number + 1 == len(structure.branches) or structure.branches[number + 1].layer > (
            b.layer
        )
        kind = Kind.RESID_POST if last else Kind.RESID_MID
        if (kind, b.layer) not in known:
            known.add((kind, b.layer))
            yield _site(kind, b.layer, b.after, f"{b.path}:residual after")


def _inner_sites(b: Branch) -> Iterator[Site]:
    if b.heads is not None:
        for kind, node in [
            (Kind.Q, b.heads.query),
            (Kind.K, b.heads.key),
            (Kind.V, b.heads.value),
            (Kind.Z, b.heads.z),
        ]:
            yield _site(kind, b.layer, node, f"{b.path}:{kind.value}", layout=Layout.HEAD)
    if b.neurons is not None:
        own = f"{b.path}:neurons"
        yield _site(Kind.NEURON, b.layer, b.neurons, own, layout=Layout.NEURON)
    out = Kind.ATTN_OUT if b.kind is Block.ATTENTION else Kind.MLP_OUT
    yield _site(out, b.layer, b.out, b.path)


def _site(
    kind: Kind,
    layer: int | None,
    node: fx.Node,
    own: str,
    name: str | None = None,
    layout: Layout | None = None,
) -> Site:
    return Site(
        name=name or _HOOKS[kind].format(layer),
        kind=kind,
        layer=layer,
        node=node,
        layout=layout or layout_of(node),
        own=own,
    )


def layout_of(node: fx.Node) -> Layout:
    """(batch, position, feature) is taken for what it is, everything else as a whole."""
    return Layout.POSITION if value(node).dim() == 3 else Layout.WHOLE


def choose(
    sites: Sequence[Site], captured: Captured, wanted: Iterable[str] | str
) -> tuple[Site, ...]:
    """Sites by kind (`z`), hook name or glob (`blocks.*.hook_mlp_out`), module path or glob.

    `result`, what a head writes into the stream, means `z`: the output projection is linear, so the
    two have the same scores, and patching one is patching the other.

    Raises SourceError for a name that is none of these.
    """
    found: dict[str, Site] = {}
    for name in [wanted] if isinstance(wanted, str) else wanted:
        known = _ALIASES.get(name, name.replace("hook_result", "hook_z"))
        matching = [s for s in sites if known == s.kind.value or fnmatchcase(s.name, known)]
        matching = matching or list(_modules(captured, name))
        if not matching:
            raise SourceError(f"{name!r} is no component{_suggestion(name, sites, captured)}")
        found |= {site.name: site for site in matching}
    return tuple(found.values())


def _modules(captured: Captured, name: str) -> Iterator[Site]:
    paths: Mapping[str, tuple[fx.Node, ...]] = captured.modules
    for path, nodes in paths.items():
        if fnmatchcase(path, name):
            for i, node in enumerate(n for n in nodes if is_floating(n)):
                own = path if len(nodes) == 1 else f"{path}:{i}"
                yield _site(Kind.MODULE, None, node, own, own)


def _suggestion(name: str, sites: Sequence[Site], captured: Captured) -> str:
    kinds = sorted({s.kind.value for s in sites})
    close = difflib.get_close_matches(name, [*kinds, *(s.name for s in sites), *captured.modules])
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"{hint}. Kinds found in this model: {', '.join(kinds)}; module paths work too"


def wide(tensor: Tensor) -> Tensor:
    """A tensor in float32 at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
