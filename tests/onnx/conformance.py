"""The tests that ONNX ships with its op definitions, run through the engine's own capture.

Inputs that say what the graph looks like (a shape, axes, a number of turns) become constants of the
file, as in real exports; everything else is an input of the captured program.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.backend.test import loader
from torch import Tensor, fx, nn

from lrp_engine.capture import torch_module
from lrp_engine.capture.captured import CaptureMode
from lrp_engine.capture.exported import from_exported
from lrp_engine.onnx import OnnxModule
from lrp_engine.onnx.file import from_proto
from lrp_engine.onnx.import_graph import import_graph
from lrp_engine.onnx.op_table import load_op_table
from lrp_engine.onnx.tensors import tensor_of
from lrp_engine.onnx.values import as_host, as_ints, as_number

# Outside of what networks consist of: text, images, training, losses, trees.
_EXCLUDED = """Adagrad Adam ArrayFeatureExtractor Bernoulli Binarizer BitCast ImageDecoder
    LabelEncoder MelWeightMatrix Momentum NegativeLogLikelihoodLoss
    OptionalGetElement OptionalHasElement RegexFullMatch SequenceInsert SequenceMap
    SoftmaxCrossEntropyLoss SplitToSequence StringConcat StringNormalizer StringSplit
    TfIdfVectorizer TreeEnsemble Unique"""
EXCLUDED = frozenset(_EXCLUDED.split())
_TYPES = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
    | {TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64}
    | {TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64}
    | {TensorProto.BOOL}
)
_CODES = re.compile("Quantize|QLinear|Integer")
_STRUCTURAL = {
    "CenterCropPad": (1,),
    "Dropout": (2,),
    "If": (0,),
    "Loop": (0, 1),
    "Pad": (1, 2, 3),
    "Resize": (1, 2, 3),
    "Upsample": (1,),
}
LEFT = Path(__file__).with_name("conformance_left.txt")


@dataclass(frozen=True)
class Case:
    """One test: a model, one set of inputs and the outputs that ONNX says it has."""

    name: str
    kind: str
    model: ModelProto
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    structural: frozenset[str]
    rtol: float
    atol: float


@cache
def cases() -> tuple[Case, ...]:
    """Direct and expanded tests of the ops that networks consist of, and those of old opsets."""
    node = {t.name: t for t in loader.load_model_tests(kind="node")}
    found: list[Case] = []
    for name, test in node.items():
        direct = node.get(re.sub("_expanded.*", "", name), test).model
        if _is_plain(test.model) and not {n.op_type for n in direct.graph.node} & EXCLUDED:
            kind = "expanded" if "_expanded" in name else "direct"
            found += _cases_of(test, test.model, kind, _structural(direct))
    for kind in ("pytorch-converted", "pytorch-operator"):
        for test in loader.load_model_tests(kind=kind):
            model = onnx.load(Path(test.model_dir) / "model.onnx")
            found += _cases_of(test, model, "old opset", frozenset())
    return tuple(found)


def _is_plain(model: ModelProto) -> bool:
    ports = (*model.graph.input, *model.graph.output)
    return all(
        p.type.HasField("tensor_type") and p.type.tensor_type.elem_type in _TYPES for p in ports
    )


def _structural(model: ModelProto) -> frozenset[str]:
    """Inputs that the op table wants to know in advance."""
    table, found = load_op_table(), set()
    opsets = {o.domain: o.version for o in model.opset_import}
    for node in model.graph.node:
        entry = table.find(node.domain, node.op_type, opsets.get(node.domain, 1))
        wanted = _STRUCTURAL.get(node.op_type, ())
        for i, name in enumerate(node.input):
            known = entry is not None and i < len(entry.inputs)
            if i in wanted or (
                known and entry.inputs[i].convert in (as_ints, as_number, as_host)  # type: ignore[union-attr]
            ):
                found.add(name)
    return frozenset(found)


def _cases_of(test: Any, model: ModelProto, kind: str, structural: frozenset[str]) -> list[Case]:
    sets = test.data_sets if test.data_sets is not None else _stored(test.model_dir)
    return [
        Case(test.name, kind, model, tuple(i), tuple(o), structural, test.rtol, test.atol)
        for i, o in sets
    ]


def _stored(folder: str) -> list[tuple[list[Any], list[Any]]]:
    def arrays(pattern: str) -> list[Any]:
        count = len(glob.glob(pattern.format("*")))
        protos = [
            TensorProto.FromString(Path(pattern.format(i)).read_bytes()) for i in range(count)
        ]
        return [numpy_helper.to_array(proto) for proto in protos]

    data = sorted(glob.glob(f"{folder}/test_data_set_*"))
    return [(arrays(d + "/input_{}.pb"), arrays(d + "/output_{}.pb")) for d in data]


def imported(case: Case) -> tuple[OnnxModule, list[Tensor]]:
    """The case's model as a module, and its inputs as tensors."""
    model = ModelProto()
    model.CopyFrom(case.model)
    held = {t.name for t in model.graph.initializer}
    names = [i.name for i in model.graph.input if i.name not in held]
    given = dict(zip(names, case.inputs, strict=False))
    bound = [name for name in names if name in case.structural and name in given]
    for name in bound:
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(given[name]), name))
    module = OnnxModule(import_graph(from_proto(model)))
    return module, [_tensor(given[port.name], port.dtype) for port in module.ports]


