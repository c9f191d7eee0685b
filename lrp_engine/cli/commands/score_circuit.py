"""`lrp circuit`: from a model and prompts to scores, their verification, and a circuit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ... import circuits
from ...circuits.edges import EdgeScores, merged
from ...circuits.estimators import ESTIMATORS
from .. import options as o
from ..circuit_inputs import Given, demo, given
from ..console import (
    note,
    print_json,
    print_table,
    reporting,
    say,
    stderr,
    working,
)

AUTO = "auto"


class Choose(StrEnum):
    """How edges are picked."""

    TOP = "top"
    GREEDY = "greedy"


@dataclass(frozen=True)
class Found:
    """Everything that one call of the command computes."""

    scores: circuits.Scores
    edges: EdgeScores
    circuit: circuits.Circuit
    quality: circuits.Quality
    curve: circuits.Curve | None
    prompts: int
    choice: circuits.Choice | None = None
    written: list[Path] = field(default_factory=list)


def circuit(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="module:attribute, or a Hugging Face model folder."),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help=".csv or .jsonl: clean, corrupted, and label or answer and wrong.",
        ),
    ] = None,
    run_demo: Annotated[
        bool, typer.Option("--demo", help="Use the small IOI model that comes along.")
    ] = False,
    tokenizer: Annotated[
        str | None, typer.Option(help="module:attribute (text -> ids), or a folder.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="module:attribute, called as metric(answers, wrongs) -> (logits -> one number per"
            " prompt). Default: logit difference at the last position."
        ),
    ] = None,
    estimator: Annotated[
        str, typer.Option(help=f"{', '.join(ESTIMATORS)}, or auto: the best on a sample.")
    ] = "relp",
    edges: Annotated[int, typer.Option(min=1, help="How many edges the circuit keeps.")] = 60,
    threshold: Annotated[
        float | None, typer.Option(help="Keep edges of at least this score instead.")
    ] = None,
    choose: Annotated[Choose, typer.Option(help="How edges are picked.")] = Choose.TOP,
    sample: Annotated[int, typer.Option(min=3, help="Random components patched exactly.")] = 64,
    with_curve: Annotated[
        bool, typer.Option("--curve", help="Faithfulness over circuit size, with CPR and CMD.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page to look at it.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a .png, .svg or .pdf picture.")] = None,
    graphml: Annotated[Path | None, typer.Option(help="Write GraphML.")] = None,
    dot: Annotated[Path | None, typer.Option(help="Write Graphviz DOT.")] = None,
    eap: Annotated[Path | None, typer.Option(help="Write the JSON form of EAP-IG and MIB.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write node scores as .safetensors.")] = None,
    as_json: o.AsJson = False,
) -> None:
    """Score a language model's components and edges, verify them, and show the circuit."""
    if run_demo == (model is not None) or (model is None) != (prompts is None):
        raise typer.BadParameter("give MODEL and PROMPTS, or --demo alone")
    with reporting(as_json):
        with working("loading the model and the prompts"):
            loaded = demo() if run_demo else given(model or "", prompts, tokenizer, metric)
        found = _find(loaded, estimator, edges, threshold, choose, sample, with_curve)
        with working("writing"):
            _write(
                found, loaded, html=html, plot=plot, graphml=graphml, dot=dot, eap=eap, save=save
            )
    if as_json:
        print_json(_as_json(found))
    else:
        _print(found)


def _find(
    loaded: Given,
    name: str,
    count: int,
    threshold: float | None,
    choose: Choose,
    sample: int,
    with_curve: bool,
) -> Found:
    first = loaded.pairs[0]
    with working("capturing the model"):
        model = loaded.model()
    choice = None
    if name == AUTO:
        with progress("choosing an estimator by exact patches") as step:
            choice = circuits.choose_estimator(model, first, sample=sample, progress=step)
        name = choice.estimator.name
    with working("scoring components and edges"):
        scores = circuits.score(model, first, ("z", "mlp_out", "resid_pre"), estimator=name)
        parts = [circuits.edge_scores(model, pairs, estimator=name) for pairs in loaded.pairs]
        edges = merged(parts)
    with progress("verifying by exact patches") as step:
        scores = circuits.verify(model, first, scores, sample=sample, progress=step)
    found = _pick(edges, count, threshold, choose)
    with progress("measuring the circuit") as step:
        quality = circuits.quality(model, first, found, progress=step)
    curve = None
    if with_curve:
        with progress("measuring circuits of other sizes") as step:
            curve = circuits.curve(model, first, edges, choose=choose.value, progress=step)
    total = sum(len(part.clean) for part in parts)
    return Found(scores, edges, found, quality, curve, total, choice)


