"""The `lrp` command: one file per subcommand.

Modules in `commands/` hold the signatures. They import nothing that loads torch; what computes is
imported inside the function that runs, so that `lrp --help` answers at once.
"""

from .app import main

__all__ = ["main"]
