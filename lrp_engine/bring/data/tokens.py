"""Turn texts into token ids with the pieces that they stand for, and fill shorter ones up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...boundary.user_code import calling
from ...errors import InputError
from ...show.axes import Axis
from ...show.labels import SourceLabels
from ...show.pieces import Piece, pieces_of

TEXT_AXES = (Axis.BATCH, Axis.TOKEN, Axis.FEATURE)
_INSIDE = "·"  # a token that is a later part of a character's bytes
_NO_LIMIT = 1 << 30  # tokenizers without a limit name a larger one


@dataclass(frozen=True)
class Encoded:
    """The tokens of one text: their ids, segments, and pieces; `cut` says what was left out."""

    ids: tuple[int, ...]
    segments: tuple[int, ...]
    pieces: tuple[Piece, ...]
    cut: str = ""


@dataclass(frozen=True)
class TextEncoder:
    """A tokenizer of transformers or tokenizers, or a function from a text to ids.

    Args:
        tokenizer: The tokenizer.
        truncate: Whether texts that are longer than the model takes are cut; else they are refused.
    """

    tokenizer: Any
    truncate: bool = False

    def encode(self, text: str | tuple[str, str], special: bool = True) -> Encoded:
        """Return the tokens of a text, or of a pair of texts.

        Raises:
            InputError: it has more tokens than the model takes.
            UserCodeError: the tokenizer fails.
        """
        parts = text if isinstance(text, tuple) else (text,)
        with calling("the tokenizer"):
            found = self._encode(parts, special)
        if not found.ids:
            raise InputError(f"the tokenizer makes no token of {text!r}")
        return self._within_limit(found, text)

    def ids_of(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text without special tokens."""
        return self.encode(text, special=False).ids

    @property
    def filler(self) -> int:
        """The id that fills shorter texts up; they are masked there."""
        for name in ("pad_token_id", "eos_token_id"):
            found = getattr(self.tokenizer, name, None)
            if found is not None:
                return int(found)
        return 0

    @property
    def argument_names(self) -> tuple[str, ...]:
        """The names under which the model takes ids, mask and segments."""
        names = getattr(self.tokenizer, "model_input_names", ("input_ids", "attention_mask"))
        return tuple(names)

    def _encode(self, parts: Sequence[str], special: bool) -> Encoded:
        if hasattr(self.tokenizer, "convert_ids_to_tokens"):
            return _of_transformers(self.tokenizer, parts, special)
        if hasattr(self.tokenizer, "encode") and hasattr(self.tokenizer, "id_to_token"):
            return _of_encoding(self.tokenizer.encode(*parts, add_special_tokens=special), parts)
        return _of_function(self.tokenizer, parts)

    def _within_limit(self, found: Encoded, text: object) -> Encoded:
        limit = getattr(self.tokenizer, "model_max_length", None)
        if limit is None or limit > _NO_LIMIT or len(found.ids) <= limit:
            return found
        told = f"{len(found.ids)} tokens, the model takes {limit}"
        if not self.truncate:
            short = str(text)[:40]
            raise InputError(f"the text {short!r}... has {told}: shorten it, or say truncate=True")
        ends = [p for p in found.pieces if p.special]
        keep_end = bool(ends) and found.pieces[-1].special
        cut = slice(0, limit - 1 if keep_end else limit)
        last = slice(-1, None) if keep_end else slice(0, 0)
        return Encoded(
            ids=found.ids[cut] + found.ids[last],
            segments=found.segments[cut] + found.segments[last],
            pieces=found.pieces[cut] + found.pieces[last],
            cut=f"cut: it has {told}",
        )


def fill_up(encoded: Sequence[Encoded], filler: int) -> dict[str, Tensor]:
    """Return ids, mask and segments, each (texts, tokens); shorter texts are filled at the end."""
    length = max(len(e.ids) for e in encoded)

    def rows(values: Callable[[Encoded], Sequence[int]], fill: int) -> Tensor:
        return torch.tensor([[*values(e), *[fill] * (length - len(e.ids))] for e in encoded])

    return {
        "input_ids": rows(lambda e: e.ids, filler),
        "attention_mask": rows(lambda e: [1] * len(e.ids), 0),
        "token_type_ids": rows(lambda e: e.segments, 0),
    }


def label_texts(encoded: Sequence[Encoded]) -> SourceLabels:
    """Return the labels of texts that were filled up."""
    length = max(len(e.ids) for e in encoded)
    blank = Piece("[PAD]", special=True, padding=True)
    words = tuple((*e.pieces, *[blank] * (length - len(e.pieces))) for e in encoded)
    return SourceLabels(axes=TEXT_AXES, words=words)


def last_tokens(encoded: Sequence[Encoded]) -> list[int]:
    """Return the position of the last token of each text."""
    return [len(e.ids) - 1 for e in encoded]


def notes_of(encoded: Sequence[Encoded]) -> tuple[str, ...]:
    """Return a sentence per text that was cut."""
    return tuple(f"text {i} was {e.cut}" for i, e in enumerate(encoded) if e.cut)


def _of_transformers(tokenizer: Any, parts: Sequence[str], special: bool) -> Encoded:
    given = tokenizer(*parts, add_special_tokens=special, truncation=False, verbose=False)
    encodings = getattr(given, "encodings", None)
    if encodings:
        return _of_encoding(encodings[0], parts)
    ids = tuple(given["input_ids"])
    segments = tuple(given.get("token_type_ids", [0] * len(ids)))
    marks = tokenizer.get_special_tokens_mask(ids, already_has_special_tokens=True)
    pieces = pieces_of(tokenizer.convert_ids_to_tokens(list(ids)))
    marked = [replace(p, special=bool(mark)) for p, mark in zip(pieces, marks, strict=True)]
    return Encoded(ids, segments, tuple(marked))


def _of_encoding(encoding: Any, parts: Sequence[str]) -> Encoded:
    """Read an encoding of the library tokenizers, which knows where each token stands."""
    rows = zip(
        encoding.tokens,
        encoding.offsets,
        encoding.word_ids,
        encoding.sequence_ids,
        encoding.special_tokens_mask,
        strict=True,
    )
    pieces: list[Piece] = []
    shown = dict.fromkeys(range(len(parts)), 0)  # up to where each text has been given to pieces
    for token, (start, end), word, part, special in rows:
        if special or part is None:
            pieces.append(Piece(token, special=True))
            continue
        text = parts[part]
        # Byte-level tokens bring the space before them along.
        inside = text[max(start, shown[part]) : end].lstrip()
        begin = end - len(inside)
        spaced = begin > 0 and text[begin - 1].isspace()
        number = None if word is None else 2 * word + part
        repeated = _INSIDE if start < shown[part] else token
        shown[part] = max(end, shown[part])
        pieces.append(Piece(inside or repeated, word=number, space=spaced))
    return Encoded(tuple(encoding.ids), tuple(encoding.type_ids), tuple(pieces))


def _of_function(tokenizer: Any, parts: Sequence[str]) -> Encoded:
    """Take what a function of the user's gives as ids: a list or a tensor of whole numbers."""
    ids = [int(i) for i in torch.as_tensor(tokenizer(*parts)).flatten()]
    words = parts[0].split()
    texts = words if len(parts) == 1 and len(words) == len(ids) else [str(i) for i in ids]
    return Encoded(tuple(ids), (0,) * len(ids), tuple(Piece(text) for text in texts))
