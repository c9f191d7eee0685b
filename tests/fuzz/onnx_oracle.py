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
from lrp_engine.errors import InputError, LrpError, TargetError
from lrp_engine.onnx import OnnxModule, load
from lrp_engine.plan.prepare import prepare
from lrp_engine.programs.program import build_forward_only
from lrp_engine.run.inputs import flatten_inputs
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


def serve(path: Path, *, explained: bool) -> None:
    """Load and run, or explain; compare the outputs with the reference's where it has any."""
    module = load(path)
    inputs = examples(module)
    outputs = explain(path, inputs) if explained else run_or_explain(path, inputs)
    expected = reference(path, dict(zip((p.name for p in module.ports), inputs, strict=True)))
    if expected is not None and outputs:
        compare(expected, outputs)


def explain(path: Path, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """The outputs of a file that is explained, with free sizes."""
    engine = Engine(path, inputs)
    with contextlib.suppress(TargetError):  # an output of one axis has no classes
        return list(engine.explain(inputs, 0, ledger=True).output.values())
    return []


def run_or_explain(path: Path, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """The outputs of a run; if it fails, it is the engine that has to say so."""
    try:
        return run(path, inputs)
    except LrpError:
        raise
    except Exception:
        return explain(path, inputs)


def run(path: Path, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """The outputs of the captured program alone, which is most of the way and quick."""
    captured = prepare(path, inputs, dynamic=False).captured
    return list(build_forward_only(captured)(*flatten_inputs(captured, inputs)))


def compare(expected: list[np.ndarray], outputs: list[Tensor]) -> None:
    for want, got in zip(expected, outputs, strict=True):
        want = torch.as_tensor(np.asarray(want)).double()
        require(want.shape == got.shape, f"shape {tuple(got.shape)}, not {tuple(want.shape)}")
        room = 1e-4 * max(1.0, float(want.nan_to_num(0, 0, 0).abs().max()))
        same = torch.allclose(got.double(), want, rtol=1e-4, atol=room, equal_nan=True)
        require(same, f"output is {got.flatten()[:4]}, by the reference {want.flatten()[:4]}")


def reference(path: Path, inputs: dict[str, Tensor]) -> list[np.ndarray] | None:
    """What onnx.reference says; None if it does not evaluate the file or finds it unsound."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            evaluator = ReferenceEvaluator(model)
            return list(evaluator.run(None, {k: v.numpy() for k, v in inputs.items()}))
    except Exception:
        return None


def serving(data: bytes, folder: Path, *, explained: bool = True) -> Callable[[], None]:
    """A run of these bytes as a file."""
    path = folder / "m.onnx"
    path.write_bytes(data)
    return lambda: serve(path, explained=explained)
