"""Gather what a page tells of an explanation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import LrpError
from ..graphs.precision import rounding_tolerance
from ..markup import MOST_ROWS, Overview
from ..markup.numbers import plain
from ..method.references import find_papers
from ..plan.provenance import Provenance
from ..propagate.ledger import Account, Ledger
from ..show.balance import balance_of
from ..show.page import Content, Verdict
from ..show.questions import Question
from .told import Told

_NO_LEDGER = "The ledger was not computed: explain(..., ledger=True), or read explanation.ledger."


def content_of(explanation: Told, source: str | None = None, *, compute: bool) -> Content:
    """Return what a page tells of an explanation.

    Args:
        explanation: The explanation.
        source: The only source to show; None: all.
        compute: Compute output and ledger where they are not there yet. What cannot be computed
            any more is left out, and the page says why.
    """
    names = list(explanation.relevance) if source is None else [source]
    relevance = {n: explanation.relevance[n].detach().cpu().float() for n in names}
    explained = explanation.explained.detach().cpu().reshape(-1)
    ledger, said = _ledger(explanation, compute)
    provenance = explanation.provenance
    return Content(
        explained=explained,
        relevance=relevance,
        labels=explanation.labels,
        preset=provenance.preset,
        scores=_scores(explanation, explained, compute),
        balance=None if ledger is None else balance_of(ledger),
        no_balance=said,
        accounts=None if ledger is None else _accounts(ledger),
        verdict=_NOT_ASKED if ledger is None else _verdict(explanation),
        coverage=provenance.coverage,
        notes=provenance.notes,
        provenance=_provenance_rows(provenance),
        citations=[paper.line() for paper in find_papers(provenance.cites)],
    )


def _ledger(explanation: Told, compute: bool) -> tuple[Ledger | None, str]:
    """Return the ledger, or why there is none."""
    if explanation.stored_ledger is None and not compute:
        return None, _NO_LEDGER
    try:
        return explanation.ledger, ""
    except LrpError as error:
        return None, f"There is no ledger: {error}"


_NOT_ASKED: Verdict = Verdict(None, "check() was not run: it needs the ledger.")


def _verdict(explanation: Told) -> Verdict:
    try:
        explanation.check()
    except LrpError as error:
        return Verdict(False, f"check() fails. {type(error).__name__}: {error}")
    ledger = explanation.ledger
    worst = "" if ledger.worst is None else f"; the largest residual is {ledger.worst.error:.1e}"
    return Verdict(
        True,
        f"check() passes: {len(ledger.accounts)} accounts balance within {ledger.tolerance:.0e} of"
        f" their sum of |R|{worst}; relevance does not explode; no input is missing.",
    )


def _scores(explanation: Told, explained: Tensor, compute: bool) -> Tensor | None:
    """Return the scores (batch, classes) among which classes were explained.

    They are found by what they say: weighted as was asked, they are the explained numbers. None if
    no output says that, as where a difference of two runs was explained.
    """
    questions = explanation.labels.questions
    if not questions or not all(question.classes for question in questions):
        return None
    for output in pytree.tree_leaves(_output(explanation, compute)):
        scores = _at_positions(output, questions)
        if scores is not None and _are_explained(scores, questions, explained):
            return scores
    return None


def _output(explanation: Told, compute: bool) -> object:
    if explanation.compute_output is not None and not compute:
        return None
    try:
        return explanation.output
    except LrpError:
        return None


def _at_positions(output: object, questions: tuple[Question, ...]) -> Tensor | None:
    """Return an output where it was explained, (batch, classes); None if it has no classes."""
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return None
    if output.dim() < 2 or len(output) != len(questions):
        return None
    output = output.detach().cpu().float()
    if output.dim() == 2:
        return output
    positions = [question.position for question in questions]
    if output.dim() != 3 or None in positions:
        return None
    return output[torch.arange(len(output)), torch.tensor(positions)]


def _are_explained(scores: Tensor, questions: tuple[Question, ...], explained: Tensor) -> bool:
    """Return whether scores, weighted as was asked, are the explained numbers."""
    last = max(index for question in questions for index, _ in question.classes)
    if last >= scores.shape[1]:
        return False
    weights = torch.zeros_like(scores)
    for row, question in zip(weights, questions, strict=True):
        for index, weight in question.classes:
            row[index] = weight
    terms = scores * weights
    coarse = torch.float16 if explained.dtype.itemsize < torch.float32.itemsize else torch.float32
    slack = rounding_tolerance(coarse) * terms.abs().sum(1)
    return bool(((terms.sum(1) - explained).abs() <= slack).all())


def _accounts(ledger: Ledger) -> Overview:
    """Return the ops that absorbed most."""
    keeping = sorted(filter(_absorbed, ledger.accounts), key=lambda a: -abs(_absorbed(a)))
    return Overview(
        title="Ops that absorbed most",
        head=("op", "rule", "in", "why", "absorbed#"),
        rows=[
            (a.node, a.rule, a.place, ", ".join(a.absorbed), plain(_absorbed(a)))
            for a in keeping[:MOST_ROWS]
        ],
        left_out=max(0, len(keeping) - MOST_ROWS),
    )


def _absorbed(account: Account) -> float:
    return sum(account.absorbed.values())


def _provenance_rows(provenance: Provenance) -> list[tuple[str, str]]:
    return [
        ("lrp-engine", provenance.engine),
        ("torch", provenance.torch),
        ("preset", f"{provenance.preset}, {provenance.preset_hash}"),
        ("graph", provenance.graph_hash),
        ("captured", provenance.captured),
        ("dtype", provenance.dtype),
    ]
