"""Take tensors and arrays as what the model is called with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ...errors import InputError
from ...show.axes import Axis, parse_axes
from ...show.labels import SourceLabels
from ..batch import THE_SOURCE, Batch, Sample
from ..data.tensors import (
    as_tensors,
    count_samples,
    holds_tensors,
    is_array_file,
    read_arrays,
    slice_samples,
)
from ..hints import Hints, spell


@dataclass(frozen=True)
class TensorReader:
    """Takes tensors, arrays and files of arrays; all samples are one, unless they are counted.

    Args:
        dtype: What arrays of float64 become: the model's own.
        hints: Names of axes and features, and the rate, as the user gave them.
    """

    takes: ClassVar[tuple[str, ...]] = ("axes", "features", "rate")
    what: ClassVar[str] = "tensors or arrays"

    dtype: torch.dtype | None = None
    hints: Hints = field(default_factory=Hints)

    def samples(self, data: Any) -> Sequence[Sample]:
        """Return what the model is called with as one sample. Raises InputError for a bad file."""
        if is_array_file(data):
            data = read_arrays(Path(data))
        elif holds_tensors(data):
            return [Sample(data)]
        return [Sample(as_tensors(data, self.dtype))]

    def split(self, data: Any, size: int) -> list[Sample]:
        """Return parts of so many samples each. Raises InputError without a common first axis."""
        whole = self.samples(data)[0].value
        ends = range(0, count_samples(whole), size)
        return [Sample(slice_samples(whole, start, start + size)) for start in ends]

    def read(self, samples: Sequence[Sample]) -> Batch:
        """Return the one sample, with what was said of its axes."""
        (sample,) = samples
        leaves = [t for t in pytree.tree_leaves(sample.value) if isinstance(t, Tensor)]
        if len(leaves) != 1:
            self._refuse_hints(len(leaves))
        labels = self._label(leaves[0]) if len(leaves) == 1 else SourceLabels()
        empty = labels == SourceLabels()
        return Batch(inputs=sample.value, sources={} if empty else {THE_SOURCE: labels})

    def _refuse_hints(self, count: int) -> None:
        """Raise InputError if something was said of the only input, and there are several."""
        said = [name for name in self.hints.given if name in self.takes]
        if said:
            raise InputError(
                f"{spell(said)} speaks of one input, and there are {count}: say it of each result,"
                " by explanation.with_labels({input: {...}})"
            )

    def _label(self, tensor: Tensor) -> SourceLabels:
        labels = SourceLabels()
        if self.hints.axes is not None:
            labels = replace(labels, axes=_with_batch(parse_axes(self.hints.axes), tensor))
        if self.hints.features is not None:
            labels = replace(labels, feature_names=tuple(map(str, self.hints.features)))
        return labels if self.hints.rate is None else replace(labels, rate=float(self.hints.rate))


def _with_batch(axes: tuple[Axis, ...], tensor: Tensor) -> tuple[Axis, ...]:
    lacks = len(axes) == tensor.dim() - 1 and Axis.BATCH not in axes
    return (Axis.BATCH, *axes) if lacks else axes
