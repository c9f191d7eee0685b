"""A file gives an error of ours, or what ONNX's own reference says that it computes."""

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from lrp_engine import Engine
from lrp_engine.errors import InputError, TargetError
from lrp_engine.onnx import OnnxModule, load
from tests.fuzz.outcomes import require

LARGEST = 10_000  # entries of an input that is worth running
BATCH = 2


def examples(module: OnnxModule) -> tuple[Tensor, ...]:
    """Inputs of the sizes and types that the file asks for; free sizes are the batch."""
    found = []
    for i, port in enumerate(module.ports):
        shape = [size if isinstance(size, int) else BATCH for size in port.sizes or ()]
        if np.prod([float(d) for d in shape]) > LARGEST:
            raise InputError("these inputs are too large to try")
        generator = torch.Generator().manual_seed(i)
        if port.dtype.is_floating_point:
            found.append(torch.randn(shape, generator=generator).to(port.dtype))
        else:
            found.append(torch.randint(0, 2, shape, generator=generator).to(port.dtype))
    return tuple(found)


def serve(path: Path) -> None:
    """Load, run and explain; compare the outputs with the reference's where it has any."""
    module = load(path)
    inputs = examples(module)
    engine = Engine(path, inputs)
    with contextlib.suppress(TargetError):  # an output of one axis has no classes
        output = engine.explain(inputs, 0).output
        compare(path, dict(zip((p.name for p in module.ports), inputs, strict=True)), output)


def compare(path: Path, inputs: dict[str, Tensor], output: dict[str, Tensor]) -> None:
    expected = reference(path, inputs)
    if expected is None:
        return
    for want, got in zip(expected, output.values(), strict=True):
        want = torch.as_tensor(np.asarray(want)).double()
        require(want.shape == got.shape, f"shape {tuple(got.shape)}, not {tuple(want.shape)}")
        room = 1e-4 * max(1.0, float(want.nan_to_num(0, 0, 0).abs().max()))
        same = torch.allclose(got.double(), want, rtol=1e-4, atol=room, equal_nan=True)
        require(same, f"output is {got.flatten()[:4]}, by the reference {want.flatten()[:4]}")


def reference(path: Path, inputs: dict[str, Tensor]) -> list[np.ndarray] | None:
    """What onnx.reference says; None if it does not evaluate the file or finds it unsound."""
    model = onnx.load(path)
    try:
        onnx.checker.check_model(model, full_check=True)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            evaluator = ReferenceEvaluator(model)
            return list(evaluator.run(None, {k: v.numpy() for k, v in inputs.items()}))
    except Exception:
        return None


def serving(data: bytes, folder: Path) -> Callable[[], None]:
    """A run of these bytes as a file."""
    path = folder / "m.onnx"
    path.write_bytes(data)
    return lambda: serve(path)
