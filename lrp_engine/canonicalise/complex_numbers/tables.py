"""Collect the spellings of all families."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from . import arithmetic, filled, functions, products, transforms
from .arithmetic import Spelling

SPELLINGS: Mapping[object, Spelling] = MappingProxyType(
    arithmetic.SPELLINGS
    | functions.SPELLINGS
    | products.SPELLINGS
    | transforms.SPELLINGS
    | filled.SPELLINGS
)

# What these compute is moved, or computed by torch's own kernel: no entry rounds differently.
EXACT = (
    transforms.SPELLINGS.keys() | filled.SPELLINGS.keys() | functions.EXACT | arithmetic.CONJUGATES
)
