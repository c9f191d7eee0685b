"""Say how far explanations under several presets agree."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from torch import Tensor

from ..errors import InputError
from ..results.by_source import find_source
from ..results.comparison import compare
from ..results.explanation import Explanation
from ..show.agreement import pearson, rank_correlation

_WITH_AXES_TO_SUM = 2


def compared_maps(
    found: Mapping[str, Explanation], source: str | None, sample: int
) -> dict[str, Tensor]:
    """Return the relevance of one sample per preset, features of tokens and channels summed.

    Raises InputError if there is no such sample or source.
    """
    maps = {}
    for name, one in found.items():
        if sample >= len(one):
            raise InputError(f"there is no sample {sample}: the batch has {len(one)}")
        own = one.relevance[find_source(one.relevance, source)][sample]
        maps[name] = own.sum(-1) if own.dim() == _WITH_AXES_TO_SUM else own
    return maps


def comparison_as_json(
    found: Mapping[str, Explanation], maps: Mapping[str, Tensor], plot: Path | None
) -> dict[str, object]:
    """Return explained numbers per preset, and the correlation of every pair, as plain data."""
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
        "files": [] if plot is None else [str(plot)],
    }


def draw_comparison(
    found: Mapping[str, Explanation], source: str | None, sample: int, path: Path
) -> None:
    """Draw the maps side by side into a file. Raises InputError if it cannot be written."""
    figure = compare(dict(found), source, sample)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be written: {error}") from error
