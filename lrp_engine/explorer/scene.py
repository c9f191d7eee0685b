"""Hold what the explorer shows: plain words and numbers, without a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Layer:
    """One place of the model, whose relevance is shown as cells, units, or both.

    Cells are what a grid shows: tokens, or the pixels of a map; units are heads, channels or
    features. In a flat vector of all nodes a layer's cells come first, row by row, then its units.

    Args:
        name: As it is to be read: "layer 3, attention".
        group: Layers of one group form one grid: "stream", "attention", "mlp", "input", "layers".
        rows: Rows of cells, 0 if there are no cells.
        columns: Columns of cells; tokens are one row.
        units: How many units.
        unit: What a unit is called: "head", "channel", "feature".
        module: The path of the module, as the model calls it.
        node: The op of the captured graph.
        op: Its kind.
        rule: The rule that serves it; empty at inputs.
        line: The source line.
        shape: The shape of its values, as text.
        reads: The layers that it is computed from, as places in `Scene.layers`.
        pooled: How many pixels a cell sums over, (rows, columns).
    """

    name: str
    group: str
    rows: int = 0
    columns: int = 0
    units: int = 0
    unit: str = "unit"
    module: str = ""
    node: str = ""
    op: str = ""
    rule: str = ""
    line: str = ""
    shape: str = ""
    reads: tuple[int, ...] = ()
    pooled: tuple[int, int] = (1, 1)

    @property
    def nodes(self) -> int:
        """The number of its cells and units."""
        return self.rows * self.columns + self.units


@dataclass(frozen=True)
class OpLine:
    """The account of one op. Amounts are in the unit of the explained number."""

    node: str
    op: str
    rule: str
    place: str
    received: float
    passed: float
    absorbed: Mapping[str, float]


@dataclass(frozen=True)
class LedgerLine:
    """Say where a number went: totals by source and by cause, and the ops with most of it.

    `left_out` is the number of ops that are not listed.
    """

    explained: float
    arrived: Mapping[str, float]
    absorbed: Mapping[str, float]
    residual: float
    balances: bool
    ops: tuple[OpLine, ...] = ()
    left_out: int = 0


@dataclass(frozen=True)
class Traces:
    """Relevance through some nodes: `amounts[i]` is, at every node, the part through `nodes[i]`."""

    nodes: tuple[int, ...]
    amounts: Tensor


@dataclass(frozen=True)
class TargetScene:
    """One explained number.

    Args:
        label: Its name: of a class.
        question: The whole of it: 'why "5"?'.
        explained: The number.
        probability: Of the class, or None.
        relevance: (nodes,): the relevance of every cell and unit of every layer.
        ledger: Where it went, or None.
        traces: What passes through the strongest nodes, or None.
    """

    label: str
    question: str
    explained: float
    probability: float | None
    relevance: Tensor
    ledger: LedgerLine | None = None
    traces: Traces | None = None


@dataclass(frozen=True)
class Scene:
    """All that one page shows.

    Args:
        kind: What the input is: "text", "image", "table" or "series".
        title: The page's title.
        subtitle: The quiet line below it: preset, sample.
        preset: The name of the preset.
        layers: From the input to the output.
        targets: The numbers to choose from.
        words: The text at each cell of a row of tokens.
        features: The name and value of each input feature.
        image: The input image, (3, height, width), uint8.
        unit: Of the explained numbers: "logit".
        notes: What a reader has to know, a sentence each.
        untraced: Why nothing can be traced; empty if it can.
    """

    kind: str
    title: str
    subtitle: str
    preset: str
    layers: tuple[Layer, ...]
    targets: tuple[TargetScene, ...]
    words: tuple[str, ...] = ()
    features: tuple[tuple[str, str], ...] = ()
    image: Tensor | None = field(default=None, compare=False)
    unit: str = ""
    notes: tuple[str, ...] = ()
    untraced: str = ""
