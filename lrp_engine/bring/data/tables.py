"""Read tables: of pandas, dicts, arrays and .csv files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...boundary.tables import read_csv
from ...errors import InputError, suggest
from ..batch import Sample
from ..home import is_from
from .files import is_path, refuse_url

ENDINGS = (".csv",)


@dataclass(frozen=True)
class Row:
    """One row: its values, and their names if they have any."""

    values: tuple[Any, ...]
    names: tuple[str, ...] = ()


def holds_table(data: Any) -> bool:
    """Return whether data are a table with names: of pandas, a dict per row, or a .csv file."""
    if isinstance(data, list):
        return bool(data) and all(_is_row(each) or _is_series(each) for each in data)
    if _is_row(data):
        return True
    return is_from(data, "pandas") or (is_path(data, ENDINGS) and not Path(data).is_dir())


def table_samples(data: Any) -> list[Sample]:
    """Return one sample per row. Raises InputError for what is no table."""
    refuse_url(data)
    if is_path(data, ENDINGS):
        return _read_csv(Path(data))
    if _is_frame(data):
        names = tuple(map(str, data.columns))
        rows = data.itertuples(index=True, name=None)
        return [Sample(Row(tuple(values), names), f"row {index}") for index, *values in rows]
    if _is_series(data):
        return [Sample(Row(tuple(data.tolist()), tuple(map(str, data.index))), str(data.name))]
    if isinstance(data, Mapping):
        return [Sample(Row(tuple(data.values()), tuple(map(str, data))))]
    if isinstance(data, list) and data and (isinstance(data[0], Mapping) or _is_series(data[0])):
        return [sample for each in data for sample in table_samples(each)]
    return _rows_of_array(data)


def numbers_of(samples: Sequence[Sample], features: Sequence[str]) -> NDArray[np.float64]:
    """Return rows as numbers, (rows, features), in the order of `features`.

    Raises:
        InputError: a feature is missing, or is no number.
    """
    return np.stack([_numbers(sample.value, features) for sample in samples])


def _numbers(row: Row, features: Sequence[str]) -> NDArray[np.float64]:
    values, names = row.values, row.names
    if names and features:
        lacking = [name for name in features if name not in names]
        if lacking:
            raise InputError(f"a row has no {lacking[0]!r}{suggest(lacking[0], names)}")
        by_name = dict(zip(names, values, strict=True))
        values, names = tuple(by_name[name] for name in features), tuple(features)
    if features and len(values) != len(features):
        raise InputError(f"a row has {len(values)} values, the model takes {len(features)}")
    found = [_number(v, names[i] if names else str(i)) for i, v in enumerate(values)]
    return np.asarray(found, dtype=np.float64)


def _number(value: Any, name: str) -> float:
    if isinstance(value, str) or value is None:
        raise InputError(
            f"column {name!r} holds {value!r}, which is no number: encode it before the model"
        )
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        kind = type(value).__name__
        raise InputError(f"column {name!r} holds a {kind}, which is no number") from error


def _rows_of_array(data: Any) -> list[Sample]:
    array = data.detach().cpu().numpy() if isinstance(data, Tensor) else np.asarray(data)
    if array.ndim not in (1, 2):
        raise InputError(
            f"a table is an array (rows, features) or one row of it, not one of shape {array.shape}"
        )
    return [Sample(Row(tuple(row.tolist()))) for row in np.atleast_2d(array)]


def _read_csv(path: Path) -> list[Sample]:
    rows = read_csv(path)
    if not rows:
        raise InputError(f"{path} has no rows: the first line holds the names of the columns")
    return [
        Sample(Row(tuple(map(_parse, row.values())), tuple(row)), f"row {number}")
        for number, row in enumerate(rows, 1)
    ]


def _parse(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _is_row(data: Any) -> bool:
    """Return whether something is a dict of one row's values."""
    if not isinstance(data, Mapping) or not data:
        return False
    return all(isinstance(value, (str, int, float, type(None))) for value in data.values())


def _is_frame(data: Any) -> bool:
    return is_from(data, "pandas") and hasattr(data, "columns")


def _is_series(data: Any) -> bool:
    return is_from(data, "pandas") and hasattr(data, "index") and not hasattr(data, "columns")
