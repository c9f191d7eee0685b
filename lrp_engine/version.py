"""Say which version of this package runs."""

from __future__ import annotations

import importlib.metadata


def engine_version() -> str:
    """Return this package's version; "not installed" where it runs from a bare checkout."""
    try:
        return importlib.metadata.version("lrp-engine")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
