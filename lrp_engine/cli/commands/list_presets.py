"""`lrp presets`: the presets that come with the engine, and what is in one."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from ...method.references import bibtex, cited
from ...method.registry import Registry, standard
from ...preset import preset_file
from ...preset.preset import Entry, Preset, plain
from ..console import (
    print_json,
    print_table,
    reporting,
    say,
)
from ..options import AsJson

presets = typer.Typer(
    help="List the presets that come with the engine; `lrp presets show NAME` explains one."
)

Name = Annotated[str, typer.Argument(help="A preset's name, or a .toml file.")]


@presets.callback(invoke_without_command=True)
def listing(context: typer.Context, as_json: AsJson = False) -> None:
    """List the presets by name."""
    if context.invoked_subcommand is not None:
        return
    with reporting(as_json):
        registry = standard()
        found = [preset_file.load(name, registry) for name in preset_file.presets()]
        if as_json:
            print_json([{"name": p.name, "title": p.title, "cites": list(p.cites)} for p in found])
            return
        rows = [(p.name, p.title, ", ".join(p.cites)) for p in found]
        print_table("presets", ("name", "what it does", "cites"), rows)


@presets.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Explain one preset: which rule serves which ops, with which parameters, from which paper."""
    with reporting(as_json):
        registry = standard()
        preset = preset_file.load(name, registry)
        rows = [_row(entry, registry) for entry in in_force(preset)]
        references = [*preset.cites, *(row[2] for row in rows)]
        if as_json:
            keys = ("where", "rule", "cites")
            data = {"name": preset.name, "title": preset.title, "gates": preset.gates}
            data |= {"fold_batch_norm": preset.fold_batch_norm, "hash": preset.hash}
            rules = [dict(zip(keys, row, strict=True)) for row in rows]
            print_json(data | {"rules": rules, "bibtex": bibtex(references)})
            return
        say(f"{preset.name}: {preset.title}")
        if preset.fold_batch_norm:
            say("Batch norms are read as part of the weighted sum beside them.")
        print_table("the last row that matches wins", ("where", "rule", "cites"), rows)
        for paper in cited(references):
            say(f"[{paper.key}] {paper.line()}")


def in_force(preset: Preset) -> list[Entry]:
    """The rows that another row does not replace altogether."""
    last = {entry.where(): i for i, entry in enumerate(preset.entries)}
    return [entry for i, entry in enumerate(preset.entries) if last[entry.where()] == i]


def _row(entry: Entry, registry: Registry) -> tuple[str, str, str]:
    rule = registry.rules[entry.family, entry.use]
    given = {k: v for k, v in entry.parameters.items() if v is not inspect.Parameter.empty}
    missing = [f"{k}=?" for k in entry.parameters if k not in given]
    inside = ", ".join([*(f"{k}={plain(v)}" for k, v in given.items()), *missing])
    where = entry.where().removeprefix("family ")
    return where, f"{rule.name}({inside})" if inside else rule.name, rule.cites
