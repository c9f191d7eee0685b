"""Refuse what is no model, and what are no inputs, before anything is traced: one advice each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from ..errors import CaptureError, InputError

Test = Callable[[object], bool]


class Refusal(NamedTuple):
    """Something that people give; `says` is what it is and what to give instead."""

    test: Test
    says: str


def _is_from(*packages: str) -> Test:
    """Return a test for objects whose class, or a class above it, lies in a package."""

    def test(thing: object) -> bool:
        homes = [getattr(kind, "__module__", "") for kind in type(thing).__mro__]
        return any(home == p or home.startswith(f"{p}.") for home in homes for p in packages)

    return test


def _is_offloaded(part: object) -> bool:
    """Return whether accelerate brings a module's weights at every call; they may be meta now."""
    return bool(getattr(getattr(part, "_hf_hook", None), "offload", False))


MODELS = (
    Refusal(
        lambda m: isinstance(m, (torch.jit.ScriptModule, torch.jit.ScriptFunction)),
        "a TorchScript module hides its ops: give the module it was made from",
    ),
    Refusal(
        lambda m: isinstance(m, Mapping),
        "a state_dict holds the weights, and not what is computed: build the model, call"
        " model.load_state_dict(...), and give the model",
    ),
    Refusal(
        _is_from("transformers.pipelines"),
        "a pipeline of transformers does more than its model: lrp_engine.explain(pipeline, data)"
        " takes it; an Engine takes pipeline.model, and what"
        ' pipeline.tokenizer(text, return_tensors="pt") returns as inputs',
    ),
    Refusal(
        _is_from("sklearn"),
        "a model of scikit-learn is no torch module: lrp_engine.explain(model, rows) takes it; an"
        " Engine takes the .onnx file that skl2onnx makes of it",
    ),
    Refusal(lambda m: isinstance(m, type), "a class is no model yet: give an instance of it"),
    Refusal(
        lambda m: not callable(m),
        "a model is a torch.nn.Module, an ExportedProgram, a function of tensors, or the path of an"
        " ONNX file",
    ),
)

PARTS = (
    Refusal(
        lambda m: isinstance(m, (torch.jit.ScriptModule, torch.jit.ScriptFunction)),
        "is a TorchScript module, which hides its ops: put the module in its place that it was"
        " made from",
    ),
    Refusal(
        _is_from("torch.distributed.fsdp"),
        "is sharded by FSDP, so that no process has its weights: load the full state_dict into the"
        " plain model, and give that",
    ),
    Refusal(
        _is_offloaded,
        "is offloaded by accelerate: its weights come and go. Load the model without offloading, or"
        " call accelerate.hooks.remove_hook_from_submodules(model)",
    ),
    Refusal(
        _is_from("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized"),
        "is a quantised module of torch.ao, whose packed weights hide what it computes: explain"
        " the model as it was before quantisation",
    ),
)

INPUTS = (
    Refusal(
        lambda x: isinstance(x, PackedSequence),
        "a packed sequence: give the padded tensor, and let the model read each state at its"
        " length",
    ),
    Refusal(
        _is_from("numpy"),
        "an array of NumPy: give torch.as_tensor(...) of it, or use lrp_engine.explain or Subject",
    ),
    Refusal(
        _is_from("pandas"),
        "a table of pandas: give torch.as_tensor(table.to_numpy()) of it, or use"
        " lrp_engine.explain or Subject",
    ),
    Refusal(
        _is_from("PIL"),
        "an image of pillow: give a tensor (samples, channels, height, width), or use"
        " lrp_engine.explain or Subject",
    ),
    Refusal(
        lambda x: isinstance(x, Tensor) and x.is_meta,
        "a meta tensor, which has no values: give a tensor with values",
    ),
    Refusal(
        lambda x: isinstance(x, Tensor) and x.is_nested,
        "a nested tensor: give the padded tensor (torch.nested.to_padded_tensor) and a mask",
    ),
    Refusal(
        lambda x: isinstance(x, Tensor) and x.layout is not torch.strided,
        "a sparse tensor: give x.to_dense()",
    ),
    Refusal(
        lambda x: isinstance(x, Tensor) and x.is_quantized,
        "a quantised tensor: give x.dequantize()",
    ),
)

_NO_TENSORS = (
    Refusal(
        lambda x: isinstance(x, (str, bytes)),
        "text: a model reads token ids, which its tokenizer gives, such as"
        ' tokenizer(text, return_tensors="pt"); or use lrp_engine.explain or Subject, with'
        " tokenizer=...",
    ),
    Refusal(
        lambda x: isinstance(x, (bool, int, float)),
        'numbers of Python: give torch.tensor(...) of them (a tokenizer: return_tensors="pt")',
    ),
    Refusal(lambda x: x is not None, "no tensor: give a tensor, a tuple, or a mapping of tensors"),
)


def admit_model(model: object) -> None:
    """Raise CaptureError for what is no model, or has parts that cannot be looked into."""
    for refusal in MODELS:
        if refusal.test(model):
            raise CaptureError(f"{refusal.says}; this is a {type(model).__name__}")
    if isinstance(model, nn.Module):
        _admit_parts(model)


def _admit_parts(model: nn.Module) -> None:
    for name, part in model.named_modules():
        for refusal in PARTS:
            if refusal.test(part):
                raise CaptureError(f"{name or 'the model'!r} {refusal.says}")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise CaptureError(
                f"{name!r} is a meta tensor, which has no values: load the weights, or call"
                " model.to_empty(device=...) and fill them"
            )


def admit_inputs(inputs: object) -> None:
    """Raise InputError for inputs that are no tensors, with the way to make tensors of them."""
    leaves = list(_leaves(inputs))
    for refusal in INPUTS:
        if any(map(refusal.test, leaves)):
            raise InputError(f"the inputs hold {refusal.says}")
    if any(isinstance(leaf, Tensor) for leaf in leaves):
        return  # what stands beside tensors is the model's business
    for refusal in _NO_TENSORS:
        if any(map(refusal.test, leaves)):
            raise InputError(f"the inputs are {refusal.says}")


def _leaves(inputs: object) -> Iterator[object]:
    """Yield what inputs consist of; a packed sequence is not taken for the tuple that it is."""
    if isinstance(inputs, Mapping) or (hasattr(inputs, "data") and hasattr(inputs, "keys")):
        inputs = dict(inputs)  # type: ignore[call-overload]

    def whole(thing: object) -> bool:
        return isinstance(thing, PackedSequence)

    leaves, _ = pytree.tree_flatten(inputs, is_leaf=whole)
    yield from leaves
