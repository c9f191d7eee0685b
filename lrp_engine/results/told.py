"""Define what pictures and pages read of an explanation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor

from ..plan.provenance import Provenance
from ..propagate.ledger import Ledger
from ..show.labels import Labels


class Told(Protocol):
    """An explanation, as pictures and pages read it: `Explanation` says what each entry is."""

    @property
    def explained(self) -> Tensor:
        """The explained number per sample."""

    @property
    def relevance(self) -> Mapping[str, Tensor]:
        """Relevance by source, (batch, ...)."""

    @property
    def labels(self) -> Labels:
        """Return how sources and outputs are to be read."""

    @property
    def provenance(self) -> Provenance:
        """Return what the result depends on."""

    @property
    def stored_ledger(self) -> Ledger | None:
        """The ledger, if it was computed along with the explanation."""

    @property
    def ledger(self) -> Ledger:
        """The ledger, computed at the first access."""

    @property
    def compute_output(self) -> Callable[[], Any] | None:
        """Return what computes the output, if it is not there yet."""

    @property
    def output(self) -> Any:
        """The model's output."""

    def check(self) -> object:
        """Raise an error unless accounts balance."""
