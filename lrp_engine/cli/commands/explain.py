"""`lrp explain`: relevance of a model's inputs for one output, on the terminal and in files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import data_options as d
from .. import options as o
from ..console import print_json, report, reporting, working


@d.with_data_options
def explain(
    model: o.ModelName,
    data: d.DataTexts = None,
    inputs: o.InputFile = None,
    target: d.TargetName = None,
    target_json: d.NamedTargetJson = None,
    rather_than: d.RatherThan = None,
    position: d.WhereOption = None,
    batch: d.BatchSize = None,
    preset: o.PresetName = o.DEFAULT_PRESET,
    source: o.SourceNames = None,
    output_name: o.OutputName = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="Explain what the last softmax or sigmoid reads.")
    ] = False,
    setting: o.SettingTexts = None,
    seed: o.DrawSeed = None,
    reference: o.ReferenceText = None,
    said: d.DataOptions = d.NOTHING_SAID,
    save: Annotated[Path | None, typer.Option(help="Write a .safetensors file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw a sample's first source.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", "--report", help="Write a self-contained page.")
    ] = None,
    sample: Annotated[int, typer.Option(min=0, help="Which sample --plot draws.")] = 0,
    as_json: o.AsJson = False,
    debug: o.Debug = False,
) -> None:
    """Explain one output number per sample: how much each input entry contributed to it."""
    chosen = d.named_target_of(target, target_json, rather_than)
    if scores and output_name is not None:
        raise typer.BadParameter("give --output-name or --scores, not both")
    bound = o.settings_of(setting)
    options = o.engine_options(preset, source, "scores" if scores else output_name)
    with reporting(as_json, debug):
        from .. import shared_steps
        from ..bring_steps import bring, explain_in_batches
        from ..explanation_output import explanation_as_json, print_explanation
        from ..output_files import OutputFiles, write

        files = OutputFiles(save, plot, html, sample)
        brought = bring(model, data or [], inputs, said, bound, options)
        question = {
            "target": chosen,
            "position": d.place_of(position),
            "ledger": True,
            "seed": seed,
            "reference": shared_steps.read_reference(model, reference, bound),
        }
        explanation = explain_in_batches(brought, batch, **question)
        with working("writing"):
            written = write(explanation, files)
        problem = shared_steps.imbalance(explanation)
    if as_json:
        print_json(explanation_as_json(explanation, written, problem))
    else:
        print_explanation(explanation, written)
    if problem:
        report(problem)
        raise typer.Exit(1)
