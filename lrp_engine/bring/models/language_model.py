"""Open language models: a text in, a number per token that may come next out."""

from __future__ import annotations

from ..hints import Hints
from ..opened import OpenedModel
from ..token_names import TokenNames
from .hf_parts import HfParts
from .hf_texts import EXAMPLE, always, text_reader


def open_parts(parts: HfParts, hints: Hints) -> OpenedModel:
    """Open a language model; targets are tokens, by their text, behind the last one."""
    reader = text_reader(parts, hints, at_last=True)
    names = TokenNames(reader.encoder)
    return OpenedModel(parts.model, always(reader), names, unit="logit", example=EXAMPLE)
