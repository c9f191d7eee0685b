"""Define the errors that users meet. Every one says what happened and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str], *, listed: bool = True) -> str:
    """Return how to end a message about an unknown name: with the nearest name, or all names.

    Args:
        word: The unknown name.
        known: The names to choose from.
        listed: Whether all names are listed if none is near; otherwise the ending is empty.

    Example:
        >>> suggest("gama", ["epsilon", "gamma"])
        "; did you mean 'gamma'?"
        >>> suggest("x", ["epsilon", "gamma"])
        '; choose from: epsilon, gamma'
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; choose from: {', '.join(names)}" if listed else ""


class LrpError(Exception):
    """Base class of every error that this package raises on purpose.

    It passes from process to process with its message, whatever else it holds.
    """

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), str(self))


def _rebuild(kind: type[LrpError], message: str) -> LrpError:
    """Return an error with its message alone: parts of a graph stay in their process."""
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    return error


class CaptureError(LrpError):
    """The model could not be turned into a graph of primitive ops."""


class OnnxFileError(LrpError):
    """An ONNX file is damaged, contradicts itself, or asks for what a file may not ask for."""


class InputError(LrpError):
    """The inputs do not fit the model that was captured."""


class TargetError(LrpError):
    """The target does not name something in the model's output."""


class SourceError(LrpError):
    """Relevance was asked for at a place that cannot receive any."""


class CoverageError(LrpError):
    """Live ops without a rule. Raised before any tensor is computed."""


class PresetError(LrpError):
    """A preset names something that does not exist or matches nothing."""


class RuleError(LrpError):
    """A rule failed, or returned something that does not fit its op."""


class PromiseError(LrpError):
    """A value that the relevance program needs can neither be kept nor recomputed."""


class UserCodeError(LrpError):
    """Code of the user's, such as a metric, a tokenizer or a model factory, raised an exception.

    The exception itself is the `__cause__`.
    """


class ConservationError(LrpError):
    """`check()` found relevance that the ledger cannot account for."""


class ExplosionError(LrpError):
    """`check()` found relevance that balances and is far larger than the explained number."""


class NotFiniteError(LrpError):
    """Relevance is infinite or undefined. `node` is the first op, from the output, where it is."""

    node: str | None = None

    def __init__(self, message: str, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node


class BudgetError(LrpError):
    """A file of checks names something that does not exist, or a golden result cannot be read."""


class CompilerError(LrpError):
    """A compiled program disagrees with the uncompiled one."""


class PackageError(LrpError):
    """A package could not be written, or a file is not one that can be loaded here."""


class InternalError(LrpError):
    """The command line met an exception that nobody foresaw: a fault of this package."""


class NotPackagedError(PackageError, AttributeError):
    """Something that an Engine can do and a package of its compiled programs cannot."""
