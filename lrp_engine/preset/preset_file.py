"""Read preset files (TOML) into `Preset`, checked against the rules and ops that exist."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..boundary.kinds import FLAG, TABLES, TEXT, check_table
from ..boundary.reading import read_text as read_text_file
from ..boundary.tables import parse_toml, read_toml
from ..errors import PresetError, suggest
from ..method.parameters import read_parameter
from ..method.registry import Registry, standard
from ..method.rule import Rule
from .position import RowPosition
from .preset import Preset, PresetRow
from .shipped import own_cites, own_title, read_text
from .shipped import presets as presets

_TOP = {
    "title": TEXT,
    "cites": TEXT,
    "extends": TEXT,
    "gates": FLAG,
    "fold_batch_norm": FLAG,
    "rule": TABLES,
}
_ROW = re.compile(r"\s*\[\[\s*rule\s*\]\]")
_GLOBS = {"op", "module", "type", "node", "before", "after"}
_KEYS = dict.fromkeys([*_GLOBS, "family", "use", "position", "ahead_of"], TEXT) | {"optional": FLAG}


def load_preset(name: str | Path, **parameters: object) -> Preset:
    """Load a preset by name or file, with rule parameters set on every row that has them.

    Args:
        name: Name of a preset that comes with the engine, or path of a TOML file.
        parameters: Rule parameters, set on every row whose rule has them.

    Raises:
        PresetError: If a name, key or parameter does not exist, or a rule lacks a parameter that
            has no default.

    Example:
        >>> import lrp_engine as lrp
        >>> preset = lrp.load_preset("epsilon_gamma_box", low=[-2.1, -2.0, -1.8], high=2.6)
    """
    registry = standard()
    return complete(with_parameters(load(name, registry), parameters, registry), registry)


def load(preset: str | Path | Preset, registry: Registry) -> Preset:
    """Read a preset by name or file; parameters without a default may still be missing.

    Raises PresetError for unknown names, keys, families, rules, ops and parameters.
    """
    return preset if isinstance(preset, Preset) else _load(preset, registry, ())


def _load(preset: str | Path, registry: Registry, extending: tuple[str, ...]) -> Preset:
    """Read a preset and those that it extends; `extending` are those that led here."""
    name, table = _read(preset)
    _refuse_circle(str(preset), extending)
    check_table(table, _TOP, f"preset {name!r}", PresetError)
    above = (*extending, str(preset))
    base = _load(table["extends"], registry, above) if "extends" in table else None
    rows = table.get("rule", [])
    lines = _lines_of(preset, len(rows))
    own = tuple(_entry(row, name, registry, at) for row, at in zip(rows, lines, strict=True))
    entries = (*(base.entries if base else ()), *own)
    return Preset(
        name=name,
        title=own_title(table, name),
        cites=tuple(dict.fromkeys([*(base.cites if base else ()), *own_cites(table)])),
        entries=entries,
        gates=table.get("gates", base.gates if base else True),
        fold_batch_norm=table.get("fold_batch_norm", base.fold_batch_norm if base else False),
        runs=_count_runs(name, entries, registry),
    )


def _count_runs(name: str, entries: Sequence[PresetRow], registry: Registry) -> int:
    """Return how many runs the rules compare; raise PresetError if they do not agree."""
    rules = [registry.rules[entry.family, entry.use] for entry in entries]
    compare = {rule.runs: rule for rule in rules if not rule.stops}
    if len(compare) > 1:
        one, two = compare[1], compare[2]
        raise PresetError(
            f"preset {name!r} mixes rules of one run ({one.family}: {one.name}) and of two runs"
            f" ({two.family}: {two.name}): choose rules of one kind"
        )
    return next(iter(compare), 1)


def with_parameters(preset: Preset, parameters: Mapping[str, object], registry: Registry) -> Preset:
    """Set parameters on every row whose rule has them; raise PresetError where none has."""
    known = {name for entry in preset.entries for name in entry.parameters}
    _refuse_unknown(parameters, known, f"preset {preset.name!r} has no such parameter")

    def changed(entry: PresetRow) -> PresetRow:
        own = {k: v for k, v in parameters.items() if k in entry.parameters}
        rule = registry.rules[entry.family, entry.use]
        place = f"preset {preset.name!r} (rule {rule.name!r})"
        new = {k: _value(rule, k, v, place) for k, v in own.items()}
        return replace(entry, parameters=dict(entry.parameters) | new) if new else entry

    return replace(preset, entries=tuple(map(changed, preset.entries)))


def complete(preset: Preset, registry: Registry) -> Preset:
    """Return the preset; raise PresetError if a rule's parameter is missing or out of its range."""
    for entry in preset.entries:
        missing = [k for k, v in entry.parameters.items() if v is inspect.Parameter.empty]
        if missing:
            given = ", ".join(f"{name}=..." for name in missing)
            raise PresetError(
                f"preset {preset.name!r}: rule {entry.use!r} needs {' and '.join(missing)}, for"
                f" instance load_preset({preset.name!r}, {given})"
            )
        if rule := registry.rules.get((entry.family, entry.use)):
            for name, value in entry.parameters.items():
                _value(rule, name, value, f"preset {preset.name!r} (rule {entry.use!r})")
    return preset


