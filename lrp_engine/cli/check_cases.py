"""One case of a file of checks -> its report."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..checks.config import Case
from ..checks.evidence import (
    Evidence,
    Given,
    gather,
    split,
)
from ..checks.finding import Finding, Report, Status
from ..checks.golden import Golden
from ..checks.run_all import judge, report_uncovered
from ..engine import Engine
from ..errors import CoverageError, InputError
from .array_files import load_inputs
from .image_files import is_image, read_images
from .model_argument import Loaded, load_model, named_object

FILES = (".pt2", ".onnx")


def report_of(case: Case, *, update: bool = False) -> Report:
    """Loads, captures, explains and judges; with `update` the golden result is written anew.

    Raises LrpError for models, inputs and targets that are no good.
    """
    _importable(case.folder)
    loaded = load_model(str(case.path(case.model)) if case.model.endswith(FILES) else case.model)
    batches = batches_of(case, loaded)
    first = next(batches, None)
    if first is None:
        raise InputError(f"{case.inputs} gives no batch")
    try:
        engine = engine_of(case, loaded, first)
    except CoverageError as error:
        return report_uncovered(error, case.name)
    golden = Golden.load(case.golden) if case.golden and not update else None
    every = itertools.chain([first], batches)
    evidence = gather(engine, every, position=case.position, golden=golden)
    report = judge(evidence, case.budget, case.name)
    return _updated(case, evidence, report) if update else report


def engine_of(case: Case, loaded: Loaded, first: Given) -> Engine:
    """The engine of a case, captured on its first batch."""
    preset = case.path(case.preset) if case.preset.endswith(".toml") else case.preset
    return Engine(
        loaded.model,
        first.inputs,
        preset=preset,
        sources=case.sources or None,
        output=case.output,
        rules=[named_object(rule) for rule in case.rules],
    )


def batches_of(case: Case, loaded: Loaded) -> Iterator[Given]:
    """The case's inputs, batch by batch; targets of the case where a batch has none."""
    for given in _given(case, loaded):
        asked = given if given.target is not None else replace(given, target=case.target)
        yield from split(asked, case.batch)


def _given(case: Case, loaded: Loaded) -> Iterable[Given]:
    if case.inputs is None:
        return [Given(load_inputs(None, loaded))]
    path = case.path(case.inputs)
    if ":" in case.inputs and not path.exists():
        return _from_code(named_object(case.inputs))
    if not path.exists():
        raise InputError(f"there are no inputs {path}")
    if path.is_dir() or is_image(path):
        return [Given((read_images(path, case.images).to(loaded.like()),))]
    return [Given(load_inputs(path, loaded))]


def _from_code(found: Any) -> Iterable[Given]:
    """A function is called; an iterator or list is batch by batch; anything else is one batch."""
    if callable(found) and not isinstance(found, torch.utils.data.DataLoader):
        found = found()
    several = isinstance(found, (Iterator, list, torch.utils.data.DataLoader))
    parts: Iterable[Any] = found if several else [found]
    return (part if isinstance(part, Given) else Given(part) for part in parts)


def _updated(case: Case, evidence: Evidence, report: Report) -> Report:
    """Writes the golden result, unless a check of the run itself failed."""
    ledger = evidence.ledger()
    if case.golden is None or ledger is None or not report.ok:
        reason = "no check names a golden result" if case.golden is None else "other checks failed"
        return _with(report, Finding("golden", Status.FAILED, f"not written: {reason}"))
    golden = Golden.of(evidence.engine, evidence.kept, ledger)
    text, tensors = golden.save(case.golden)
    again = judge(replace(evidence, golden=golden), case.budget, case.name)
    message = f"wrote {text} and {tensors.name}"
    return _with(again, Finding("golden", Status.PASSED, message))


def _with(report: Report, finding: Finding) -> Report:
    return replace(report, findings=(*report.findings, finding))


def _importable(folder: Path) -> None:
    """The modules beside a file of checks can be named in it."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)
