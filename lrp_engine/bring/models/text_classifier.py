"""Open classifiers of texts: a text, or a pair of texts, in; a number per class out."""

from __future__ import annotations

from ..hints import Hints
from ..opened import OpenedModel
from .hf_parts import HfParts
from .hf_texts import EXAMPLE, always, text_reader


def open_parts(parts: HfParts, hints: Hints) -> OpenedModel:
    """Open a classifier of texts."""
    reader, names = text_reader(parts, hints), parts.class_names(hints)
    return OpenedModel(
        parts.model, always(reader), names, unit="logit", example=EXAMPLE, takes=("classes",)
    )
