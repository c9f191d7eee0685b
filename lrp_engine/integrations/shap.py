"""Give SHAP values that add up, with the call signatures of shap's DeepExplainer.

shap's own explainer patches the gradients of a list of modules, and fails its additivity check on
layer norms, GELU, group norms, recurrent cells, functional ops and reused activations. This one
takes any model: its rules of two runs are exact at every op.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..engine import Engine
from ..errors import ConservationError, InputError
from ..graphs.precision import rounding_tolerance
from ..run.background import Background

Tensors = Tensor | Sequence[Tensor]
Values = NDArray[np.float64] | list[NDArray[np.float64]]

_ORDERS = {
    "max": lambda y: torch.argsort(y, descending=True),
    "min": lambda y: torch.argsort(y),
    "max_abs": lambda y: torch.argsort(y.abs(), descending=True),
}


class DeepExplainer:
    """Explain a model's outputs as sums of SHAP values over its inputs (DeepSHAP).

    Args:
        model: A torch module whose output is (batch, outputs) or (batch,).
        data: The background to compare with: a tensor (references, ...), or a list of tensors for
            a model of several inputs.
        at_once: How many pairs of a sample and a reference are computed together.

    Raises:
        CaptureError: torch cannot capture the model.
        CoverageError: an op has no rule.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.GELU()).eval()
        >>> explainer = DeepExplainer(model, torch.zeros(2, 4))
        >>> explainer.shap_values(torch.ones(5, 4)).shape  # (samples, features, outputs)
        (5, 4, 3)
    """

    def __init__(self, model: nn.Module, data: Tensors, *, at_once: int = 64) -> None:
        self._several = not isinstance(data, Tensor)
        self._background = Background(self._call(data), at_once)
        self._model = model
        self._engine = Engine(model, self._call(data), preset="delta")
        with torch.no_grad():
            outputs = model(*self._call(data))
        self._columns = outputs.shape[1] if outputs.dim() > 1 else None
        self.expected_value: NDArray[np.float64] = _numbers(outputs.mean(0))

    def shap_values(
        self,
        X: Tensors,
        ranked_outputs: int | None = None,
        output_rank_order: str = "max",
        check_additivity: bool = True,
    ) -> Values | tuple[Values, Tensor]:
        """Return SHAP values of every input entry for every output.

        Args:
            X: Inputs, (samples, ...), or a list of them.
            ranked_outputs: Explain only so many outputs per sample, those that come first.
            output_rank_order: "max", "min" or "max_abs": which outputs come first.
            check_additivity: Compare the sums with the outputs.

        Returns:
            An array (samples, ..., outputs) in the unit of the outputs, a list of arrays for a
            model of several inputs; with `ranked_outputs`, also the outputs chosen, (samples,
            ranked_outputs). Per sample and output, the sum of the values is the output less the
            mean output over the background.

        Raises:
            InputError: The inputs do not fit the background's, or the order is unknown.
            ConservationError: Values do not sum to the outputs' differences.
        """
        inputs = self._call(X)
        with torch.no_grad():
            outputs = self._model(*inputs)
        ranks = self._ranks(outputs, ranked_outputs, output_rank_order)
        targets = [None] if self._columns is None else [list(c) for c in ranks.T.tolist()]
        found = self._engine.explain_all(inputs, targets, reference=self._background)
        if check_additivity:
            for rank, one in zip(ranks.T, found, strict=True):
                self._require_sums(outputs, rank, one.relevance)
        per_source = [
            np.stack([_numbers(one.relevance[name]) for one in found], axis=-1)
            for name in found[0].relevance
        ]
        values: Values = per_source if self._several else per_source[0]
        return values if ranked_outputs is None else (values, ranks)

    def __call__(self, X: Tensors) -> Any:
        """Return a `shap.Explanation`, for shap's plots. Needs shap."""
        import shap

        return shap.Explanation(values=self.shap_values(X), data=X, base_values=self.expected_value)

    def _call(self, given: Tensors) -> tuple[Tensor, ...]:
        """Return the arguments of the model."""
        if self._several:
            if isinstance(given, Tensor):
                raise InputError("the background is a list of inputs, and so the inputs must be")
            return tuple(given)
        if not isinstance(given, Tensor):
            raise InputError("the background is one tensor, and so the input must be")
        return (given,)

    def _ranks(self, outputs: Tensor, ranked: int | None, order: str) -> Tensor:
        """Return which outputs to explain, (samples, outputs)."""
        if order not in _ORDERS:
            raise InputError(f"unknown order {order!r}; choose from: {', '.join(_ORDERS)}")
        columns = self._columns or 1
        if ranked is None or self._columns is None:
            return torch.arange(columns).expand(outputs.shape[0], columns)
        ranks: Tensor = _ORDERS[order](outputs)[:, :ranked]
        return ranks

    def _require_sums(self, outputs: Tensor, rank: Tensor, relevance: Any) -> None:
        """Raise ConservationError unless values sum to the difference from the expected value."""
        flat = outputs.unsqueeze(-1) if self._columns is None else outputs
        wanted = flat.gather(1, rank[:, None].to(flat.device))[:, 0].double().cpu()
        wanted = wanted - torch.as_tensor(self.expected_value).reshape(-1)[rank]
        sums = sum(r.double().flatten(1).sum(1).cpu() for r in relevance.values())
        size = float(flat.detach().double().abs().max()) or 1.0
        error = float((sums - wanted).abs().max()) / size
        limit = rounding_tolerance(outputs.dtype)
        if not error <= limit:
            raise ConservationError(
                f"the SHAP values differ from output - expected value by {error:.2e} of the largest"
                f" output (tolerance {limit:.0e} for {outputs.dtype}). Does an op choose otherwise"
                " in the two runs? Engine(model, ..., preset='delta').explain(...).ledger names"
                " what was booked where."
            )


def _numbers(x: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = x.detach().double().cpu().numpy()
    return found
