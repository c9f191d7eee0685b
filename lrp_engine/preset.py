"""Preset files (TOML) -> an ordered list of (where, rule, parameters)."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any

from torch import fx

from .errors import PresetError
from .graph import module_stack, target_name
from .registry import Registry
from .rule import Rule

_TOP = {"title", "cites", "extends", "gates", "rule"}
_WHERE = {"family", "op", "module", "type", "node"}


@dataclass(frozen=True)
class Entry:
    """One row: where it applies, which rule, with which parameters."""

    family: str
    use: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    op: str | None = None
    module: str | None = None
    type: str | None = None
    node: str | None = None
    origin: str = ""

    def matches(self, node: fx.Node, family: str) -> bool:
        """Whether the row applies to a node of that family."""
        if self.family != family:
            return False
        if self.op and not fnmatchcase(target_name(node), self._op_pattern()):
            return False
        if self.type and all(kind != self.type for _, kind in module_stack(node)):
            return False
        return self.lies_at(node)

    def lies_at(self, node: fx.Node) -> bool:
        """Whether a node has the name, and lies in the module, that the row speaks of."""
        if self.node and not fnmatchcase(node.name, self.node):
            return False
        paths = (path for path, _ in module_stack(node))
        return not self.module or any(fnmatchcase(path, self.module) for path in paths)

    def is_narrow(self) -> bool:
        """Whether the row names places in one model, so that matching none is a mistake."""
        return bool(self.module or self.node)

    def where(self) -> str:
        """The selector in words."""
        named = {k: getattr(self, k) for k in ("op", "module", "type", "node")}
        return ", ".join([f"family {self.family}", *(f"{k} {v}" for k, v in named.items() if v)])

    def _op_pattern(self) -> str:
        assert self.op is not None
        return self.op if "." in self.op.removeprefix("aten.") else self.op + ".*"


@dataclass(frozen=True)
class Preset:
    """A named choice of rules. The last matching entry wins."""

    name: str
    title: str
    cites: tuple[str, ...]
    entries: tuple[Entry, ...]
    gates: bool = True

    @property
    def hash(self) -> str:
        """Changes whenever the choice of rules or parameters changes."""
        rows = [[e.where(), e.use, sorted(e.parameters.items())] for e in self.entries]
        return hashlib.sha256(json.dumps([rows, self.gates]).encode()).hexdigest()[:12]

    def choose(self, node: fx.Node, family: str) -> Entry | None:
        """The entry for a node."""
        for entry in reversed(self.entries):
            if entry.matches(node, family):
                return entry
        return None


def presets() -> tuple[str, ...]:
    """Names of the presets that come with the engine."""
    files = resources.files("lrp_engine.rules").joinpath("presets").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def load(preset: str | Path | Preset, registry: Registry) -> Preset:
    """A preset by name or file, checked against the rules that exist.

    Raises PresetError for unknown names, keys, families, rules and parameters.
    """
    if isinstance(preset, Preset):
        return preset
    name, table = _read(preset)
    _refuse_unknown(table, _TOP, f"preset {name!r}")
    base = load(table["extends"], registry) if "extends" in table else None
    own = tuple(_entry(row, name, registry) for row in table.get("rule", []))
    return Preset(
        name=name,
        title=table.get("title", name),
        cites=(*(base.cites if base else ()), *table.get("cites", "").split()),
        entries=(*(base.entries if base else ()), *own),
        gates=table.get("gates", base.gates if base else True),
    )


def _read(preset: str | Path) -> tuple[str, dict[str, Any]]:
    path = Path(preset)
    if path.suffix == ".toml":
        if not path.is_file():
            raise PresetError(f"there is no preset file {path}")
        return path.stem, _parse(path.read_text(), str(path))
    known = presets()
    if str(preset) not in known:
        raise PresetError(f"unknown preset {str(preset)!r}{_suggestion(str(preset), known)}")
    file = resources.files("lrp_engine.rules").joinpath("presets", f"{preset}.toml")
    return str(preset), _parse(file.read_text(), str(preset))


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PresetError(f"preset {name} is not valid TOML: {error}") from error


def _entry(row: Mapping[str, Any], name: str, registry: Registry) -> Entry:
    place = f"a row of preset {name!r}"
    families = {family for family, _ in registry.rules}
    if row.get("family") not in families:
        raise PresetError(
            f"{place}: unknown family {row.get('family')!r}"
            + _suggestion(str(row.get("family")), families)
        )
    rules = {rule: r for (family, rule), r in registry.rules.items() if family == row["family"]}
    if row.get("use") not in rules:
        raise PresetError(
            f"{place}: family {row['family']!r} has no rule {row.get('use')!r}"
            + _suggestion(str(row.get("use")), rules)
        )
    return _with_parameters(row, rules[row["use"]], place, name)


def _with_parameters(row: Mapping[str, Any], rule: Rule, place: str, name: str) -> Entry:
    _refuse_unknown(row, _WHERE | {"use"} | set(rule.parameters), f"{place} (rule {rule.name!r})")
    given = {k: v for k, v in row.items() if k in rule.parameters}
    where = {k: row.get(k) for k in _WHERE - {"family"}}
    return Entry(
        family=row["family"],
        use=row["use"],
        parameters=dict(rule.parameters) | given,
        origin=name,
        **where,
    )


def _refuse_unknown(table: Mapping[str, Any], known: Iterable[str], place: str) -> None:
    for key in table:
        if key not in known:
            raise PresetError(f"{place}: unknown key {key!r}{_suggestion(key, known)}")


def _suggestion(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(names)}"