def _tensor(array: Any, dtype: torch.dtype) -> Tensor:
    if isinstance(array, TensorProto):
        return tensor_of(array, {})
    array = np.asarray(array)
    if dtype == torch.bfloat16:
        return torch.from_numpy(array.astype(np.float32)).to(dtype)
    return torch.from_numpy(array.copy()).reshape(array.shape)


class Bundle(nn.Module):
    """Several models in one, so that they are captured together."""

    def __init__(self, modules: Sequence[OnnxModule]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.eval()

    def forward(self, *inputs: list[Tensor]) -> list[list[Tensor]]:
        return [list(m(*own).values()) for m, own in zip(self.parts, inputs, strict=True)]


def captured_results(modules: Sequence[OnnxModule], inputs: Sequence[list[Tensor]]) -> list[Any]:
    """What the captured program of all of them computes, per model."""
    # What `capture` does with fixed sizes; its fallback, a recorded trace, does not count here.
    exported = torch_module._export(Bundle(modules), (tuple(inputs), {}), None)
    captured = from_exported(exported, (), CaptureMode.EXPORTED)
    program = fx.GraphModule(dict(captured.tensors), captured.graph)
    for name, tensor in captured.tensors.items():
        setattr(program, name, tensor)
    flat = iter(program(*(x for own in inputs for x in own)))
    return [[next(flat) for _ in module.graph.outputs] for module in modules]


def compare(case: Case, results: Sequence[Tensor]) -> None:
    """As ONNX's own runner does: types and shapes alike, numbers within the test's tolerance.

    Codes of quantised values are carried as floats, so that rules see what was rounded.
    """
    assert len(results) == len(case.outputs)
    coded = any(_CODES.search(node.op_type) for node in case.model.graph.node)
    for result, wanted in zip(results, map(_wanted, case.outputs), strict=True):
        codes = coded and result.dtype == torch.float32 and not wanted.is_floating_point()
        assert codes or result.dtype == wanted.dtype, (result.dtype, wanted.dtype)
        assert result.shape == wanted.shape, (result.shape, wanted.shape)
        low = result.dtype == torch.bfloat16
        have, want = (_numbers(result), _numbers(wanted))
        rtol = max(case.rtol, 2**-6) if low else 0 if codes else case.rtol
        np.testing.assert_allclose(have, want, rtol=rtol, atol=case.atol)


def _wanted(value: Any) -> Tensor:
    if isinstance(value, TensorProto):
        return tensor_of(value, {})
    array = np.asarray(value)
    return tensor_of(numpy_helper.from_array(array), {}).reshape(array.shape)


def _numbers(x: Tensor) -> np.ndarray:
    return (x.float() if x.dtype == torch.bfloat16 else x).detach().numpy()


@cache
def left() -> dict[str, str]:
    """Tests that do not pass, with the reason."""
    lines = LEFT.read_text(encoding="utf-8").splitlines()
    rows = (line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    return dict(rows)  # type: ignore[arg-type]


def failure(case: Case) -> str | None:
    """What is wrong with a case that is captured alone; None if nothing is."""
    try:
        module, inputs = imported(case)
        compare(case, captured_results([module], [inputs])[0])
    except Exception as error:
        return f"{case.name}: {type(error).__name__}: {str(error).strip()[:300]}"
    return None


def plain_failure(case: Case) -> str | None:
    """The same without capture."""
    try:
        module, inputs = imported(case)
        with torch.no_grad():
            compare(case, list(module(*inputs).values()))
    except Exception as error:
        return f"{case.name}: {type(error).__name__}: {str(error).strip()[:300]}"
    return None


def failures(some: Sequence[Case]) -> list[str]:
    """The cases that fail, captured in one program; alone where that does not work."""
    try:
        pairs = [imported(case) for case in some]
        results = captured_results([m for m, _ in pairs], [x for _, x in pairs])
        for case, own in zip(some, results, strict=True):
            compare(case, own)
    except Exception:
        return [text for case in some if (text := failure(case))]
    return []
