"""`lrp check`: coverage, conservation and drift, each held to its budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ...checks.config import Case, read_budget, read_cases
from ...checks.finding import Report
from ...checks.reports import FORMATS
from .. import options as o
from ..check_cases import report_of
from ..console import note, reporting, working

DEFAULT_FILE = Path("lrp.toml")
_FORMS = f"one of {', '.join(FORMATS)}"


def check(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help=f"As elsewhere. Default: all of {DEFAULT_FILE}."),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(help="Arrays (.npz, .safetensors, .pt), images, or module:function."),
    ] = None,
    target: o.TargetText = None,
    target_json: o.TargetJson = None,
    position: o.Position = None,
    preset: o.PresetName = o.DEFAULT_PRESET,
    source: o.Sources = None,
    output_name: o.OutputName = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Samples per explanation.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Residual relative to an op's sum of |R|. Default: by the dtype."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML with budgets and, if MODEL is left out, what to check."),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Of the file, only this check.")] = None,
    golden: Annotated[
        Path | None, typer.Option(help="Golden result to compare with: path without ending.")
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Write golden results anew.")] = False,
    form: Annotated[str, typer.Option("--format", help=f"What is printed: {_FORMS}.")] = "terminal",
    report: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT=FILE", help="Write a report, too; may be given repeatedly."),
    ] = None,
    as_json: o.AsJson = False,
) -> None:
    """Check coverage, conservation and drift. Exit code 0 only if every check passes.

    With MODEL, checks that model; without, every [[check]] of lrp.toml or --config.
    """
    wanted = [("json" if as_json else form, None), *map(_file, report or [])]
    _refuse_unknown([name for name, _ in wanted])
    with reporting(wanted[0][0] == "json"):
        if model is None:
            cases = _of_file(config, only)
        else:
            case = Case(
                name=model,
                model=model,
                inputs=inputs,
                target=o.target_of(target, target_json),
                position=position,
                preset=preset,
                sources=tuple(source or ()),
                output=output_name,
                batch=batch,
                golden=golden,
            )
            cases = (case if config is None else replace(case, budget=read_budget(config)),)
        reports = list(_reports(cases, tolerance, update))
    for name, path in wanted:
        _write(FORMATS[name](reports), path)
    if not all(r.ok for r in reports):
        raise typer.Exit(1)


def _refuse_unknown(forms: Sequence[str]) -> None:
    for name in forms:
        if name not in FORMATS:
            raise typer.BadParameter(f"there is no report {name!r}, only {_FORMS}")


def _reports(cases: Sequence[Case], tolerance: float | None, update: bool) -> Iterator[Report]:
    for case in cases:
        if tolerance is not None:
            case = replace(case, budget=replace(case.budget, residual=tolerance))
        with working(f"checking {case.name}"):
            found = report_of(case, update=update)
        for text in found.provenance.notes if found.provenance else ():
            note(f"{case.name}: {text}")
        yield found


def _of_file(config: Path | None, only: list[str] | None) -> Sequence[Case]:
    file = config or DEFAULT_FILE
    if config is None and not file.is_file():
        raise typer.BadParameter(f"name a MODEL, or write {DEFAULT_FILE} with a [[check]]")
    cases = read_cases(file)
    if not only:
        return cases
    chosen = [case for case in cases if case.name in only]
    missing = sorted(set(only) - {case.name for case in chosen})
    if missing:
        known = ", ".join(case.name for case in cases)
        raise typer.BadParameter(f"{file} has no check {', '.join(missing)}; there is {known}")
    return chosen


def _file(text: str) -> tuple[str, Path | None]:
    """`junit=report.xml`; a dash is stdout."""
    name, equals, path = text.partition("=")
    if not equals or not path:
        raise typer.BadParameter(f"{text!r} is not of the form FORMAT=FILE", param_hint="--report")
    return name, None if path == "-" else Path(path)


def _write(text: str, path: Path | None) -> None:
    if path is None:
        typer.echo(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
