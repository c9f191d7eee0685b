"""`lrp plan`: kept values, peak and memory over time of each policy, before computing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import data_options as d
from .. import options as o
from ..console import (
    print_json,
    print_table,
    reporting,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...engine import Engine
    from ...programs.program import Program

HEAD = ("policy", "promises#", "kept#", "computed again#", "kept bytes#", "peak#", "work twice#")


@d.with_data_options
def plan(
    model: o.ModelName,
    data: d.DataTexts = None,
    inputs: o.InputFile = None,
    preset: o.PresetName = o.DEFAULT_PRESET,
    source: o.SourceNames = None,
    output_name: o.OutputName = None,
    setting: o.SettingTexts = None,
    said: d.DataOptions = d.NOTHING_SAID,
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
    debug: o.Debug = False,
) -> None:
    """Predict memory and repeated work under each policy, from shapes alone.

    Bytes are those alive at once beside parameters and inputs. Nothing is computed.
    """
    bound = o.settings_of(setting)
    with reporting(as_json, debug):
        from ...boundary.writing import require_ending
        from ..output_files import PICTURES
        from ..shared_steps import prepare

        if plot is not None:
            require_ending(plot, PICTURES)
        options = o.engine_options(preset, source, output_name)
        engine, _ = prepare(model, data, inputs, said, bound, options)
        names = policy or ["keep", "balanced", "low_memory"]
        programs = {name: _program(engine.with_policy(name), row) for name in names}
        if plot is not None:
            _draw(programs, plot)
    if as_json:
        print_json({"ok": True, "policies": [_data(n, p) for n, p in programs.items()]})
        return
    if promises:
        for name, each in programs.items():
            print_table(f"promises: {name}", each.promises.HEAD, each.promises.rows())
    print_table("policies", HEAD, [_row(name, each) for name, each in programs.items()])
    if plot is not None:
        say(f"wrote {plot}")


def _draw(programs: Mapping[str, Program], path: Path) -> None:
    from ...show.memory_chart import draw_memory

    figure = draw_memory({name: p.memory for name, p in programs.items()})
    figure.savefig(path, dpi=150)


def _program(engine: Engine, row: bool) -> Program:
    return engine.row_program if row else engine.program


def _data(name: str, program: Program) -> dict[str, object]:
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
    from ...promises.policy import format_bytes

    made, fates = program.promises, program.promises.counts()
    return (
        name,
        str(len(made)),
        str(fates.get("kept", 0)),
        str(fates.get("recomputed", 0)),
        format_bytes(made.kept_bytes),
        format_bytes(program.memory.peak),
        f"{made.work_again:.0%}",
    )
