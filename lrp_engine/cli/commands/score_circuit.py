"""`lrp circuit`: from a model and prompts to scores, their verification, and a circuit."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .. import options as o
from ..choices import ESTIMATORS
from ..console import print_json, reporting, working


class EdgeChoice(StrEnum):
    """The ways in which the edges of a circuit are picked."""

    TOP = "top"
    GREEDY = "greedy"


ModelOrFolder = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help="module:attribute, or a Hugging Face model folder."),
]
PromptFile = Annotated[
    Path | None,
    typer.Argument(
        exists=True,
        dir_okay=False,
        help=".csv or .jsonl: clean, corrupted, and label or answer and wrong.",
    ),
]
DemoFlag = Annotated[bool, typer.Option("--demo", help="Use the small IOI model that comes along.")]
TokenizerName = Annotated[
    str | None, typer.Option(help="module:attribute (text -> ids), or a folder.")
]
MetricName = Annotated[
    str | None,
    typer.Option(
        help="module:attribute, called as metric(answers, wrongs) -> (logits -> one number per"
        " prompt). Default: logit difference at the last position."
    ),
]
EstimatorName = Annotated[
    str, typer.Option(help=f"{', '.join(ESTIMATORS)}, or auto: the best on a sample.")
]
EdgeCount = Annotated[int, typer.Option(min=1, help="How many edges the circuit keeps.")]
ScoreThreshold = Annotated[
    float | None, typer.Option(help="Keep edges of at least this score instead.")
]
ChooseOption = Annotated[EdgeChoice, typer.Option(help="How edges are picked.")]
SampleSize = Annotated[int, typer.Option(min=3, help="Random components patched exactly.")]
CurveFlag = Annotated[
    bool, typer.Option("--curve", help="Faithfulness over circuit size, with CPR and CMD.")
]
HtmlFile = Annotated[Path | None, typer.Option(help="Write a page to look at it.")]
PlotFile = Annotated[Path | None, typer.Option(help="Write a .png, .svg or .pdf picture.")]
GraphmlFile = Annotated[Path | None, typer.Option(help="Write GraphML.")]
DotFile = Annotated[Path | None, typer.Option(help="Write Graphviz DOT.")]
EapFile = Annotated[Path | None, typer.Option(help="Write the JSON form of EAP-IG and MIB.")]
ScoresFile = Annotated[Path | None, typer.Option(help="Write node scores as .safetensors.")]


def circuit(
    model: ModelOrFolder = None,
    prompts: PromptFile = None,
    run_demo: DemoFlag = False,
    tokenizer: TokenizerName = None,
    metric: MetricName = None,
    estimator: EstimatorName = "relp",
    edges: EdgeCount = 60,
    threshold: ScoreThreshold = None,
    choose: ChooseOption = EdgeChoice.TOP,
    sample: SampleSize = 64,
    with_curve: CurveFlag = False,
    html: HtmlFile = None,
    plot: PlotFile = None,
    graphml: GraphmlFile = None,
    dot: DotFile = None,
    eap: EapFile = None,
    save: ScoresFile = None,
    as_json: o.AsJson = False,
    debug: o.Debug = False,
) -> None:
    """Score a language model's components and edges, verify them, and show the circuit."""
    if run_demo == (model is not None) or (model is None) != (prompts is None):
        raise typer.BadParameter("give MODEL and PROMPTS, or --demo alone")
    with reporting(as_json, debug):
        from .. import circuit_inputs, circuit_report, circuit_search

        files = {"html": html, "plot": plot, "graphml": graphml, "dot": dot}
        files |= {"eap": eap, "save": save}
        circuit_report.require_endings(files)
        with working("loading the model and the prompts"):
            if model is None or prompts is None:
                inputs = circuit_inputs.load_demo()
            else:
                inputs = circuit_inputs.load_circuit_inputs(model, prompts, tokenizer, metric)
        search = circuit_search.CircuitSearch(estimator, edges, threshold, choose, sample)
        found = search.run(inputs, with_curve=with_curve)
        with working("writing"):
            circuit_report.write(found, inputs, files)
    if as_json:
        print_json(circuit_report.as_json(found))
    else:
        circuit_report.show(found)