def _pick(
    edges: EdgeScores, count: int, threshold: float | None, choose: Choose
) -> circuits.Circuit:
    if threshold is not None:
        return circuits.by_threshold(edges, threshold)
    pick = circuits.greedy if choose is Choose.GREEDY else circuits.top_edges
    return pick(edges, min(count, len(edges)))


def _write(found: Found, loaded: Given, **files: Path | None) -> None:
    """Writes whatever was asked for."""
    wanted = {name: path for name, path in files.items() if path is not None}
    model = loaded.model()
    for path in wanted.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    if {"html", "plot"} & set(wanted):
        own = {s.short(): s.own for s in model.sites}
        drawing = circuits.arrange(found.circuit, tokens=loaded.tokens(), own=own)
        if "html" in wanted:
            wanted["html"].write_text(circuits.page(drawing, notes=tuple(_statements(found))))
        if "plot" in wanted:
            from ...circuits.drawing.figure import save as save_picture  # needs matplotlib

            save_picture(drawing, wanted["plot"])
    if "graphml" in wanted:
        circuits.write_graphml(found.circuit, wanted["graphml"])
    if "dot" in wanted:
        wanted["dot"].write_text(circuits.dot(found.circuit))
    if "eap" in wanted:
        circuits.write_eap_json(found.circuit, model, wanted["eap"])
    if "save" in wanted:
        found.scores.save(wanted["save"])
    found.written.extend(wanted.values())


def _statements(found: Found) -> Iterator[str]:
    """What the circuit is and how far to trust it, in plain sentences."""
    c, q = found.circuit, found.quality
    yield (
        f"{len(c)} of {len(found.edges)} edges ({c.share:.1%}), {len(c.components())} components,"
        f" {found.prompts} prompts. The circuit alone restores {q.faithfulness:.1%} of the"
        f" metric's difference; the model without it keeps {1 - q.completeness:.1%}."
    )
    if found.scores.verification is not None:
        yield found.scores.verification.statement


def _print(found: Found) -> None:
    if found.choice is not None:
        say(found.choice.table())
    scores = [(c.name, c.site.name, c.site.own, f"{s:+.3f}") for c, s in found.scores.top(12)]
    print_table("components", ("component", "hook", "the model's own name", "score#"), scores)
    edges = [(a, b, f"{s:+.3f}") for a, b, s in found.edges.top(12)]
    print_table("edges", ("from", "to", "score#"), edges)
    lost = sorted(found.quality.minimality.items(), key=lambda item: -item[1])
    print_table(
        "what the circuit loses without a component",
        ("component", "faithfulness lost#"),
        [(name, f"{value:+.3f}") for name, value in lost[:12]],
    )
    if found.curve is not None:
        _print_curve(found.curve)
    for line in _statements(found):
        say(line)
    for path in found.written:
        say(f"wrote {path}")
    if not found.written:
        note("--html, --plot, --graphml, --dot, --eap or --save writes the circuit to a file")


def _print_curve(curve: circuits.Curve) -> None:
    sizes = zip(curve.sizes, curve.edges, curve.faithfulness, strict=True)
    rows = [(f"{size:.1%}", str(count), f"{f:.3f}") for size, count, f in sizes]
    print_table("faithfulness by size", ("edges asked for#", "edges kept#", "faithfulness#"), rows)
    say(f"CPR {curve.cpr:.3f} (higher is better), CMD {curve.cmd:.3f} (lower is better)")


def _as_json(found: Found) -> dict[str, Any]:
    v = found.scores.verification
    return {
        "ok": True,
        "estimator": found.edges.estimator,
        "prompts": found.prompts,
        "metric": {
            "clean": float(found.edges.clean.mean()),
            "corrupt": float(found.edges.corrupt.mean()),
        },
        "components": _rows(("name", "hook", "own", "score"), found.scores),
        "edges": found.circuit.names(),
        "faithfulness": found.quality.faithfulness,
        "completeness": found.quality.completeness,
        "minimality": found.quality.minimality,
        "curve": None
        if found.curve is None
        else {
            "sizes": found.curve.sizes,
            "faithfulness": found.curve.faithfulness,
            "cpr": found.curve.cpr,
            "cmd": found.curve.cmd,
        },
        "verification": None
        if v is None
        else {"pearson": v.pearson, "rank": v.rank, "trust": v.trust.name, "says": v.statement},
        "files": [str(path) for path in found.written],
    }


def _rows(keys: Sequence[str], scores: circuits.Scores) -> list[dict[str, Any]]:
    found = [(c.name, c.site.name, c.site.own, s) for c, s in scores.top(50)]
    return [dict(zip(keys, row, strict=True)) for row in found]


@contextmanager
def progress(what: str) -> Iterator[Any]:
    """A bar on stderr, as a function (done, all); silent where stderr is no terminal."""
    console = stderr()
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
