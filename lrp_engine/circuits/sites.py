"""Name the places in a model whose activations are scored and patched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from fnmatch import fnmatchcase

from torch import Tensor, fx

from ..capture import Captured
from ..errors import SourceError
from ..graphs.nodes import is_floating, origin, value
from ..method.relevance import widen
from ..plan.sources import explain_absence
from .blocks import Block, BlockKind, ModelBlocks
from .heads import HeadAxes


class SiteLayout(Enum):
    """The axes of an activation, and which of them a score keeps.

    A score is summed over features; what is left is (batch, position) or (batch, position, unit).
    """

    POSITION = "(batch, position, feature): one score per position"
    HEAD = "(batch, head, position, feature) in any order: one score per position and head"
    NEURON = "(batch, position, neuron): one score per position and neuron"
    WHOLE = "(batch, ...): one score per sample"


class SiteKind(Enum):
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


RESIDUAL = (SiteKind.RESID_PRE, SiteKind.RESID_MID, SiteKind.RESID_POST)

# The hook names that people know. {} is the layer.
_HOOKS = {
    SiteKind.RESID_PRE: "blocks.{}.hook_resid_pre",
    SiteKind.RESID_MID: "blocks.{}.hook_resid_mid",
    SiteKind.RESID_POST: "blocks.{}.hook_resid_post",
    SiteKind.ATTN_OUT: "blocks.{}.hook_attn_out",
    SiteKind.MLP_OUT: "blocks.{}.hook_mlp_out",
    SiteKind.Z: "blocks.{}.attn.hook_z",
    SiteKind.Q: "blocks.{}.attn.hook_q",
    SiteKind.K: "blocks.{}.attn.hook_k",
    SiteKind.V: "blocks.{}.attn.hook_v",
    SiteKind.NEURON: "blocks.{}.mlp.hook_post",
}


_ALIASES = {"result": "z", "head": "z", "residual": "resid_pre"}


@dataclass(frozen=True)
class Site:
    """One activation of the model.

    `name` is its hook name, as TransformerLens has it; `own_name` says where it lies in the model:
    a module path, with what is read there if that is no module's output. `axes` says where an
    activation of layout HEAD has its heads and positions.
    """

    name: str
    kind: SiteKind
    layer: int | None
    node: fx.Node
    layout: SiteLayout
    own_name: str
    axes: HeadAxes = field(default_factory=HeadAxes)

    def short_name(self, unit: int | None = None) -> str:
        """Return the name of edge attribution patching, or the hook name if there is none.

        Those names are `input`, `m5` for an MLP, `a5.h3` for a head (`unit`) and `a5.h3<q>` for
        its query.
        """
        if self.kind is SiteKind.EMBED:
            return "input"
        if self.kind is SiteKind.MLP_OUT:
            return f"m{self.layer}"
        if self.layout is SiteLayout.HEAD and unit is not None:
            suffix = "" if self.kind is SiteKind.Z else f"<{self.kind.value}>"
            return f"a{self.layer}.h{unit}{suffix}"
        return self.name if unit is None else f"{self.name}.{unit}"

    def sum_features(self, product: Tensor) -> Tensor:
        """Sum coefficient times activation over features.

        Args:
            product: of the activation's shape, which `layout` tells.

        Returns:
            (batch, position), (batch, position, unit) or (batch,), in float32 at least.
        """
        product = widen(product)
        if self.layout is SiteLayout.POSITION:
            return product.sum(-1)
        if self.layout is SiteLayout.HEAD:
            return self.axes.arrange(product).sum(-1).transpose(1, 2)
        if self.layout is SiteLayout.NEURON:
            return product
        return product.flatten(1).sum(1) if product.dim() > 1 else product

    def score_shape(self, activation: Tensor) -> tuple[int, ...]:
        """Return the shape of one sample's scores: (positions,), (positions, heads), ..."""
        shape = activation.shape
        if self.layout is SiteLayout.POSITION:
            return (shape[1],)
        if self.layout is SiteLayout.HEAD:
            return (shape[self.axes.position], shape[self.axes.head])
        return tuple(shape[1:]) if self.layout is SiteLayout.NEURON else ()


def find_sites(captured: Captured, structure: ModelBlocks) -> tuple[Site, ...]:
    """Find every site of the blocks, in the order of the forward pass."""
    return (*_embedding_sites(structure), *_block_sites(structure))


