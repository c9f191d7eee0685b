"""Open torch modules, exported programs and functions of tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from ...capture.admission import admit_model
from ..class_names import class_names
from ..data.tokens import TextEncoder
from ..hints import Hints
from ..opened import OpenedModel
from ..readers.any_reader import PlainModel, choose_reader
from ..readers.text_reader import TextReader, text_arguments


def open_model(model: Any, hints: Hints) -> OpenedModel:
    """Open a module, a program or a function. Raises CaptureError for what is no model."""
    admit_model(model)
    plain = PlainModel(dtype_of(model), hints, _text_reader(model, hints))
    return OpenedModel(
        model, partial(choose_reader, plain), class_names(hints.classes), takes=("classes",)
    )


def dtype_of(model: Any) -> torch.dtype | None:
    """Return the floating-point dtype of a model's parameters; None if it has none."""
    held = getattr(model, "state_dict", None)
    tensors = held() if callable(held) else held
    found = (t.dtype for t in (tensors or {}).values() if isinstance(t, torch.Tensor))
    return next((dtype for dtype in found if dtype.is_floating_point), None)


def _text_reader(model: Any, hints: Hints) -> Callable[[], TextReader] | None:
    """Return what makes the reader of texts; None without a tokenizer."""
    if hints.tokenizer is None:
        return None
    encoder = TextEncoder(hints.tokenizer, hints.truncate)

    def make() -> TextReader:
        if isinstance(model, nn.Module):
            return TextReader(encoder, text_arguments(model, encoder))
        return TextReader(encoder)

    return make
