"""Turn the text of a token into its number: the classes of a language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import TargetError
from .data.tokens import TextEncoder


@dataclass(frozen=True)
class TokenNames:
    """The tokens of a language model, by their text."""

    encoder: TextEncoder

    def number(self, name: str) -> int:
        """Return the id of the one token that a text is.

        Raises:
            TargetError: it is several tokens, none, or another one behind a space.

        Example: " nurse" and "nurse" are two tokens of GPT-2; which one is meant has to be said.
        """
        ids = self.encoder.ids_of(name)
        spaced = () if name.startswith(" ") else self.encoder.ids_of(f" {name}")
        if len(ids) == 1 and len(spaced) == 1 and ids != spaced:
            raise TargetError(
                f"{name!r} is token {ids[0]} at the beginning of a text or inside a word, and"
                f" {f' {name}'!r} is token {spaced[0]} behind a space: give {f' {name}'!r}, or the"
                " number"
            )
        if len(ids) != 1:
            advice = f"; {f' {name}'!r} is one" if len(spaced) == 1 else ""
            pieces = ", ".join(repr(self._text(i)) for i in ids)
            raise TargetError(f"{name!r} is {len(ids)} tokens, not one: {pieces}{advice}")
        if ids[0] == self._unknown:
            raise TargetError(f"{name!r} is no token that the model knows")
        return ids[0]

    @property
    def _unknown(self) -> Any:
        return getattr(self.encoder.tokenizer, "unk_token_id", None)

    def _text(self, token: int) -> str:
        tokenizer = self.encoder.tokenizer
        if hasattr(tokenizer, "convert_ids_to_tokens"):
            return str(tokenizer.convert_ids_to_tokens([token])[0])
        return str(tokenizer.id_to_token(token) if hasattr(tokenizer, "id_to_token") else token)
