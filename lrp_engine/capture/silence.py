"""Keep torch.export's own progress reports off the user's terminal."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

_NOISY = (
    "torch.export",
    "torch.export._draft_export",
    "torch.fx.experimental.symbolic_shapes",
    "torch._subclasses.fake_tensor",
)


@contextmanager
def silence_export() -> Iterator[None]:
    """Silence torch's loggers, warnings and standard error while it exports."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR + 1)
        # A failed attempt prints the graph that it had so far.
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
