"""Turn explanations into arrays and tables of other libraries, with names for their axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..errors import InputError
from ..show.axes import Axis
from ..show.kinds import SHOWN, Kind, axes_of, kind_of, sum_to
from ..show.labels import Labels
from .batch import require_samples
from .by_source import find_source
from .told import Told

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Array = np.ndarray[Any, np.dtype[Any]]


class Tabular:
    """An explanation that can be read as arrays and tables."""

    def to_numpy(self: Told) -> dict[str, Array]:
        """Return relevance by source, each of the source's shape."""
        return {name: _array(relevance) for name, relevance in self.relevance.items()}

    def to_xarray(self: Told) -> xr.Dataset:
        """Return relevance with named axes, one variable per source.

        The axes are named as the labels say, else `axis_1`, `axis_2`; those of several sources have
        the source's name before them. Explained numbers and names of samples lie along `batch`.

        Raises:
            InputError: xarray is missing.

        Example:
            >>> import torch, lrp_engine as lrp
            >>> explanation = lrp.explain(torch.nn.Linear(3, 2).eval(), torch.ones(4, 3), 1)
            >>> dict(explanation.to_xarray().sizes)  # doctest: +SKIP
            {'batch': 4, 'feature': 3}
        """
        try:
            import xarray
        except ImportError as error:
            raise _missing("to_xarray()", "xarray") from error
        dataset: xr.Dataset = _dataset(self, xarray)
        return dataset

    def to_pandas(self: Told, source: str | None = None) -> pd.DataFrame:
        """Return a table with a row per sample and entry, for one source.

        Relevance is summed over what a picture would not show: the channels of an image, the
        features of a token. Columns are `sample`, the axes, `text` of tokens, and `relevance`.

        Args:
            source: Its name. Default: the only one.

        Raises:
            InputError: pandas is missing, or there is no such source.

        Example:
            >>> import torch, lrp_engine as lrp
            >>> explanation = lrp.explain(torch.nn.Linear(3, 2).eval(), torch.ones(4, 3), 1)
            >>> explanation.to_pandas().groupby("sample").relevance.sum()  # doctest: +SKIP
        """
        try:
            import pandas
        except ImportError as error:
            raise _missing("to_pandas()", "pandas") from error
        return pandas.DataFrame(_columns(self, find_source(self.relevance, source)))


def _missing(call: str, library: str) -> InputError:
    return InputError(f"{call} needs {library}: pip install {library}")


def _array(tensor: Tensor) -> Array:
    """Return an array; bfloat16, which numpy does not have, becomes float32."""
    plain = tensor.detach().cpu()
    found: Array = (plain.float() if plain.element_size() < 4 else plain).numpy()
    return found


def _dataset(explanation: Told, xarray: Any) -> Any:
    several = len(explanation.relevance) > 1
    variables = {}
    for name, relevance in explanation.relevance.items():
        first, *rest = _axis_names(explanation.labels, name, relevance)
        dims = [first, *(f"{name}.{axis}" if several else axis for axis in rest)]
        variables[name] = (dims, _array(relevance))
    labels, along = explanation.labels, str(Axis.BATCH)
    coordinates: dict[str, Any] = {"explained": (along, _array(explanation.explained.reshape(-1)))}
    for what, given in (("sample", labels.samples), ("truth", labels.truth)):
        if given:
            coordinates[what] = (along, list(given))
    (name, *others) = explanation.relevance
    features = labels.of(name).feature_names
    if features and not others and str(Axis.FEATURE) in variables[name][0]:
        coordinates[str(Axis.FEATURE)] = list(features)
    require_samples(explanation)
    about = {"preset": explanation.provenance.preset, "unit": labels.unit or "of the explained"}
    return xarray.Dataset(variables, coordinates, about)


def _axis_names(labels: Labels, name: str, relevance: Tensor) -> list[str]:
    axes = axes_of(labels.of(name), relevance)
    if axes:
        return [str(axis) for axis in axes]
    return [str(Axis.BATCH), *(f"axis_{i}" for i in range(1, relevance.dim()))]


def _columns(explanation: Told, name: str) -> dict[str, Any]:
    require_samples(explanation)
    labels, relevance = explanation.labels, explanation.relevance[name].detach().cpu()
    known = labels.of(name)
    axes = axes_of(known, relevance)
    kind = kind_of(axes)
    if axes and kind is not Kind.NUMBERS:
        kept = (Axis.BATCH, *_kept(kind, axes))
        relevance, names = sum_to(relevance, axes, kept), [str(axis) for axis in kept]
    else:
        names = _axis_names(labels, name, relevance)
    places = np.indices(tuple(relevance.shape)).reshape(relevance.dim(), -1)
    columns: dict[str, Any] = {"sample": _sample_names(labels.samples, places[0])}
    columns |= dict(zip(names[1:], places[1:], strict=True))
    if kind is Kind.WORDS and known.words:
        pieces = [[piece.text for piece in sample] for sample in known.words]
        columns["text"] = [pieces[s][t] for s, t in zip(*places, strict=True)]
    if kind is Kind.TABLE and known.feature_names:
        columns[str(Axis.FEATURE)] = [known.feature_names[i] for i in places[1]]
    return columns | {"relevance": _array(relevance).reshape(-1)}


def _kept(kind: Kind, axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Return the axes of a table's rows: those of the picture, and the channels of a series."""
    channels = kind is Kind.SERIES and Axis.CHANNEL in axes
    return (Axis.CHANNEL, *SHOWN[kind]) if channels else SHOWN[kind]


def _sample_names(names: Sequence[str], places: Array) -> list[Any]:
    return [names[i] if names else int(i) for i in places]
