"""`lrp view`: a page to look around in: layers, tokens, heads, and what passes through them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import data_options as d
from .. import options as o
from ..console import reporting, say, working

if TYPE_CHECKING:
    from ...views import Exploration


@d.with_data_options
def view(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL|EXPLANATION",
            help="A model, as for lrp explain, or an explanation saved by it (.safetensors).",
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="A small language model and one of its prompts.")
    ] = False,
    data: d.DataTexts = None,
    inputs: o.InputFile = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS",
            help="A class by number or name; several times for several. Default: the largest.",
        ),
    ] = None,
    position: d.WhereOption = None,
    preset: o.PresetName = o.DEFAULT_PRESET,
    output_name: o.OutputName = None,
    setting: o.SettingTexts = None,
    said: d.DataOptions = d.NOTHING_SAID,
    sample: Annotated[int, typer.Option(min=0, help="Which sample is shown.")] = 0,
    top: Annotated[int, typer.Option(min=1, max=20, help="So many classes to choose from.")] = 3,
    traces: Annotated[int, typer.Option(min=0, help="So many nodes are traced beforehand.")] = 100,
    words: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Texts of token ids: a vocabulary in JSON, or one text a line.",
        ),
    ] = None,
    class_names: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Names of classes, one a line.")
    ] = None,
    html: Annotated[Path, typer.Option(help="The page to write.")] = Path("lrp-view.html"),
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the page to this machine; trace any node.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    debug: o.Debug = False,
) -> None:
    """Write a page that shows relevance at every layer, and traces it through any part."""
    if demo == (what is not None):
        raise typer.BadParameter("name a model or a saved explanation, or give --demo")
    chosen = [d.viewed_target_of(text) for text in target or ()]
    bound = o.settings_of(setting)
    with reporting(False, debug):
        from .. import view_steps as steps
        from ..bring_steps import bring

        texts = steps.read_texts(words, class_names)
        if what is not None and what.endswith(".safetensors"):
            steps.write(html, steps.page_of_saved(Path(what), sample, texts))
            say(f"wrote {html}")
            return
        if demo:
            viewed, texts = steps.demo(preset, chosen, d.place_of(position))
        else:
            assert what is not None
            options = o.engine_options(preset, None, output_name)
            brought = bring(what, data or [], inputs, said, bound, options)
            viewed = steps.prepare(brought, sample, chosen, d.place_of(position))
        with working("explaining at every layer"):
            found = steps.explore(viewed, top, texts, sample)
        _finish(found, traces, html, serve, port)


def _finish(found: Exploration, traces: int, html: Path, serve: bool, port: int) -> None:
    from .. import view_steps as steps

    with working("tracing"):
        scene = found.scene(traces=traces)
    if found.untraced:
        say(f"note: nothing can be traced: {found.untraced}")
    if serve:
        steps.run_server(found, scene, port)
    else:
        steps.write(html, steps.page_of(scene))
        say(f"wrote {html}")
