"""Print an explanation on the terminal, or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import ConservationError
from ..results.explanation import Explanation
from .console import note, print_table, say
from .tables import balance_line, print_ledgers

_MOST_SAMPLES = 8


def print_explanation(explanation: Explanation, written: list[Path]) -> None:
    """Print the explained numbers, where they went, and what was written."""
    _print_samples(explanation)
    print_ledgers({explanation.provenance.preset: explanation.ledger})
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
    labels = explanation.labels
    named = bool(labels.samples)
    rows = [
        (
            labels.samples[i] if named else str(i),
            labels.question(i).text(labels.class_names),
            f"{number:.6g}",
            *(_strongest(explanation, name, i) for name in sources),
        )
        for i, number in enumerate(numbers[:_MOST_SAMPLES])
    ]
    places = (f"strongest in {name}" for name in sources)
    head = ("sample" if named else "sample#", "question", "explained#", *places)
    print_table("explained", head, rows)
    if len(numbers) > _MOST_SAMPLES:
        say(f"... and {len(numbers) - _MOST_SAMPLES} more samples")


def _strongest(explanation: Explanation, source: str, sample: int) -> str:
    """Return where the largest entry of a sample is, by its name where it has one."""
    relevance = explanation.relevance[source]
    if relevance.dim() < 2 or sample >= len(relevance):
        return ""
    own = relevance[sample]
    # Axes without a meaning of their own are summed: features of a token, channels of an image.
    own = own.sum(-1) if own.dim() == 2 else own.sum(0) if own.dim() == 3 else own
    place = int(own.flatten().abs().argmax())
    where = ", ".join(str(int(i)) for i in _unravel(place, own.shape))
    name = _name_of(explanation, source, sample, place) if own.dim() == 1 else ""
    return f"{name or f'[{where}]'}: {float(own.flatten()[place]):.4g}"


def _name_of(explanation: Explanation, source: str, sample: int, place: int) -> str:
    """Return the word or feature at a place; empty if there is none."""
    known = explanation.labels.of(source)
    if sample < len(known.words):
        return repr(known.words[sample][place].text)
    return known.feature_names[place] if place < len(known.feature_names) else ""


def _unravel(place: int, shape: Sequence[int]) -> list[int]:
    found = []
    for size in reversed(shape):
        place, rest = divmod(place, size)
        found.append(rest)
    return found[::-1]


def explanation_as_json(
    explanation: Explanation, written: list[Path], problem: ConservationError | None
) -> dict[str, object]:
    """Return an explanation as plain data: sums of relevance, and relevance of every word."""
    labels = explanation.labels
    asked = [labels.question(i).text(labels.class_names) for i in range(len(explanation))]
    return {
        "ok": problem is None,
        "problem": str(problem) if problem else None,
        "explained": explanation.explained.reshape(-1).tolist(),
        "samples": list(labels.samples),
        "questions": asked,
        "relevance": {name: _source_as_json(explanation, name) for name in explanation.relevance},
        "ledger": explanation.ledger.as_dict(),
        "provenance": explanation.provenance.as_dict(),
        "files": [str(path) for path in written],
    }


def _source_as_json(explanation: Explanation, name: str) -> dict[str, object]:
    relevance, labels = explanation.relevance[name], explanation.labels.of(name)
    found: dict[str, object] = {
        "shape": list(relevance.shape),
        "sum_per_sample": relevance.double().reshape(len(relevance), -1).sum(1).tolist(),
    }
    if labels.words and relevance.dim() == 3:
        amounts = relevance.double().sum(-1).tolist()
        found["words"] = [
            [[p.text, r] for p, r in zip(pieces, row, strict=True) if not p.padding]
            for pieces, row in zip(labels.words, amounts, strict=True)
        ]
    if labels.feature_names and relevance.dim() == 2:
        rows = relevance.double().tolist()
        found["features"] = [dict(zip(labels.feature_names, r, strict=True)) for r in rows]
    return found
