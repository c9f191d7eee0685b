"""Open models of transformers that come without their pipeline."""

from __future__ import annotations

from typing import Any

from ...errors import CaptureError
from ..hints import Hints
from ..opened import OpenedModel
from . import torch_module
from .hf_parts import HfParts, open_task, task_of

_NEED_TOKENS = (
    "text_classifier",
    "token_classifier",
    "language_model",
    "translator",
    "sentence_similarity",
)


def open_model(model: Any, hints: Hints) -> OpenedModel:
    """Open a model with the tokenizer or transform that was given; else it takes tensors."""
    parts = HfParts(model, hints.tokenizer)
    plain = torch_module.open_model(model, hints)
    try:
        task = task_of(type(model).__name__, parts.input_name)
    except CaptureError:
        return plain
    if task in _NEED_TOKENS and hints.tokenizer is not None:
        return open_task(task, parts, hints)
    if task in ("image_classifier", "sound_classifier"):
        return open_task(task, parts, hints)
    return OpenedModel(
        plain.module, plain.choose_reader, parts.class_names(hints), takes=plain.takes
    )
