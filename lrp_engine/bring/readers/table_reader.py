"""Read tables for models that take (rows, features)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ...errors import InputError
from ...show.axes import Axis
from ...show.labels import SourceLabels
from ..batch import THE_SOURCE, Batch, Sample, names_of, truth_of
from ..data.tables import Row, numbers_of, table_samples

TABLE_AXES = (Axis.BATCH, Axis.FEATURE)


@dataclass(frozen=True)
class TableReader:
    """Reads rows as floats.

    Args:
        dtype: Of the tensor.
        features: The features in the model's order; empty: as they stand in the first row.
    """

    takes: ClassVar[tuple[str, ...]] = ("features",)
    what: ClassVar[str] = "tables"

    dtype: torch.dtype = torch.float32
    features: tuple[str, ...] = ()

    def samples(self, data: Any) -> Sequence[Sample]:
        """Return one sample per row. Raises InputError for what is no table, or an empty one."""
        found = table_samples(data)
        if not found:
            raise InputError("the table has no rows: there is nothing to explain")
        return found

    def read(self, samples: Sequence[Sample]) -> Batch:
        """Return rows (samples, features), with names and values.

        Raises InputError for a missing column, or one that holds no numbers.
        """
        first: Row = samples[0].value
        features = self.features or first.names
        numbers = numbers_of(samples, features)
        values = tuple(tuple(f"{v:.4g}" for v in row) for row in numbers.tolist())
        labels = SourceLabels(axes=TABLE_AXES, feature_names=features, feature_values=values)
        return Batch(
            inputs=(torch.from_numpy(numbers).to(self.dtype),),
            sources={THE_SOURCE: labels},
            samples=names_of(samples),
            truth=truth_of(samples),
        )
