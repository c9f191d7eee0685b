"""`lrp plan`: what each policy keeps, its peak, memory over time; before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...engine import Engine
from ...programs.program import Program
from ...promises.policy import readable
from ...results.show.memory_chart import memory_figure
from .. import options as o
from ..console import (
    print_json,
    print_table,
    reporting,
    say,
)
from ..shared_steps import prepared

HEAD = ("policy", "promises#", "kept#", "computed again#", "kept bytes#", "peak#", "work twice#")


def plan(
    model: o.Model,
    inputs: o.Inputs = None,
    preset: o.PresetName = o.DEFAULT_PRESET,
    source: o.Sources = None,
    output_name: o.OutputName = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="keep, balanced, low_memory, or a budget: 500MB. Default: all three."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw memory over time, one curve per policy.")
    ] = None,
    promises: Annotated[
        bool, typer.Option("--promises", help="List every promise and how it is honoured.")
    ] = False,
    row: Annotated[
        bool, typer.Option("--row", help="For a class at one position, the output computed there.")
    ] = False,
    as_json: o.AsJson = False,
) -> None:
    """Foretell memory and repeated work under each policy, from shapes alone.

    Bytes are those alive at once beside parameters and inputs. Nothing is computed.
    """
    with reporting(as_json):
        engine, _ = prepared(model, inputs, preset, source, output_name)
        names = policy or ["keep", "balanced", "low_memory"]
        programs = {name: _program(engine.with_policy(name), row) for name in names}
        if plot is not None:
            figure = memory_figure({name: p.memory for name, p in programs.items()})
            figure.savefig(plot, dpi=150)
        if as_json:
            print_json({"ok": True, "policies": [_data(n, p) for n, p in programs.items()]})
            return
        if promises:
            for name, each in programs.items():
                print_table(f"promises: {name}", each.promises.HEAD, each.promises.rows())
        print_table("policies", HEAD, [_row(name, each) for name, each in programs.items()])
        if plot is not None:
            say(f"wrote {plot}")


def _program(engine: Engine, row: bool) -> Program:
    return engine.row_program if row else engine.program


def _data(name: str, program: Program) -> dict[str, Any]:
    made, memory = program.promises, program.memory
    return {
        "policy": name,
        "promises": len(made),
        "fates": made.counts(),
        "kept_bytes": made.kept_bytes,
        "peak_bytes": memory.peak,
        "peak_op": memory.peak_op,
        "work_again": made.work_again,
    }


def _row(name: str, program: Program) -> tuple[str, ...]:
    made, fates = program.promises, program.promises.counts()
    return (
        name,
        str(len(made)),
        str(fates.get("kept", 0)),
        str(fates.get("recomputed", 0)),
        readable(made.kept_bytes),
        readable(program.memory.peak),
        f"{made.work_again:.0%}",
    )