def _embedding_sites(structure: ModelBlocks) -> Iterator[Site]:
    for i, node in enumerate(structure.embeddings):
        name = "hook_embed" if len(structure.embeddings) == 1 else f"hook_embed:{i}"
        yield _site(SiteKind.EMBED, None, node, origin(node).module or node.name, name)


def _block_sites(structure: ModelBlocks) -> Iterator[Site]:
    known: set[tuple[SiteKind, int]] = set()
    for number, b in enumerate(structure.blocks):
        first = SiteKind.RESID_PRE if (SiteKind.RESID_PRE, b.layer) not in known else None
        if first:
            known.add((first, b.layer))
            yield _site(first, b.layer, b.skip, f"{b.path}:residual before")
        yield from _inner_sites(b)
        following = structure.blocks[number + 1 : number + 2]
        last = not following or following[0].layer > b.layer
        kind = SiteKind.RESID_POST if last else SiteKind.RESID_MID
        if (kind, b.layer) not in known:
            known.add((kind, b.layer))
            yield _site(kind, b.layer, b.after, f"{b.path}:residual after")


def _inner_sites(b: Block) -> Iterator[Site]:
    if b.heads is not None:
        for kind, tensor in [
            (SiteKind.Q, b.heads.query),
            (SiteKind.K, b.heads.key),
            (SiteKind.V, b.heads.value),
            (SiteKind.Z, b.heads.z),
        ]:
            own = f"{b.path}:{kind.value}"
            site = _site(kind, b.layer, tensor.node, own, layout=SiteLayout.HEAD)
            yield replace(site, axes=tensor.axes)
    if b.neurons is not None:
        own = f"{b.path}:neurons"
        yield _site(SiteKind.NEURON, b.layer, b.neurons, own, layout=SiteLayout.NEURON)
    out = SiteKind.ATTN_OUT if b.kind is BlockKind.ATTENTION else SiteKind.MLP_OUT
    yield _site(out, b.layer, b.out, b.path)


def _site(
    kind: SiteKind,
    layer: int | None,
    node: fx.Node,
    own: str,
    name: str | None = None,
    layout: SiteLayout | None = None,
) -> Site:
    return Site(
        name=name or _HOOKS[kind].format(layer),
        kind=kind,
        layer=layer,
        node=node,
        layout=layout or layout_of(node),
        own_name=own,
    )


def layout_of(node: fx.Node) -> SiteLayout:
    """Return POSITION for (batch, position, feature), and WHOLE for any other shape."""
    return SiteLayout.POSITION if value(node).dim() == 3 else SiteLayout.WHOLE


def choose_sites(
    sites: Sequence[Site], captured: Captured, wanted: Iterable[str] | str
) -> tuple[Site, ...]:
    """Choose sites by name.

    Args:
        sites: the sites of the blocks.
        captured: the graph that they are nodes of; its modules are sites as well.
        wanted: kinds (`z`), hook names or globs (`blocks.*.hook_mlp_out`), module paths or globs.
            `result`, what a head writes into the stream, means `z`: the output projection is
            linear, so both have the same scores, and patching one is patching the other.

    Returns:
        Every site that a name matches, once, in the order of the names.

    Raises:
        SourceError: a name matches nothing.
    """
    found: dict[str, Site] = {}
    for name in [wanted] if isinstance(wanted, str) else wanted:
        known = _ALIASES.get(name, name.replace("hook_result", "hook_z"))
        matching = [s for s in sites if known == s.kind.value or fnmatchcase(s.name, known)]
        matching = matching or list(_modules(captured, name))
        if not matching:
            raise SourceError(f"unknown component {name!r}{_suggest(name, sites, captured)}")
        found |= {site.name: site for site in matching}
    return tuple(found.values())


def _modules(captured: Captured, name: str) -> Iterator[Site]:
    paths: Mapping[str, tuple[fx.Node, ...]] = captured.modules
    for path, nodes in paths.items():
        if fnmatchcase(path, name):
            for i, node in enumerate(n for n in nodes if is_floating(n)):
                own = path if len(nodes) == 1 else f"{path}:{i}"
                yield _site(SiteKind.MODULE, None, node, own, own)


def _suggest(name: str, sites: Sequence[Site], captured: Captured) -> str:
    kinds = sorted({s.kind.value for s in sites})
    known = [*kinds, *(s.name for s in sites), *captured.modules]
    return (
        f"{explain_absence(captured, name, known)}. Kinds found in this model:"
        f" {', '.join(kinds)}; module paths work too"
    )
