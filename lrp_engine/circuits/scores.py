"""Scores: one number per component, prompt and position, with their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from .agreement import Verification
from .sites import Kind, Site


class Direction(Enum):
    """Which run is patched. Either way a positive score moves the metric towards the clean run.

    DENOISE: coefficient on the corrupt run times (clean - corrupt); the exact score is the metric
    of the corrupt run with the clean activation, less that without (RelP's choice).
    NOISE: coefficient on the clean run times (clean - corrupt); the exact score is the metric of
    the clean run less that with the corrupt activation.
    """

    DENOISE = "denoise"
    NOISE = "noise"


@dataclass(frozen=True)
class Component:
    """One scored thing: a site, a position (None: all), a head or neuron (None: all)."""

    site: Site
    position: int | None = None
    unit: int | None = None

    @property
    def name(self) -> str:
        """The short name, with the position if there is one: `a5.h3@14`."""
        where = "" if self.position is None else f"@{self.position}"
        return self.site.short(self.unit) + where


@dataclass(frozen=True)
class Scores:
    """`values[name]` has shape (batch, position) or (batch, position, unit).

    score = sum over features of c * (clean - corrupt activation), in units of the metric. NaN marks
    what was not measured. `clean` and `corrupt` are the metric of the two runs, per prompt;
    `verification` is filled in by `verify`.
    """

    estimator: str
    direction: Direction
    sites: tuple[Site, ...]
    values: Mapping[str, Tensor]
    clean: Tensor
    corrupt: Tensor
    notes: tuple[str, ...] = ()
    verification: Verification | None = None

    def __getitem__(self, name: str) -> Tensor:
        """The scores at a site, by hook name: (batch, position[, unit])."""
        return self.values[name]

    @property
    def gap(self) -> float:
        """Mean metric of the clean runs less that of the corrupt runs."""
        return float((self.clean - self.corrupt).mean())

    def mean(self) -> dict[str, Tensor]:
        """Scores by site, averaged over prompts: (position[, unit])."""
        return {name: v.mean(0) for name, v in self.values.items()}

    def over_positions(self) -> dict[str, Tensor]:
        """Scores by site, averaged over prompts and summed over positions: () or (unit,)."""
        return {name: v.sum(0) if v.dim() else v for name, v in self.mean().items()}

    def grid(self, kind: Kind | str) -> tuple[list[str], Tensor]:
        """(row names, mean scores (row, position)) of a kind: a row per layer, head by head."""
        names, rows = [], []
        for site in self.sites:
            if site.kind is Kind(kind):
                v = self.values[site.name].mean(0)
                heads = [None] if v.dim() == 1 else range(v.shape[1])
                for unit in heads:
                    names.append(site.short(unit))
                    rows.append(v if unit is None else v[:, unit])
        if not rows:
            raise InputError(f"there are no scores of kind {Kind(kind).value!r} here")
        return names, torch.stack(rows)

    def components(self) -> Iterator[tuple[Component, float]]:
        """Every component with its mean score; what was not measured is left out."""
        for site in self.sites:
            v = self.values[site.name].mean(0)
            for place in torch.nonzero(~torch.isnan(v)).tolist() if v.dim() else [[]]:
                yield Component(site, *place), float(v[tuple(place)])

    def top(self, count: int = 10) -> list[tuple[Component, float]]:
        """The components of largest absolute score, largest first."""
        return sorted(self.components(), key=lambda found: -abs(found[1]))[:count]

    def table(self, count: int = 10) -> str:
        """The `top` components as text: short name, the model's own name, score."""
        rows = [(c.name, c.site.own, f"{score:+.4f}") for c, score in self.top(count)]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = ["  ".join(x.ljust(w) for x, w in zip(r, widths, strict=True)) for r in rows]
        return "\n".join([f"{self.estimator}: score by component", *lines])

    def save(self, path: str | Path) -> None:
        """Writes values and metrics as safetensors, with names and settings as metadata."""
        from safetensors.torch import save_file

        tensors = {name: v.contiguous() for name, v in self.values.items()}
        own = {f"own:{s.name}": s.own for s in self.sites}
        extra = {"metric:clean": self.clean, "metric:corrupt": self.corrupt}
        settings = {"estimator": self.estimator, "direction": self.direction.value}
        save_file(tensors | extra, path, metadata=own | settings)


def together(parts: Sequence[Scores]) -> Scores:
    """Scores of several batches of equal length as one. Raises InputError if they do not fit."""
    first = parts[0]
    shapes = [{name: v.shape[1:] for name, v in p.values.items()} for p in parts]
    if any(s != shapes[0] for s in shapes) or any(p.estimator != first.estimator for p in parts):
        raise InputError(
            "scores of different lengths, components or estimators cannot be put together;"
            " sum them over positions first (over_positions)"
        )
    return Scores(
        first.estimator,
        first.direction,
        first.sites,
        {name: torch.cat([p.values[name] for p in parts]) for name in first.values},
        torch.cat([p.clean for p in parts]),
        torch.cat([p.corrupt for p in parts]),
        first.notes,
    )
