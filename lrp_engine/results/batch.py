"""Take an explanation of a batch apart into samples, and move it between devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import InputError
from ..show.join_labels import join_labels
from ..show.labels import Labels
from .told import Told

Samples = int | slice | Sequence[int]
_Explanation = TypeVar("_Explanation", bound="Batch")


def find_samples(samples: Samples, count: int) -> list[int]:
    """Return the places of samples in a batch of `count`.

    Raises:
        InputError: One of them does not exist, or none was named.
    """
    if isinstance(samples, slice):
        found = list(range(count))[samples]
    elif isinstance(samples, int):
        found = [samples]
    else:
        found = [int(index) for index in samples]
    for index in found:
        if not -count <= index < count:
            raise InputError(
                f"there is no sample {index}: this explanation has {count}, counted from 0"
            )
    if not found:
        raise InputError(f"samples {samples!r}: none of the {count} is among them")
    return [index % count for index in found]


@dataclass(frozen=True)
class SumsOverBatch:
    """Raises an error in the place of a ledger that cannot be taken apart."""

    samples: int

    def __call__(self) -> NoReturn:
        """Raise the error."""
        raise InputError(
            f"the ledger sums over the {self.samples} samples that were explained together, and"
            " cannot be taken apart: read it there, or explain this sample alone"
        )


class Batch:
    """An explanation of several samples: it has a length, and each sample can be taken out."""

    def __len__(self: Told) -> int:
        """Return the number of samples."""
        return len(self.explained.reshape(-1))

    def __getitem__(self: _Explanation, samples: Samples) -> _Explanation:
        """Return the explanation of one sample, as a batch of one, or of several.

        Its ledger is that of the whole batch, if that is one sample; else it is refused, for it
        sums over the batch. The output, whose axes are the model's own, is None then.

        Raises:
            InputError: There is no such sample, or a source has another number of them.
        """
        found: _Explanation = take_samples(self, samples)
        return found

    def __iter__(self: _Explanation) -> Iterator[_Explanation]:
        """Yield the explanation of each sample."""
        for index in range(len(self)):
            yield self[index]

    def to(self: _Explanation, device: torch.device | str) -> _Explanation:
        """Return the same explanation with its tensors on another device."""
        moved: _Explanation = move(self, lambda tensor: tensor.to(device))
        return moved

    def cpu(self: _Explanation) -> _Explanation:
        """Return the same explanation with its tensors on the CPU."""
        return self.to("cpu")


def take_samples(explanation: Any, samples: Samples) -> Any:
    """Return the explanation of some samples. Raises InputError."""
    count = len(explanation)
    require_samples(explanation)
    chosen = find_samples(samples, count)
    if chosen == list(range(count)):
        return explanation
    rows = torch.tensor(chosen)
    labels: Labels = explanation.labels
    parts = [labels.sample(slice(index, index + 1)) for index in chosen]
    return replace(
        explanation,
        explained=_rows(explanation.explained, rows),
        relevance={n: _rows(r, rows) for n, r in explanation.relevance.items()},
        coefficient={n: _rows(c, rows) for n, c in explanation.coefficient.items()},
        stored_output=None,
        compute_output=None,
        stored_ledger=None,
        compute_ledger=SumsOverBatch(count),
        stored_labels=join_labels(parts),
        compute_labels=None,
    )


def require_samples(explanation: Told) -> None:
    """Raise InputError unless every source has as many samples as numbers were explained."""
    count = len(explanation.explained.reshape(-1))
    for name, relevance in explanation.relevance.items():
        if relevance.dim() < 1 or len(relevance) != count:
            raise InputError(
                f"source {name!r} has the shape {tuple(relevance.shape)}, and {count} number(s)"
                " were explained: its samples cannot be told apart"
            )


def move(explanation: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return the same explanation with a function applied to its tensors."""
    labels: Labels = explanation.labels
    sources = {
        name: replace(
            known,
            images=tuple(map(function, known.images)),
            data=None if known.data is None else function(known.data),
        )
        for name, known in labels.sources.items()
    }
    return replace(
        explanation,
        explained=function(explanation.explained),
        relevance={n: function(r) for n, r in explanation.relevance.items()},
        coefficient={n: function(c) for n, c in explanation.coefficient.items()},
        stored_output=None,
        compute_output=lambda: pytree.tree_map_only(Tensor, function, explanation.output),
        stored_labels=replace(labels, sources=sources),
        compute_labels=None,
    )


def _rows(tensor: Tensor, rows: Tensor) -> Tensor:
    return tensor.reshape(-1, *tensor.shape[1:])[rows.to(tensor.device)]
