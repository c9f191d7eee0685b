"""Run one case of a file of checks and return its report."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ..boundary.user_code import calling, iterating
from ..bring.class_names import NO_NAMES
from ..bring.targets import number_target
from ..checks.config import CheckCase
from ..checks.evidence import Evidence, Given, gather, split
from ..checks.finding import Finding, Report, Status
from ..checks.golden import Golden
from ..checks.run_all import judge, report_uncovered
from ..engine import Engine
from ..errors import CoverageError, InputError
from .array_files import load_inputs
from .bring_steps import is_checkpoint, load
from .console import note, working
from .image_files import is_image, read_images
from .model_argument import LoadedModel, named_object
from .subject_cases import engine_options, is_read_as_data, start_subject

MODEL_FILES = (".pt2", ".onnx")


def run_case(case: CheckCase, *, update: bool = False) -> Report:
    """Load, capture, explain and judge one case.

    Args:
        case: The model, its inputs and its budget.
        update: Write the golden result anew instead of comparing with it.

    Raises:
        LrpError: the model, its inputs or its target cannot be used.
    """
    _make_importable(case.folder)
    try:
        engine, batches = _start(case)
    except CoverageError as error:
        return report_uncovered(error, case.name)
    golden = Golden.load(case.golden) if case.golden and not update else None
    evidence = gather(engine, batches, position=case.position, golden=golden)
    report = judge(evidence, case.budget, case.name)
    return _update_golden(case, evidence, report) if update else report


def run_cases(
    cases: Sequence[CheckCase], tolerance: float | None = None, *, update: bool = False
) -> list[Report]:
    """Run cases one after another, with progress and the notes of each capture on stderr.

    `tolerance`, if given, replaces the residual limit of every case.
    """
    reports = []
    for case in cases:
        if tolerance is not None:
            case = replace(case, budget=replace(case.budget, residual=tolerance))
        with working(f"checking {case.name}"):
            report = run_case(case, update=update)
        for text in report.provenance.notes if report.provenance else ():
            note(f"{case.name}: {text}")
        reports.append(report)
    return reports


def _start(case: CheckCase) -> tuple[Engine, Iterator[Given]]:
    """Return the engine of a case, captured on its first batch, and all of its batches."""
    at = case.path(case.model)
    if is_checkpoint(str(at)):
        return start_subject(case, at)
    loaded = load(str(at) if case.model.endswith(MODEL_FILES) else case.model, case.settings)
    if not isinstance(loaded, LoadedModel):
        return start_subject(case, loaded)
    if is_read_as_data(case):
        return start_subject(case, loaded.model)
    batches = batches_of(case, loaded)
    first = next(batches, None)
    if first is None:
        raise InputError(f"{case.inputs} gives no batch")
    return engine_of(case, loaded, first), itertools.chain([first], batches)


def engine_of(case: CheckCase, loaded: LoadedModel, first: Given) -> Engine:
    """Return the engine of a case, captured on its first batch."""
    return Engine(loaded.model, first.inputs, **engine_options(case))


def batches_of(case: CheckCase, loaded: LoadedModel) -> Iterator[Given]:
    """Yield the case's inputs batch by batch, with its target where a batch has none."""
    for given in _batches(case, loaded):
        own = number_target(case.target, NO_NAMES) if given.target is None else given.target
        with_target = replace(given, target=own)
        yield from split(with_target, case.batch)


def _batches(case: CheckCase, loaded: LoadedModel) -> Iterable[Given]:
    if case.inputs is None:
        return [Given(load_inputs(None, loaded))]
    path = case.path(case.inputs)
    if ":" in case.inputs and not path.exists():
        return _batches_from(named_object(case.inputs))
    if not path.exists():
        raise InputError(f"there are no inputs {path}")
    if path.is_dir() or is_image(path):
        return [Given((read_images(path, case.images).to(loaded.like()),))]
    return [Given(load_inputs(path, loaded))]


def _batches_from(source: object) -> Iterable[Given]:
    """Call a function, go through an iterator or list, take anything else as one batch."""
    if callable(source) and not isinstance(source, torch.utils.data.DataLoader):
        with calling("the function that gives batches"):
            source = source()
    parts: Iterable[object] = [source]
    if isinstance(source, (Iterator, list, torch.utils.data.DataLoader)):
        parts = source
    given = iterating("the iterator that gives batches", parts)
    return (part if isinstance(part, Given) else Given(part) for part in given)


def _update_golden(case: CheckCase, evidence: Evidence, report: Report) -> Report:
    """Write the golden result, unless a check of the run itself failed."""
    ledger = evidence.ledger()
    if case.golden is None or ledger is None or not report.ok:
        reason = "no check names a golden result" if case.golden is None else "other checks failed"
        return _add(report, Finding("golden", Status.FAILED, f"not written: {reason}"))
    golden = Golden.of(evidence.engine, evidence.kept, ledger)
    written = golden.save(case.golden)
    again = judge(replace(evidence, golden=golden), case.budget, case.name)
    message = f"wrote {written}"
    return _add(again, Finding("golden", Status.PASSED, message))


def _add(report: Report, finding: Finding) -> Report:
    return replace(report, findings=(*report.findings, finding))


def _make_importable(folder: Path) -> None:
    """Put the folder of a file of checks on the path: its modules can be named in the file."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)
