"""Read which preset suits which structure of a model: the table behind the preset `auto`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any

from ..boundary.kinds import TABLES, TEXT, TEXTS, check_table
from ..boundary.tables import parse_toml
from ..errors import PresetError

AUTO = "auto"


@dataclass(frozen=True)
class Need:
    """Say what a model must contain: an op that one of the globs names, or one of a family.

    With `before`, an op of that family has to depend on it.
    """

    ops: tuple[str, ...] = ()
    family: str | None = None
    before: str | None = None

    def names(self, target: str, families: frozenset[str]) -> bool:
        """Return whether an op of that name and those families is of the kind asked for."""
        name = target.removeprefix("aten.")
        if self.ops and not any(fnmatchcase(name, glob) for glob in self.ops):
            return False
        return self.family is None or self.family in families


@dataclass(frozen=True)
class Choice:
    """A preset, the needs that speak for it, and what to call a model that meets them."""

    preset: str
    says: str
    needs: tuple[Need, ...]

    @property
    def reason(self) -> str:
        """Say why `auto` takes the preset."""
        return f"preset {AUTO} took {self.preset}: the model has {self.says}"


def read_choices(text: str | None = None) -> tuple[Choice, ...]:
    """Return the rows of the shipped table, or of a TOML text, in order.

    Raises PresetError for unknown keys, and if the last row asks for something.
    """
    where = "rules/auto.toml"
    table = parse_toml(_shipped() if text is None else text, where, PresetError)
    check_table(table, {"choice": TABLES}, where, PresetError)
    choices = tuple(_choice(row, where) for row in table.get("choice", []))
    if not choices or choices[-1].needs:
        raise PresetError(f"{where}: the last choice must have no needs, so that one always holds")
    return choices


def _choice(row: Mapping[str, Any], where: str) -> Choice:
    check_table(row, {"preset": TEXT, "says": TEXT, "needs": TABLES}, where, PresetError)
    missing = {"preset", "says", "needs"} - set(row)
    if missing:
        raise PresetError(f"{where}: a choice lacks {', '.join(sorted(missing))}")
    for need in row["needs"]:
        check_table(need, {"ops": TEXTS, "family": TEXT, "before": TEXT}, where, PresetError)
    return Choice(row["preset"], row["says"], tuple(map(_need, row["needs"])))


def _need(row: Mapping[str, Any]) -> Need:
    return Need(tuple(row.get("ops", ())), row.get("family"), row.get("before"))


def _shipped() -> str:
    return resources.files("lrp_engine.rules").joinpath("auto.toml").read_text(encoding="utf-8")
