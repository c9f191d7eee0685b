"""Open ONNX files, and models of ONNX that are in memory."""

from __future__ import annotations

from functools import partial
from typing import Any

from ... import onnx
from ..class_names import class_names
from ..hints import Hints
from ..opened import OpenedModel
from ..readers.any_reader import PlainModel, choose_reader
from .torch_module import dtype_of


def open_model(model: Any, hints: Hints) -> OpenedModel:
    """Open a file, its bytes, or a `ModelProto`. Raises OnnxFileError for a damaged one."""
    module = onnx.load(model)
    plain = PlainModel(dtype_of(module), hints)
    return OpenedModel(module, partial(choose_reader, plain), class_names(hints.classes))
