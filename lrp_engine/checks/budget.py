"""Budgets: the limit of every check, read from TOML."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..errors import BudgetError, suggest
from ..propagate.explosions import AMPLIFICATION, GROWTH

_RATIOS = ("residual", "amplification", "growth", "concentration")
_TOP = {*_RATIOS, "unreached", "absorbed", "drift"}
CONCENTRATION = 0.9  # docs/design/checks.md has what sound models show
_DRIFT = {"correlation", "relative_error", "rules"}

# A golden result is often made on another machine, whose kernels round in another order.
_RELATIVE_ERROR = {
    torch.float64: 1e-8,
    torch.float32: 1e-3,
    torch.float16: 5e-2,
    torch.bfloat16: 2e-1,
}


@dataclass(frozen=True)
class Budget:
    """The limits of all checks. None means the default for the dtype, or no limit.

    Attributes:
        residual: largest |residual| of an op relative to its sum of |R|; default by dtype.
        amplification: largest sum of |R| passed on over sum of |R| received, per op; default 1e4.
        growth: largest sum of |R| at an op over that which set out from the output; default 1e5.
        concentration: largest share of |R| at the largest entry of each row; default 0.9.
        absorbed: largest share of the relevance that set out from the output, by cause (bias,
            constant, stabiliser, taylor, stopped, ... and `total`).
        unreached: how many inputs may influence the explained output and be no source.
        correlation: smallest correlation of a sample's relevance with the golden result.
        relative_error: largest sum of |R - golden| over sum of |golden|; default by dtype.
        rules: how many ops may have another rule than in the golden result.
    """

    residual: float | None = None
    amplification: float = AMPLIFICATION
    growth: float = GROWTH
    concentration: float = CONCENTRATION
    unreached: int = 0
    absorbed: Mapping[str, float] = field(default_factory=dict)
    correlation: float = 0.999
    relative_error: float | None = None
    rules: int = 0

    @classmethod
    def of(cls, table: Mapping[str, object], where: str, base: Budget | None = None) -> Budget:
        """Read a `[budget]` table; limits that it does not name are those of `base`.

        Raises:
            BudgetError: a name is unknown, or a limit is not a number of at least 0.
        """
        refuse_unknown(table, _TOP, where)
        drift, absorbed = _table(table, "drift", where), _table(table, "absorbed", where)
        refuse_unknown(drift, _DRIFT, f"{where}.drift")
        flat = {k: v for k, v in table.items() if k in _RATIOS}
        flat |= {k: v for k, v in table.items() if k == "unreached"} | dict(drift)
        limits: dict[str, float] = {k: _number(v, f"{where}: {k}") for k, v in flat.items()}
        found = {k: _number(v, f"{where}.absorbed: {k}") for k, v in absorbed.items()}
        base = base or cls()
        counts = {
            name: _whole(limits.pop(name, getattr(base, name)), f"{where}: {name}")
            for name in ("rules", "unreached")
        }
        changed: dict[str, Any] = {**limits, **counts}
        return replace(base, **changed, absorbed={**base.absorbed, **found})


def relative_error_for(dtype: str) -> float:
    """Return the default limit of drift for a dtype by name, such as `float32`."""
    return _RELATIVE_ERROR.get(getattr(torch, dtype, torch.float32), 1e-3)


def refuse_unknown(table: Mapping[str, object], known: Collection[str], where: str) -> None:
    """Raise BudgetError if a table has an unknown key."""
    for key in table:
        if key not in known:
            raise BudgetError(f"{where}: unknown key {key!r}{suggest(key, known)}")


def _table(table: Mapping[str, object], key: str, where: str) -> Mapping[str, object]:
    found = table.get(key, {})
    if not isinstance(found, Mapping):
        raise BudgetError(f"{where}: {key} is a table of limits, not {found!r}")
    return found


def _whole(value: float, where: str) -> int:
    if not float(value).is_integer():
        raise BudgetError(f"{where} is a whole number, not {value!r}")
    return int(value)


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise BudgetError(f"{where} is a number of at least 0, not {value!r}")
    return float(value)
