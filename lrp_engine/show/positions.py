"""Label positions with tokens."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError


def label_positions(count: int, tokens: Sequence[str] | None) -> list[str]:
    """Return one label per position: the tokens, or numbers from 0.

    Raises:
        InputError: the number of tokens is not that of the positions.
    """
    labels = [str(i) for i in range(count)] if tokens is None else list(tokens)
    if len(labels) != count:
        raise InputError(
            f"{len(labels)} tokens were given for {count} positions: give one per position"
        )
    return labels