def _read(preset: str | Path) -> tuple[str, dict[str, Any]]:
    path = Path(preset)
    if path.suffix == ".toml":
        if not os.path.exists(path):
            raise PresetError(f"preset file {path} does not exist")
        return path.stem, read_toml(path, PresetError)
    known = presets()
    if str(preset) not in known:
        raise PresetError(f"unknown preset {str(preset)!r}{suggest(str(preset), known)}")
    return str(preset), parse_toml(read_text(str(preset)), f"preset {preset}", PresetError)


def _lines_of(preset: str | Path, rows: int) -> list[str]:
    """Return where each row of a preset file begins; nothing for what is written in another way."""
    path = Path(preset)
    text = read_text_file(path, PresetError) if path.suffix == ".toml" else ""
    heads = [i for i, line in enumerate(text.splitlines(), 1) if _ROW.match(line)]
    return [f" ({path}:{i})" for i in heads] if len(heads) == rows else [""] * rows


def _refuse_circle(preset: str, extending: tuple[str, ...]) -> None:
    if preset in extending:
        chain = " -> ".join([*extending[extending.index(preset) :], preset])
        raise PresetError(f"preset {preset!r} extends itself: {chain}")


def _entry(row: Mapping[str, Any], name: str, registry: Registry, line: str = "") -> PresetRow:
    place = f"a row of preset {name!r}{line}"
    own = {key: value for key, value in row.items() if key in _KEYS}
    check_table(own, _KEYS, place, PresetError)
    families = {family for family, _ in registry.rules}
    if row.get("family") not in families:
        raise PresetError(
            f"{place}: unknown family {row.get('family')!r}"
            + suggest(str(row.get("family")), families)
        )
    if row.get("ahead_of", row["family"]) not in families:
        ahead = str(row["ahead_of"])
        raise PresetError(f"{place}: no family {ahead!r} to be ahead of{suggest(ahead, families)}")
    rules = {rule: r for (family, rule), r in registry.rules.items() if family == row["family"]}
    if row.get("use") not in rules:
        raise PresetError(
            f"{place}: family {row['family']!r} has no rule {row.get('use')!r}"
            + suggest(str(row.get("use")), rules)
        )
    entry = _with_parameters(row, rules[row["use"]], place, name)
    _refuse_unknown_op(entry, place, registry)
    return entry


def _with_parameters(row: Mapping[str, Any], rule: Rule, place: str, name: str) -> PresetRow:
    place = f"{place} (rule {rule.name!r})"
    _refuse_unknown(row, {*_KEYS, *rule.parameters}, place)
    given = {k: _value(rule, k, v, place) for k, v in row.items() if k not in _KEYS}
    return PresetRow(
        family=row["family"],
        use=row["use"],
        parameters=dict(rule.parameters) | given,
        position=RowPosition.parse(row["position"]) if "position" in row else None,
        ahead_of=row.get("ahead_of"),
        optional=row.get("optional", False),
        origin=name,
        **{k: row.get(k) for k in _GLOBS},
    )


def _value(rule: Rule, name: str, given: object, place: str) -> object:
    try:
        return read_parameter(rule.propagate, name, given)
    except ValueError as error:
        raise PresetError(f"{place}: {error}") from error


def _refuse_unknown_op(entry: PresetRow, place: str, registry: Registry) -> None:
    ops = {str(t) for t, ops in registry.ops.items() for op in ops if op.family == entry.family}
    if not any(entry.names_op(name) for name in ops):
        bare = {name.rsplit(".", 1)[0].removeprefix("aten.") for name in ops}
        close = suggest(str(entry.op).removeprefix("aten."), bare, listed=False)
        raise PresetError(f"{place}: family {entry.family!r} has no op {entry.op!r}{close}")


def _refuse_unknown(table: Iterable[str], known: Iterable[str], place: str) -> None:
    for key in table:
        if key not in known:
            raise PresetError(f"{place}: unknown key {key!r}{suggest(key, known)}")
