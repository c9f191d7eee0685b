"""Write labels as plain data and tensors, and read them back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from torch import Tensor

from ..boundary.kinds import (
    ANYTHING,
    FLAG,
    NUMBER,
    NUMBERS,
    TABLE,
    TABLES,
    TEXT,
    TEXTS,
    Kind,
    check_table,
    kinds_of,
    many,
)
from ..errors import InputError
from ..show.axes import parse_axes
from ..show.labels import Labels, SourceLabels
from ..show.pieces import Piece
from ..show.questions import Question

PREFIX = "label/"
_ROWS = many(TEXTS, "a list of lists of texts")
_LISTS_OF_TABLES = many(TABLES, "a list of lists of tables")
_NUMBER_OR_NONE = Kind("a number or null", lambda v: v is None or NUMBER.accepts(v))
_SOURCE = {
    "axes": TEXTS,
    "words": _LISTS_OF_TABLES,
    "feature_names": TEXTS,
    "feature_values": _ROWS,
    "rate": _NUMBER_OR_NONE,
    "frequencies": NUMBERS,
    "true_colours": FLAG,
}
_LABELS = {
    "sources": TABLE,
    "class_names": TEXTS,
    "questions": TABLES,
    "samples": TEXTS,
    "truth": TEXTS,
    "title": TEXT,
    "unit": TEXT,
    "notes": TEXTS,
}


def labels_as_data(labels: Labels) -> dict[str, Any]:
    """Return labels as plain data for JSON, without their tensors."""
    bare = {n: replace(s, images=(), data=None) for n, s in labels.sources.items()}
    return asdict(replace(labels, sources={})) | {
        "sources": {name: _source_as_data(source) for name, source in bare.items()}
    }


def tensors_of_labels(labels: Labels) -> dict[str, Tensor]:
    """Return the tensors of labels under the names that they have in a file."""
    found: dict[str, Tensor] = {}
    for name, source in labels.sources.items():
        found |= {f"{PREFIX}{name}/image/{i}": image for i, image in enumerate(source.images)}
        if source.data is not None:
            found[f"{PREFIX}{name}/data"] = source.data
    return found


def labels_from_data(data: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Labels:
    """Return the labels that the two functions above took apart.

    Raises:
        InputError: The data are not of the kinds that they have to be.
    """
    check_table(data, _LABELS, "labels", InputError)
    sources = {name: _source_of(name, row, tensors) for name, row in data["sources"].items()}
    plain = {key: _as_tuple(value) for key, value in data.items()}
    questions = tuple(map(_question_of, data["questions"]))
    return Labels(**plain | {"sources": sources, "questions": questions})


def _source_as_data(source: SourceLabels) -> dict[str, Any]:
    data = asdict(source) | {"axes": [str(axis) for axis in source.axes]}
    return {key: value for key, value in data.items() if key in _SOURCE}


def _source_of(name: str, data: Any, tensors: Mapping[str, Tensor]) -> SourceLabels:
    check_table(data, _SOURCE, f"labels of {name}", InputError)
    start = f"{PREFIX}{name}/image/"
    numbers = sorted(int(key.removeprefix(start)) for key in tensors if key.startswith(start))
    return SourceLabels(
        **data
        | {
            "axes": parse_axes(data["axes"]),
            "words": tuple(tuple(map(_piece_of, sample)) for sample in data["words"]),
            "feature_names": tuple(data["feature_names"]),
            "feature_values": tuple(map(tuple, data["feature_values"])),
            "frequencies": tuple(map(float, data.get("frequencies", ()))),
        },
        images=tuple(tensors[f"{start}{number}"] for number in numbers),
        data=tensors.get(f"{PREFIX}{name}/data"),
    )


def _piece_of(row: Any) -> Piece:
    check_table(row, kinds_of(Piece), "a piece", InputError)
    return Piece(**row)


def _question_of(row: Any) -> Question:
    kinds = kinds_of(Question) | {"classes": ANYTHING, "probability": _NUMBER_OR_NONE}
    check_table(row, kinds, "a question", InputError)
    classes = tuple((int(index), float(weight)) for index, weight in row["classes"])
    return Question(**row | {"classes": classes})


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
