"""Hold scores: one number per component, prompt and position, with their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import torch
from torch import Tensor

from ..boundary.writing import require_ending, write_safetensors
from ..errors import InputError
from ..markup import MOST_ROWS, Overview, Shown
from ..markup.numbers import signed
from .agreement import Verification
from .magnitudes import CutSums
from .sites import Site, SiteKind


class Direction(Enum):
    """The run that is patched. Either way a positive score moves the metric towards the clean run.

    DENOISE: coefficient on the corrupt run times (clean - corrupt); the exact score is the metric
    of the corrupt run with the clean activation, less that without (RelP's choice).
    NOISE: coefficient on the clean run times (clean - corrupt); the exact score is the metric of
    the clean run less that with the corrupt activation.
    """

    DENOISE = "denoise"
    NOISE = "noise"


@dataclass(frozen=True)
class Component:
    """One thing that has a score: a site, a position (None: all), a head or neuron (None: all)."""

    site: Site
    position: int | None = None
    unit: int | None = None

    @property
    def index(self) -> tuple[int, ...]:
        """The index of its mean score among those of its site: (position[, unit])."""
        return tuple(i for i in (self.position, self.unit) if i is not None)

    @property
    def name(self) -> str:
        """The short name, with the position if there is one: `a5.h3@14`."""
        where = "" if self.position is None else f"@{self.position}"
        return self.site.short_name(self.unit) + where


@dataclass(frozen=True, repr=False)
class Scores(Shown):
    """Scores of components: score = sum over features of c * (clean - corrupt activation).

    `values[name]`, in units of the metric, is (batch, position) or (batch, position, unit); NaN
    marks what was not measured. `clean` and `corrupt`, (batch,), are the metric of the two runs;
    `verification` is filled in by `verify`. `cuts` names the sites that are full cuts of the graph.

    At a full cut the scores of `delta` sum to the effect of all patches together, `gap`. Those of
    other estimators need not: on trained language models the scores of one layer's `resid_pre`,
    summed over positions, came to 1.3 to 2.1 times the gap for `relp_mid`, 1.1 to 1.4 for `relp_ig`
    and 0.85 to 0.92 for `relp`. `cut_sums` tells; `notes` warns where they are far off.
    """

    estimator: str
    direction: Direction
    sites: tuple[Site, ...]
    values: Mapping[str, Tensor]
    clean: Tensor
    corrupt: Tensor
    notes: tuple[str, ...] = ()
    verification: Verification | None = None
    cuts: tuple[tuple[str, ...], ...] = ()

    def __getitem__(self, name: str) -> Tensor:
        """Return the scores at a site, by hook name: (batch, position[, unit])."""
        return self.values[name]

    def of(self, component: Component) -> Tensor:
        """Return a component's score for each prompt, (batch,)."""
        place: tuple[int | slice, ...] = (slice(None), *component.index)
        return self.values[component.site.name][place]

    @property
    def gap(self) -> float:
        """Mean metric of the clean runs less that of the corrupt runs."""
        return float((self.clean - self.corrupt).mean())

    @property
    def cut_sums(self) -> CutSums:
        """The sum of all scores at each full cut, beside the gap; per prompt."""
        sums = {
            " + ".join(cut): torch.stack([_per_prompt(self.values[n]) for n in cut]).sum(0)
            for cut in self.cuts
        }
        return CutSums(sums, self.clean - self.corrupt)

    def mean(self) -> dict[str, Tensor]:
        """Average over prompts, site by site: (position[, unit])."""
        return {name: v.mean(0) for name, v in self.values.items()}

    def over_positions(self) -> dict[str, Tensor]:
        """Average over prompts and sum over positions, site by site: () or (unit,)."""
        return {name: v.sum(0) if v.dim() else v for name, v in self.mean().items()}

    def grid(self, kind: SiteKind | str) -> tuple[list[str], Tensor]:
        """Return the mean scores of a kind as a table: a row per layer, head by head.

        Returns:
            The short names of the rows, and the scores, (row, position).

        Raises:
            InputError: no site of this kind was scored.
        """
        names, rows = [], []
        for site in self.sites:
            if site.kind is SiteKind(kind):
                v = self.values[site.name].mean(0)
                heads = [None] if v.dim() == 1 else range(v.shape[1])
                for unit in heads:
                    names.append(site.short_name(unit))
                    rows.append(v if unit is None else v[:, unit])
        if not rows:
            known = ", ".join(sorted({s.kind.value for s in self.sites}))
            raise InputError(f"no scores of kind {SiteKind(kind).value!r}; choose from: {known}")
        return names, torch.stack(rows)

    def components(self) -> Iterator[tuple[Component, float]]:
        """Yield every component with its mean score; what was not measured is left out."""
        for site in self.sites:
            v = self.values[site.name].mean(0)
            for place in torch.nonzero(~torch.isnan(v)).tolist() if v.dim() else [[]]:
                yield Component(site, *place), float(v[tuple(place)])

    def top(self, count: int = 10) -> list[tuple[Component, float]]:
        """Return the `count` components of largest absolute mean score, largest first."""
        return sorted(self.components(), key=lambda found: -abs(found[1]))[:count]

    def table(self, count: int = 10) -> str:
        """Write the `top` components as text: short name, the model's own name, score.

        The sum at full cuts follows, if there are any, and the notes.
        """
        rows = [(c.name, c.site.own_name, f"{score:+.4f}") for c, score in self.top(count)]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = ["  ".join(x.ljust(w) for x, w in zip(r, widths, strict=True)) for r in rows]
        said = [self.cut_sums.statement or "", *self.notes]
        return "\n".join([f"{self.estimator}: score by component", *lines, *filter(None, said)])

    def overview(self) -> Overview:
        """Return the components of largest score, what was verified, and the notes."""
        count = sum(v[0].numel() for v in self.values.values())
        said = [] if self.verification is None else [self.verification.statement]
        return Overview(
            title=f"scores of {count} components by {self.estimator}, {self.direction.value}",
            facts=(
                ("prompts", str(len(self.clean))),
                ("metric", f"{signed(self.gap)} from corrupt to clean, on average"),
            ),
            head=("component", "in the model", "mean score#"),
            rows=[(c.name, c.site.own_name, signed(score)) for c, score in self.top(MOST_ROWS)],
            left_out=max(0, count - MOST_ROWS),
            notes=[*said, *filter(None, [self.cut_sums.statement]), *self.notes],
        )

    def save(self, path: str | Path) -> None:
        """Write values and metrics as safetensors, with names and settings as metadata.

        Raises InputError unless the path ends in `.safetensors`.
        """
        require_ending(path, [".safetensors"])
        tensors = {name: v.contiguous() for name, v in self.values.items()}
        own = {f"own:{s.name}": s.own_name for s in self.sites}
        extra = {"metric:clean": self.clean, "metric:corrupt": self.corrupt}
        settings = {"estimator": self.estimator, "direction": self.direction.value}
        write_safetensors(path, tensors | extra, own | settings)


def _per_prompt(values: Tensor) -> Tensor:
    """Return the sum of a site's scores for each prompt, (batch,)."""
    return values.reshape(len(values), -1).sum(1)


def merge_scores(parts: Sequence[Scores]) -> Scores:
    """Concatenate scores of several batches of equal length.

    Raises:
        InputError: the parts differ in length, sites or estimator.
    """
    first = parts[0]
    shapes = [{name: v.shape[1:] for name, v in p.values.items()} for p in parts]
    if any(s != shapes[0] for s in shapes) or any(p.estimator != first.estimator for p in parts):
        raise InputError(
            "scores of different lengths, components or estimators cannot be merged;"
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
        cuts=first.cuts,
    )
