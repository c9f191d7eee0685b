"""`lrp compare`: one question to several presets or models, and how far the answers agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import data_options as d
from .. import options as o
from ..console import note, print_json, print_table, reporting, say

_FEWEST = 2


@d.with_data_options
def compare(
    model: o.ModelName,
    data: d.DataTexts = None,
    inputs: o.InputFile = None,
    preset: Annotated[
        list[str] | None,
        typer.Option("--preset", help="Names or .toml files; two or more, unless models differ."),
    ] = None,
    other: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="MODEL", help="Another model, on the same data."),
    ] = None,
    target: d.TargetName = None,
    target_json: d.NamedTargetJson = None,
    rather_than: d.RatherThan = None,
    position: d.WhereOption = None,
    source: Annotated[
        str | None, typer.Option("--source", help="The source to compare. Default: the only one.")
    ] = None,
    output_name: o.OutputName = None,
    setting: o.SettingTexts = None,
    said: d.DataOptions = d.NOTHING_SAID,
    sample: Annotated[int, typer.Option(min=0, help="Which sample is compared.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Draw the maps side by side.")] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", "--report", help="Write a page of all samples side by side."),
    ] = None,
    as_json: o.AsJson = False,
    debug: o.Debug = False,
) -> None:
    """Explain one number by several presets or models, and print how far relevance agrees."""
    models = list(dict.fromkeys([model, *(other or ())]))
    presets = list(dict.fromkeys(preset or ([o.DEFAULT_PRESET] if len(models) > 1 else ())))
    if len(models) * len(presets) < _FEWEST:
        raise typer.BadParameter(
            "give --preset twice or more, or another model --with", param_hint="--preset"
        )
    chosen = d.named_target_of(target, target_json, rather_than)
    options = o.engine_options(presets[0], None if source is None else [source], output_name)
    with reporting(as_json, debug):
        from ...results.comparable import comparable_maps
        from ...show.agreement import agreement_table
        from ..agreement_output import Comparison, comparison_as_json, explain_all, write_files
        from ..bring_steps import bring
        from ..output_files import OutputFiles

        files = OutputFiles(None, plot, html, sample)
        bound = o.settings_of(setting)
        brought = {name: bring(name, data or [], inputs, said, bound, options) for name in models}
        found = explain_all(
            {name: one.subject for name, one in brought.items()},
            {name: one.data for name, one in brought.items()},
            presets,
            target=chosen,
            position=d.place_of(position),
        )
        maps = comparable_maps(found, source, sample)
        written = write_files(Comparison(found, source, sample), files)
        head, *rows = agreement_table(list(maps), list(maps.values()))
    if as_json:
        print_json(comparison_as_json(found, maps, written))
        return
    print_table(f"sample {sample}: correlation of relevance", head, rows)
    for name, one in found.items():
        say(f"{name}: explained {float(one.explained.reshape(-1)[sample]):.6g}")
    for path in written:
        say(f"wrote {path}")
    if not written:
        note("--plot draws them side by side, --report writes a page")
