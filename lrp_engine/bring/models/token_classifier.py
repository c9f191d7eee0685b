"""Open classifiers of tokens, as for named entities: a number per class and token."""

from __future__ import annotations

from ..hints import Hints
from ..opened import OpenedModel
from .hf_parts import HfParts
from .hf_texts import EXAMPLE, always, text_reader


def open_parts(parts: HfParts, hints: Hints) -> OpenedModel:
    """Open a classifier of tokens; which word is meant is asked for."""
    return OpenedModel(
        parts.model,
        always(text_reader(parts, hints)),
        parts.class_names(hints),
        unit="logit",
        example=EXAMPLE,
        takes=("classes",),
        needs_position="every word has its own classes: say which one, as position='Paris', or the"
        " position of a token",
    )
