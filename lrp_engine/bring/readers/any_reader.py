"""Read data of any kind for a plain module: what they are says how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ...capture.admission import admit_inputs
from ...errors import InputError
from ..batch import Reader
from ..data.files import flat, refuse_url
from ..data.pictures import holds_pictures
from ..data.sound import holds_sound
from ..data.tables import holds_table
from ..data.tensors import holds_arrays, holds_tensors, is_array_file
from ..data.texts import ENDINGS as TEXT_ENDINGS
from ..hints import Hints
from .picture_reader import PictureReader, find_shift
from .sound_reader import SoundReader
from .table_reader import TableReader
from .tensor_reader import TensorReader
from .text_reader import TextReader


class DataKind(NamedTuple):
    """A kind of data: how it is told, and what reads it for a module."""

    test: Callable[[Any], bool]
    reader: Callable[[PlainModel], Reader]


@dataclass(frozen=True)
class PlainModel:
    """Hold what readers have to know of a model that says nothing of its data.

    Args:
        dtype: Of its parameters; None if it has none.
        hints: What the user said.
        text: Makes the reader of texts; None if there is no tokenizer.
    """

    dtype: torch.dtype | None
    hints: Hints = field(default_factory=Hints)
    text: Callable[[], TextReader] | None = None


def _read_texts(model: PlainModel) -> Reader:
    if model.text is None:
        raise InputError(
            "the model reads token ids, not text: give its tokenizer, as tokenizer=..."
        )
    return model.text()


def _is_text(data: Any) -> bool:
    if isinstance(data, Path):
        return data.suffix.lower() in TEXT_ENDINGS
    return all(isinstance(each, str) for each in flat(data))


def _is_text_alone(data: Any) -> bool:
    """Return whether data are texts, and not the path of some file."""
    is_file = isinstance(data, str) and Path(data).exists()
    return _is_text(data) and (not is_file or Path(data).suffix.lower() in TEXT_ENDINGS)


def _is_numbers(data: Any) -> bool:
    return holds_tensors(data) or holds_arrays(data) or is_array_file(data)


KINDS = (
    DataKind(holds_sound, lambda m: SoundReader(m.hints.rate)),
    DataKind(holds_table, lambda m: TableReader(_floats(m), tuple(m.hints.features or ()))),
    DataKind(_is_numbers, lambda m: TensorReader(m.dtype, m.hints)),
    DataKind(holds_pictures, lambda m: _read_pictures(m)),
    DataKind(_is_text_alone, _read_texts),
)


def _floats(model: PlainModel) -> torch.dtype:
    return model.dtype or torch.get_default_dtype()


def choose_reader(model: PlainModel, data: Any) -> Reader:
    """Return what reads data of this kind for a module. Raises InputError if nothing does.

    Strings are texts where there is a tokenizer, else paths.
    """
    if isinstance(data, (list, tuple)) and not data:
        raise InputError("there is nothing to explain: the list is empty")
    if model.text is not None and (_is_text(data) or holds_table(data)):
        return model.text()
    refuse_url(data)
    if model.hints.transform is not None and _is_picture_array(data):
        return _read_pictures(model)
    for kind in KINDS:
        if kind.test(data):
            return kind.reader(model)
    if isinstance(data, (str, Path)):
        return _read_texts(model) if not Path(data).exists() else _refuse_file(data)
    admit_inputs(data)
    return TensorReader(model.dtype, model.hints)


def _refuse_file(path: str | Path) -> Reader:
    raise InputError(f"{path}: no file of a kind that is read here, and no folder of such files")


def _read_pictures(model: PlainModel) -> Reader:
    return PictureReader(model.hints.transform, find_shift(model.hints.transform))


def _is_picture_array(data: Any) -> bool:
    arrays = flat(data)
    return all(isinstance(a, np.ndarray) and a.dtype == np.uint8 and a.ndim < 4 for a in arrays)
