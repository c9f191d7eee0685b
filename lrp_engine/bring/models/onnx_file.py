"""Open ONNX files, and models of ONNX that are in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ... import onnx
from ..class_names import class_names
from ..data.tokens import TextEncoder
from ..hints import Hints
from ..opened import OpenedModel
from ..readers.any_reader import PlainModel, choose_reader
from ..readers.text_reader import TextReader, choose_arguments
from .torch_module import dtype_of


def _text_reader(module: onnx.OnnxModule, hints: Hints) -> Callable[[], TextReader] | None:
    """Return what makes the reader of texts; None without a tokenizer."""
    if hints.tokenizer is None:
        return None
    encoder = TextEncoder(hints.tokenizer, hints.truncate)
    names = [port.name for port in module.ports]
    return lambda: TextReader(encoder, choose_arguments(names, names, encoder))


def open_model(model: Any, hints: Hints) -> OpenedModel:
    """Open a file, its bytes, or a `ModelProto`. Raises OnnxFileError for a damaged one."""
    module = onnx.load(model)
    plain = PlainModel(dtype_of(module), hints, _text_reader(module, hints))
    return OpenedModel(
        module, partial(choose_reader, plain), class_names(hints.classes), takes=("classes",)
    )
