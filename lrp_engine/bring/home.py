"""Tell objects of other libraries by where their class lives: no library is imported for that."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import InputError


def is_from(thing: object, *places: str) -> bool:
    """Return whether an object's class, or one above it, lies in a package, or is named so.

    Example:
        >>> from collections import OrderedDict
        >>> from lrp_engine.bring.home import is_from
        >>> is_from(OrderedDict(), "collections"), is_from({}, "pandas.DataFrame")
        (True, False)
    """
    for kind in type(thing).__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if any(name == place or name.startswith(f"{place}.") for place in places):
            return True
    return False


def load_library(module: str, package: str, needed_for: str) -> ModuleType:
    """Import a library that only some users have. Raises InputError if it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{needed_for} needs {package}, which is not installed: pip install {package}"
        ) from error
