"""Real files: their outputs against onnxruntime's, and explanations that close."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

import lrp_engine as lrp
from lrp_engine.onnx import OnnxModule, load


def run_onnxruntime(file: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs of a file, by name; its graph is not rewritten."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = {port.name for port in session.get_inputs()}
    results = session.run(None, {k: v for k, v in inputs.items() if k in names})
    return dict(zip((port.name for port in session.get_outputs()), results, strict=True))


def load_compared(
    file: Path,
    inputs: Mapping[str, Tensor],
    settings: Mapping[str, Any] | None = None,
    tolerance: float = 1e-3,
) -> OnnxModule:
    """Load a file whose outputs are onnxruntime's, to a share of the largest entry."""
    settings = dict(settings or {})
    module = load(file, settings)
    given = {name: tensor.numpy() for name, tensor in inputs.items()}
    numbers = {name: np.asarray(value) for name, value in settings.items()}
    wanted = run_onnxruntime(file, {**given, **numbers})
    with torch.no_grad():
        found = module(*(inputs[port.name] for port in module.ports))
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        largest = np.abs(array.astype(np.float64)).max(initial=0)
        error = np.abs(found[name].numpy().astype(np.float64) - array).max(initial=0)
        assert error <= tolerance * largest, (name, error, largest)
    return module


def explain_checked(
    module: Any, inputs: Mapping[str, Tensor], target: Any, preset: str = "attnlrp", **options: Any
) -> lrp.Explanation:
    """An explanation whose ledger closes and whose relevance is not nothing."""
    explanation = lrp.Engine(module, inputs, preset=preset, **options).explain(inputs, target)
    explanation.check()
    assert any(r.abs().sum() > 0 for r in explanation.relevance.values())
    return explanation
