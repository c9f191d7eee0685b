"""How much a file may make the importer do; what goes beyond is refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """`constants`: bytes of folded constants; `iterations`: of one loop; `depth`: of functions."""

    constants: int = 256 * 2**20
    iterations: int = 1024
    depth: int = 32
