"""Define what all models of transformers that read texts share."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..batch import Reader
from ..data.tokens import TextEncoder
from ..hints import Hints
from ..readers.text_reader import TextReader, text_arguments
from .hf_parts import HfParts

EXAMPLE = "an example"  # of a text: it shows an engine that there are several tokens


def text_reader(parts: HfParts, hints: Hints, *, at_last: bool = False) -> TextReader:
    """Return the reader of a model's texts. Raises InputError without a tokenizer."""
    encoder: TextEncoder = parts.encoder(hints)
    return TextReader(encoder, text_arguments(parts.model, encoder), at_last)


def always(reader: Reader) -> Any:
    """Return a choice of reader that is the same for all data."""
    return partial(_same, reader)


def _same(reader: Reader, data: object) -> Reader:
    return reader
