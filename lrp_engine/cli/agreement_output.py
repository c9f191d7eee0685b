"""Say how far explanations under several presets, or of several models, agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import InputError
from ..results.comparison import compare
from ..results.comparison_page import write_comparison
from ..results.explanation import Explanation
from ..show.agreement import pearson, rank_correlation
from .console import working
from .output_files import OutputFiles

Maps = Mapping[str, Tensor]


class Comparison(NamedTuple):
    """Explanations of the same data, by what differs: the preset, the model, or both."""

    found: dict[str, Explanation]
    source: str | None
    sample: int


def explain_all(
    subjects: Mapping[str, Any], data: Mapping[str, Any], presets: Sequence[str], **question: Any
) -> dict[str, Explanation]:
    """Explain each model's data under each preset, with ledgers.

    Args:
        subjects: By model.
        data: By model, as each reads them.
        presets: Their names.
        question: Target and position.
    """
    found: dict[str, Explanation] = {}
    for model, preset in product(subjects, presets):
        parts = [model] * (len(subjects) > 1) + [preset] * (len(presets) > 1 or len(subjects) < 2)
        name = " ".join(parts)
        with working(f"explaining by {name}"):
            subjects = {**subjects, model: subjects[model].with_preset(preset)}
            found[name] = subjects[model].explain(data[model], ledger=True, **question)
    return found


def comparison_as_json(
    found: Mapping[str, Explanation], maps: Maps, files: Sequence[Path]
) -> dict[str, object]:
    """Return explained numbers, and the correlation of every pair, as plain data."""
    pairs = [
        {
            "presets": [a, b],
            "pearson": pearson(maps[a], maps[b]),
            "rank": rank_correlation(maps[a], maps[b]),
        }
        for a, b in combinations(maps, 2)
    ]
    return {
        "ok": True,
        "explained": {name: one.explained.reshape(-1).tolist() for name, one in found.items()},
        "agreement": pairs,
        "files": [str(path) for path in files],
    }


def write_files(made: Comparison, files: OutputFiles) -> list[Path]:
    """Draw the maps side by side, write a page of all samples; return what was written.

    Raises InputError if a file cannot be written.
    """
    written = []
    try:
        if files.plot is not None:
            compare(made.found, made.source, made.sample).savefig(files.plot)
            written.append(files.plot)
        if files.html is not None:
            written.append(write_comparison(files.html, made.found, made.source))
    except (OSError, ValueError) as error:
        raise InputError(f"a file cannot be written: {error}") from error
    return written
