"""`lrp compare`: one question under several presets, and how far the answers agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import data_options as d
from .. import options as o
from ..console import note, print_json, print_table, reporting, say, working

if TYPE_CHECKING:
    from ...results.explanation import Explanation

_FEWEST = 2


@d.with_data_options
def compare(
    model: o.ModelName,
    data: d.DataTexts = None,
    inputs: o.InputFile = None,
    preset: Annotated[
        list[str] | None, typer.Option("--preset", help="Two or more: names or .toml files.")
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
    as_json: o.AsJson = False,
    debug: o.Debug = False,
) -> None:
    """Explain one number under several presets, and print how far their relevance agrees."""
    names = list(dict.fromkeys(preset or ()))
    if len(names) < _FEWEST:
        raise typer.BadParameter("give --preset twice or more", param_hint="--preset")
    chosen = d.named_target_of(target, target_json, rather_than)
    options = o.engine_options(names[0], None if source is None else [source], output_name)
    with reporting(as_json, debug):
        from ...show.agreement import agreement_table
        from ..agreement_output import compared_maps, comparison_as_json, draw_comparison
        from ..bring_steps import bring
        from ..output_files import OutputFiles

        OutputFiles(None, plot, None, sample)  # refuses an ending that is no picture's
        brought = bring(model, data or [], inputs, said, o.settings_of(setting), options)
        subject, place = brought.subject, d.place_of(position)
        found: dict[str, Explanation] = {}
        for name in names:
            with working(f"explaining by {name}"):
                subject = subject.with_preset(name)
                found[name] = subject.explain(brought.data, chosen, position=place, ledger=True)
        maps = compared_maps(found, source, sample)
        if plot is not None:
            draw_comparison(found, source, sample, plot)
        head, *rows = agreement_table(names, list(maps.values()))
    if as_json:
        print_json(comparison_as_json(found, maps, plot))
        return
    print_table(f"sample {sample}: correlation of relevance", head, rows)
    for name, one in found.items():
        say(f"{name}: explained {float(one.explained.reshape(-1)[sample]):.6g}")
    note("--plot draws them side by side") if plot is None else say(f"wrote {plot}")
