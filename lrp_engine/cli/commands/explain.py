"""`lrp explain`: relevance of a model's inputs for one output, on the terminal and in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as o
from ..console import (
    note,
    print_json,
    print_table,
    report,
    reporting,
    say,
    working,
)
from ..tables import balance_line, print_ledgers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...errors import ConservationError
    from ...results.explanation import Explanation

_MOST_SAMPLES = 8


def explain(
    model: o.ModelName,
    inputs: o.InputFile = None,
    target: o.TargetText = None,
    target_json: o.TargetJson = None,
    position: o.TargetPosition = None,
    preset: o.PresetName = o.DEFAULT_PRESET,
    source: o.SourceNames = None,
    output_name: o.OutputName = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="Explain what the last softmax or sigmoid reads.")
    ] = False,
    setting: o.SettingTexts = None,
    seed: o.DrawSeed = None,
    reference: o.ReferenceText = None,
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
    chosen = o.target_of(target, target_json)
    if scores and output_name is not None:
        raise typer.BadParameter("give --output-name or --scores, not both")
    output_name = "scores" if scores else output_name
    bound = o.settings_of(setting)
    with reporting(as_json, debug):
        from .. import shared_steps
        from ..output_files import OutputFiles, write

        files = OutputFiles(save, plot, html, sample)
        engine, given = shared_steps.prepare(model, inputs, preset, source, output_name, bound)
        base = shared_steps.read_reference(model, reference, bound)
        explanation = shared_steps.explain(engine, given, chosen, position, seed, base)
        with working("writing"):
            written = write(explanation, files, engine, given)
    problem = shared_steps.imbalance(explanation)
    if as_json:
        print_json(_as_json(explanation, written, problem))
    else:
        _print(explanation, preset, written)
    if problem:
        report(problem)
        raise typer.Exit(1)


def _print(explanation: Explanation, preset: str, written: list[Path]) -> None:
    _print_samples(explanation)
    print_ledgers({preset: explanation.ledger})
    say(f"ledger: {balance_line(explanation.ledger)}")
    say(explanation.provenance.coverage)
    for remark in explanation.provenance.notes:
        say(f"note: {remark}")
    for path in written:
        say(f"wrote {path}")
    if not written:
        note("--save, --plot or --html writes the relevance to a file")


def _print_samples(explanation: Explanation) -> None:
    """Print the explained number of every sample, and its largest entry per source."""
    numbers = explanation.explained.reshape(-1).tolist()
    sources = list(explanation.relevance)
    rows = [
        (str(i), f"{number:.6g}", *(_strongest(explanation, name, i) for name in sources))
        for i, number in enumerate(numbers[:_MOST_SAMPLES])
    ]
    head = ("sample#", "explained#", *(f"strongest in {name}" for name in sources))
    print_table("explained", head, rows)
    if len(numbers) > _MOST_SAMPLES:
        say(f"... and {len(numbers) - _MOST_SAMPLES} more samples")


def _strongest(explanation: Explanation, source: str, sample: int) -> str:
    relevance = explanation.relevance[source]
    if relevance.dim() < 2 or sample >= len(relevance):
        return ""
    own = relevance[sample]
    # Axes without a meaning of their own are summed: features of a token, channels of an image.
    own = own.sum(-1) if own.dim() == 2 else own.sum(0) if own.dim() == 3 else own
    place = int(own.flatten().abs().argmax())
    where = ", ".join(str(int(i)) for i in _unravel(place, own.shape))
    return f"[{where}]: {float(own.flatten()[place]):.4g}"


def _unravel(place: int, shape: Sequence[int]) -> list[int]:
    found = []
    for size in reversed(shape):
        place, rest = divmod(place, size)
        found.append(rest)
    return found[::-1]


def _as_json(
    explanation: Explanation, written: list[Path], problem: ConservationError | None
) -> dict[str, object]:
    relevance = {
        name: {
            "shape": list(r.shape),
            "sum_per_sample": r.double().reshape(len(r), -1).sum(1).tolist(),
        }
        for name, r in explanation.relevance.items()
    }
    return {
        "ok": problem is None,
        "problem": str(problem) if problem else None,
        "explained": explanation.explained.reshape(-1).tolist(),
        "relevance": relevance,
        "ledger": explanation.ledger.as_dict(),
        "provenance": explanation.provenance.as_dict(),
        "files": [str(path) for path in written],
    }
