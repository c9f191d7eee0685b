"""`lrp coverage`: the rule that serves each op, before anything is computed."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import data_options as d
from .. import options as o
from ..console import print_json, reporting
from ..tables import print_coverage, print_coverage_markdown, print_plan


@d.with_data_options
def coverage(
    model: o.ModelName,
    data: d.DataTexts = None,
    inputs: o.InputFile = None,
    preset: o.PresetName = o.DEFAULT_PRESET,
    source: o.SourceNames = None,
    output_name: o.OutputName = None,
    setting: o.SettingTexts = None,
    said: d.DataOptions = d.NOTHING_SAID,
    as_json: o.AsJson = False,
    debug: o.Debug = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="List every op, too.")] = False,
) -> None:
    """Count which rules serve a model's ops, and where relevance stops on purpose.

    Ops without a rule are all listed, with exit code 1. Nothing is computed.
    """
    if as_json and markdown:
        raise typer.BadParameter("give --json or --markdown, not both")
    bound = o.settings_of(setting)
    with reporting(as_json, debug):
        from ..shared_steps import prepare

        options = o.engine_options(preset, source, output_name)
        engine, _ = prepare(model, data, inputs, said, bound, options)
        found = engine.coverage()
    if as_json:
        rows = {"plan": [list(row) for row in engine.plan.rows()]} if plan else {}
        print_json({"ok": True, "preset": engine.plan.preset.name, **found.as_dict(), **rows})
        return
    if plan:
        print_plan(engine.plan)
    (print_coverage_markdown if markdown else print_coverage)(found)
