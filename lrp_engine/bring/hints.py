"""Hold what a user says of how data become a model's inputs, and refuse what nobody reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..errors import InputError


class UnreadHintError(InputError):
    """Hints were given that nothing reads: they would have been ignored.

    Attributes:
        unread: Names of the hints.
    """

    unread: tuple[str, ...] = ()

    def __init__(self, message: str, unread: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.unread = unread


@dataclass(frozen=True)
class Hints:
    """Hold what was said beside the model; None: nothing. The arguments are those of `Subject`."""

    tokenizer: Any = None
    transform: Callable[[Any], Any] | None = None
    classes: Sequence[str] | Mapping[int, str] | None = None
    features: Sequence[str] | None = None
    axes: str | Sequence[str] | None = None
    rate: float | None = None
    candidates: Sequence[str] | None = None
    pooling: str | None = None
    truncate: bool = False

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the hints that were given."""
        said = ((f.name, getattr(self, f.name)) for f in fields(self))
        return tuple(name for name, value in said if value is not None and value is not False)

    def refuse_unread(self, read: Iterable[str], data: str) -> None:
        """Refuse hints that nothing reads.

        Args:
            read: The hints that the model and the reader of its data read.
            data: What is read, in words.

        Raises:
            UnreadHintError: Others were given.
        """
        known = sorted(set(read))
        unread = tuple(name for name in self.given if name not in known)
        if unread:
            does = f"it takes {spell(known)}" if known else "it takes none of these options"
            raise UnreadHintError(
                f"{spell(unread)} would be ignored: where this model gets {data}, {does}", unread
            )


def spell(hints: Iterable[str]) -> str:
    """Return names of hints as they are written in a call.

    Example:
        >>> from lrp_engine.bring.hints import spell
        >>> spell(["axes", "rate"])
        'axes=, rate='
    """
    return ", ".join(f"{name}=" for name in hints)
