"""Compare the sum of scores at full cuts of the graph with the metric's difference.

A correlation is blind to scale. Every path from the embeddings to the output passes a full cut, so
that an estimate of the change of everything there at once is the difference of the metric itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

_LOWEST, _HIGHEST = 0.8, 1.25


@dataclass(frozen=True)
class CutSums:
    """Sums of scores at full cuts, by the name of the cut, and clean - corrupt: (batch,) each."""

    sums: Mapping[str, Tensor]
    gap: Tensor

    @property
    def ratios(self) -> dict[str, float]:
        """Mean sum over mean gap, by cut; none where the runs do not differ in the metric."""
        gap = float(self.gap.double().mean())
        if gap == 0:
            return {}
        return {name: float(s.double().mean()) / gap for name, s in self.sums.items()}

    @property
    def error(self) -> float:
        """The largest distance of a prompt's sum from its gap; 0 where there is no cut."""
        return max((float((s - self.gap).abs().max()) for s in self.sums.values()), default=0.0)

    @property
    def statement(self) -> str | None:
        """The sums as one sentence; None where no full cut was scored."""
        found = self.ratios.values()
        if not found:
            return None
        low, high = f"{min(found):.3f}", f"{max(found):.3f}"
        span = low if low == high else f"{low} to {high}"
        cuts = next(iter(self.sums)) if len(self.sums) == 1 else f"{len(self.sums)} full cuts"
        return (
            f"sum of scores at {cuts}: {span} of the metric's difference, {self.gap.mean():+.4f};"
            f" off by at most {self.error:.2g} on one prompt"
        )

    @property
    def warning(self) -> str | None:
        """Advice where sums are far from the gap; else None."""
        wrong = {n: r for n, r in self.ratios.items() if not _LOWEST <= r <= _HIGHEST}
        if not wrong:
            return None
        name, worst = max(wrong.items(), key=lambda item: abs(item[1] - 1))
        return (
            f"magnitudes are off: the scores at {name} sum to {worst:.2f} times the metric's"
            " difference. Read them as an order; the estimator delta sums to 1"
        )
