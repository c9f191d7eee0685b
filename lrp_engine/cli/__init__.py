"""The `lrp` command: one file per subcommand."""

from .app import main

__all__ = ["main"]
