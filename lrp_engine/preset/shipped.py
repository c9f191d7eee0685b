"""List the presets that come with the engine. Reads TOML only: nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from ..boundary.tables import parse_toml
from ..errors import PresetError, suggest
from ..method.references import OWN, papers


@dataclass(frozen=True)
class PresetSummary:
    """A shipped preset's name, its title, and the keys of the papers that it follows."""

    name: str
    title: str
    cites: tuple[str, ...]


def presets() -> tuple[str, ...]:
    """Return the names of the presets that come with the engine."""
    files = _folder().iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def read_text(name: str) -> str:
    """Return the TOML text of a shipped preset."""
    return _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8")


def summaries() -> tuple[PresetSummary, ...]:
    """Summarise every shipped preset; a preset also cites what the preset it extends cites."""
    return tuple(map(_summary, presets()))


def own_title(table: Mapping[str, object], name: str) -> str:
    """Return the title of a preset's table, or its name if it has none."""
    return str(table.get("title", name))


def own_cites(table: Mapping[str, object]) -> list[str]:
    """Return the citation keys that a preset's table names; raise PresetError for unknown ones."""
    keys = str(table.get("cites", "")).split()
    for key in keys:
        if key != OWN and key not in papers():
            raise PresetError(
                f"a preset cites {key!r}, which is no key of rules/references.bib"
                f"{suggest(key, papers(), listed=False)}; what comes from no paper listed there"
                f' is cited as "{OWN}"'
            )
    return keys


def _folder() -> Traversable:
    return resources.files("lrp_engine.rules").joinpath("presets")


def _summary(name: str) -> PresetSummary:
    table = parse_toml(read_text(name), f"preset {name}")
    inherited = _summary(table["extends"]).cites if "extends" in table else ()
    cites = tuple(dict.fromkeys([*inherited, *own_cites(table)]))
    return PresetSummary(name, own_title(table, name), cites)
