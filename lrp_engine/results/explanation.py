"""The result of an explanation: relevance per source, the ledger, and where it came from."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..errors import InputError
from ..graphs.nodes import shape_text
from ..plan.provenance import Provenance
from ..propagate.ledger import Ledger
from . import show, store

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class BySource(Mapping[str, Tensor]):
    """Tensors by source name. With one source, `"input"` is another name for it."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)

    def __getitem__(self, name: str) -> Tensor:
        if name in self._tensors:
            return self._tensors[name]
        if name == "input" and len(self._tensors) == 1:
            return next(iter(self._tensors.values()))
        close = difflib.get_close_matches(name, self._tensors, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise KeyError(f"no source {name!r}; there is {', '.join(self._tensors)}{hint}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}: {shape_text(v)}" for k, v in self._tensors.items())
        return f"{{{inside}}}"


@dataclass(frozen=True)
class Explanation:
    """One explanation of a batch.

    `relevance[source]` has the source's shape and the unit of `explained`, the explained number
    per sample: they sum to it, up to what `ledger` books as absorbed. `coefficient[source]` is c
    with relevance = c * activation. `known_output` is the model's output where it was computed;
    `run_again` computes it where it was not.
    """

    explained: Tensor
    relevance: Mapping[str, Tensor]
    coefficient: Mapping[str, Tensor]
    provenance: Provenance
    known_output: Any = None
    known_ledger: Ledger | None = None
    run_again: Callable[[], Any] | None = field(default=None, repr=False, compare=False)
    recount: Callable[[], Ledger] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "relevance", BySource(self.relevance))
        object.__setattr__(self, "coefficient", BySource(self.coefficient))

    @cached_property
    def output(self) -> Any:
        """The model's output, in the model's own structure; None after `full_output=False`.

        Where one position was explained it is computed when first asked for, by another forward
        pass: raises InputError if inputs or parameters have been changed in place since.
        """
        return self.known_output if self.run_again is None else self.run_again()

    @cached_property
    def ledger(self) -> Ledger:
        """Where every unit of relevance went. Computed when first asked for.

        Raises InputError if inputs or parameters have been changed in place since.
        """
        if self.known_ledger is not None:
            return self.known_ledger
        if self.recount is None:
            raise InputError("this explanation was saved without its ledger")
        return self.recount()

    def check(self, tolerance: float | None = None) -> Explanation:
        """Returns self if every op's account balances.

        Raises ConservationError naming the first op out of tolerance.
        """
        self.ledger.check(tolerance)
        return self

    def per_token(self, source: str = "input") -> Tensor:
        """Relevance summed over the last axis: (batch, positions) for embeddings."""
        return self.relevance[source].sum(-1)

    def share_at(self, position: int = 0, source: str = "input") -> Tensor:
        """Share of sum |R| at one position, per sample: near 1 at the first token is a sink.

        Relevance per token as in `per_token`. Language models park attention on their first
        token; a map that is all sink says little, and a contrast of two answers says more.
        """
        amounts = self.per_token(source).abs()
        return amounts[:, position] / amounts.sum(1)

    def save(self, path: str | Path) -> Path:
        """Writes tensors and metadata to one safetensors file (with the ledger's summary)."""
        return store.save(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> Explanation:
        """Reads what `save` wrote."""
        return store.load(Path(path))

    def plot(
        self,
        source: str = "input",
        *,
        sample: int = 0,
        image: Tensor | None = None,
        tokens: Sequence[str] | None = None,
    ) -> Figure:
        """A picture of one sample: a heat map for images, coloured words or bars for tokens."""
        return show.figure(self, source, sample, image, tokens)

    def _repr_html_(self) -> str:
        return show.html(self)

    def to_html(
        self, source: str | None = None, *, tokens: Sequence[Sequence[str]] | None = None
    ) -> str:
        """A self-contained piece of HTML, of every source unless one is named.

        With `tokens` (one list per sample) as coloured words.
        """
        return show.html(self, source, tokens)
