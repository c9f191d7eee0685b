"""`lrp check`: coverage, conservation and drift, each held to its budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import data_options as d
from .. import options as o
from ..choices import REPORT_FORMATS
from ..console import reporting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...checks.config import CheckCase
    from ...checks.finding import Report

DEFAULT_FILE = Path("lrp.toml")
_FORMS = f"one of {', '.join(REPORT_FORMATS)}"

OptionalModel = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help=f"As elsewhere. Default: all of {DEFAULT_FILE}."),
]
InputsText = Annotated[
    str | None,
    typer.Option(help="Arrays, images, texts (.txt), a table (.csv), sound, or module:function."),
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Samples per explanation.")]
Tolerance = Annotated[
    float | None,
    typer.Option(min=0, help="Residual relative to an op's sum of |R|. Default: by the dtype."),
]
Unreached = Annotated[
    int | None,
    typer.Option(min=0, help="Inputs that may count and be explained nowhere. Default: 0."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(help="TOML with budgets and, if MODEL is left out, what to check."),
]
OnlyNames = Annotated[list[str] | None, typer.Option(help="Of the file, only this check.")]
GoldenPath = Annotated[
    Path | None, typer.Option(help="Golden result to compare with: path without ending.")
]
UpdateFlag = Annotated[bool, typer.Option("--update", help="Write golden results anew.")]
ReportFormat = Annotated[str, typer.Option("--format", help=f"What is printed: {_FORMS}.")]
ReportFiles = Annotated[
    list[str] | None,
    typer.Option(metavar="FORMAT=FILE", help="Write a report, too; may be given repeatedly."),
]


def check(
    model: OptionalModel = None,
    inputs: InputsText = None,
    target: d.TargetName = None,
    target_json: d.NamedTargetJson = None,
    position: o.TargetPosition = None,
    preset: o.PresetName = o.CHECKED_PRESET,
    source: o.SourceNames = None,
    output_name: o.OutputName = None,
    batch: BatchSize = None,
    tolerance: Tolerance = None,
    unreached: Unreached = None,
    config: ConfigFile = None,
    only: OnlyNames = None,
    golden: GoldenPath = None,
    update: UpdateFlag = False,
    form: ReportFormat = "terminal",
    report: ReportFiles = None,
    as_json: o.AsJson = False,
    debug: o.Debug = False,
) -> None:
    """Check coverage, conservation and drift. Exit code 0 only if every check passes.

    With MODEL, checks that model; without, every [[check]] of lrp.toml or --config.
    """
    outputs = [("json" if as_json else form, None), *map(_parse_output, report or [])]
    _refuse_unknown([name for name, _ in outputs])
    with reporting(outputs[0][0] == "json", debug):
        if model is None:
            cases = _cases_of_file(config, only)
        else:
            from ...checks.config import CheckCase

            case = CheckCase(
                name=model,
                model=model,
                inputs=inputs,
                target=d.named_target_of(target, target_json, None),
                position=position,
                preset=preset,
                sources=tuple(source or ()),
                output=output_name,
                batch=batch,
                golden=golden,
            )
            cases = [_with_budget(case, config)]
        from ..check_cases import run_cases

        cases = [_allowing(case, unreached) for case in cases]
        reports = run_cases(cases, tolerance, update=update)
    _write_all(reports, outputs)


def _refuse_unknown(forms: Sequence[str]) -> None:
    for name in forms:
        if name not in REPORT_FORMATS:
            raise typer.BadParameter(f"unknown report format {name!r}; choose {_FORMS}")


def _with_budget(case: CheckCase, config: Path | None) -> CheckCase:
    from ...checks.config import read_budget

    return case if config is None else replace(case, budget=read_budget(config))


def _allowing(case: CheckCase, unreached: int | None) -> CheckCase:
    """Return the case with this limit in the place of its budget's, if one is given."""
    if unreached is None:
        return case
    return replace(case, budget=replace(case.budget, unreached=unreached))


def _cases_of_file(config: Path | None, only: list[str] | None) -> Sequence[CheckCase]:
    from ...checks.config import read_cases

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
        raise typer.BadParameter(f"{file} has no check {', '.join(missing)}; choose from: {known}")
    return chosen


def _parse_output(text: str) -> tuple[str, Path | None]:
    """Split `junit=report.xml` into format and file; a dash is stdout (None)."""
    name, equals, path = text.partition("=")
    if not equals or not path:
        raise typer.BadParameter(f"{text!r} is not of the form FORMAT=FILE", param_hint="--report")
    return name, None if path == "-" else Path(path)


def _write_all(reports: Sequence[Report], outputs: Sequence[tuple[str, Path | None]]) -> None:
    from ...checks.reports import FORMATS

    for name, path in outputs:
        _write(FORMATS[name](reports), path)
    if not all(r.ok for r in reports):
        raise typer.Exit(1)


def _write(text: str, path: Path | None) -> None:
    if path is None:
        typer.echo(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
