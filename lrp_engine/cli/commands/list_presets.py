"""`lrp presets`: the presets that come with the engine, and the rows of one."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated

import typer

from ...preset import shipped
from ..console import print_json, print_table, reporting, say
from ..options import AsJson, Debug

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...method.registry import Registry
    from ...preset.preset import Preset, PresetRow

Row = tuple[str, str, str]

presets: typer.Typer = typer.Typer(
    help="List the presets that come with the engine; `lrp presets show NAME` explains one."
)

PresetArgument = Annotated[str, typer.Argument(help="A preset's name, or a .toml file.")]


@presets.callback(invoke_without_command=True)
def listing(context: typer.Context, as_json: AsJson = False) -> None:
    """List the presets by name."""
    if context.invoked_subcommand is not None:
        return
    with reporting(as_json):
        found = shipped.summaries()
    if as_json:
        print_json([{"name": p.name, "title": p.title, "cites": list(p.cites)} for p in found])
        return
    rows = [(p.name, p.title, ", ".join(p.cites)) for p in found]
    print_table("presets", ("name", "what it does", "cites"), rows)
    say("auto, the default, takes one of these by the model's structure: docs/presets.md")


@presets.command()
def show(name: PresetArgument, as_json: AsJson = False, debug: Debug = False) -> None:
    """Explain one preset: which rule serves which ops, with which parameters, from which paper."""
    with reporting(as_json, debug):
        from ...method.registry import standard
        from ...preset import preset_file

        registry = standard()
        preset = preset_file.load(name, registry)
        rows = [_row(entry, registry) for entry in effective_rows(preset)]
    (_show_json if as_json else _show_table)(preset, rows)


def effective_rows(preset: Preset) -> list[PresetRow]:
    """Return the rows that no later row replaces altogether."""
    last = {entry.where(): i for i, entry in enumerate(preset.entries)}
    return [entry for i, entry in enumerate(preset.entries) if last[entry.where()] == i]


def _show_json(preset: Preset, rows: Sequence[Row]) -> None:
    from ...method.references import bibtex

    data = {"name": preset.name, "title": preset.title, "gates": preset.gates}
    data |= {"fold_batch_norm": preset.fold_batch_norm, "hash": preset.hash}
    rules = [dict(zip(("where", "rule", "cites"), row, strict=True)) for row in rows]
    print_json(data | {"rules": rules, "bibtex": bibtex(_references(preset, rows))})


def _show_table(preset: Preset, rows: Sequence[Row]) -> None:
    from ...method.references import find_papers

    say(f"{preset.name}: {preset.title}")
    if preset.fold_batch_norm:
        say("Batch norms are read as part of the weighted sum beside them.")
    print_table("the last row that matches wins", ("where", "rule", "cites"), rows)
    for paper in find_papers(_references(preset, rows)):
        say(f"[{paper.key}] {paper.line()}")


def _references(preset: Preset, rows: Sequence[Row]) -> list[str]:
    return [*preset.cites, *(row[2] for row in rows)]


def _row(entry: PresetRow, registry: Registry) -> Row:
    from ...preset.preset import plain_value

    rule = registry.rules[entry.family, entry.use]
    given = {k: v for k, v in entry.parameters.items() if v is not inspect.Parameter.empty}
    missing = [f"{k}=?" for k in entry.parameters if k not in given]
    inside = ", ".join([*(f"{k}={plain_value(v)}" for k, v in given.items()), *missing])
    where = entry.where().removeprefix("family ")
    return where, f"{rule.name}({inside})" if inside else rule.name, rule.cites
