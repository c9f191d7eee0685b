"""`lrp package`: compile the programs ahead of time into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import data_options as d
from .. import options as o
from ..console import (
    print_json,
    reporting,
    say,
    working,
)


@d.with_data_options
def package(
    model: o.ModelName,
    save: Annotated[Path, typer.Option(help="The .pt2 file to write.")],
    data: d.DataTexts = None,
    inputs: o.InputFile = None,
    preset: o.PresetName = o.DEFAULT_PRESET,
    source: o.SourceNames = None,
    output_name: o.OutputName = None,
    setting: o.SettingTexts = None,
    said: d.DataOptions = d.NOTHING_SAID,
    as_json: o.AsJson = False,
    debug: o.Debug = False,
) -> None:
    """Compile a model's explanations ahead of time: load_package() needs no model code.

    Needs a C++ compiler. The inputs are what the package is tried on before it is written.
    """
    bound = o.settings_of(setting)
    with reporting(as_json, debug):
        from ...promises.policy import format_bytes
        from ..shared_steps import prepare

        options = o.engine_options(preset, source, output_name)
        engine, given = prepare(model, data, inputs, said, bound, options)
        with working("compiling"):
            engine.package(save, given)
        size = save.stat().st_size
    if as_json:
        print_json({"ok": True, "path": str(save), "bytes": size})
        return
    say(f"wrote {save} ({format_bytes(size)})")
