"""Say why a model could not be captured: one cause, the line of the model's code, one advice.

torch reports every way of tracing that was tried in its own terms. Each known cause is a row of
`CAUSES`, looked for in all of the exceptions; for any other, torch's own words are given.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import nn

from ..boundary.user_code import CodePlace, code_place, describe_fault, frames_of
from ..errors import CaptureError

Test = Callable[[BaseException], bool]


class Cause(NamedTuple):
    """A known cause: how its exceptions are told, what it is, and what to do."""

    test: Test
    what: str
    advice: str


def _named(*kinds: str) -> Test:
    return lambda fault: type(fault).__name__ in kinds


def _says(*texts: str) -> Test:
    return lambda fault: any(text in str(fault) for text in texts)


def _inside(*functions: str) -> Test:
    return lambda fault: any(frame.name in functions for frame in frames_of(fault))


_PACKING = _inside("pack_padded_sequence", "pack_sequence", "pad_packed_sequence")


def _packed(fault: BaseException) -> bool:
    """Return whether packing failed, or a recurrent layer on what was packed."""
    frames = [frame for frame, _ in traceback.walk_tb(fault.__traceback__)]
    layers = [f for f in frames if f.f_globals.get("__name__") == nn.RNNBase.__module__]
    used = _says("PackedData", "PackedLengths")(fault)  # otherwise than a layer does
    return used or _PACKING(fault) or any(f.f_locals.get("batch_sizes") is not None for f in layers)


def _differentiates(fault: BaseException) -> bool:
    """Return whether the model took a derivative where torch.export cannot see one."""
    told = _says("fake tensor in the exported program constant", "view functorch tensor")
    return told(fault) or _inside_file("torch/autograd/__init__.py", "eager_transforms.py")(fault)


def _inside_file(*ends: str) -> Test:
    return lambda fault: any(frame.filename.endswith(ends) for frame in frames_of(fault))


CAUSES = (
    Cause(
        _differentiates,
        "the model takes a derivative inside of forward, which torch.export does not trace",
        "Explain what is differentiated, such as the energy, by itself; or take the derivative by"
        " torch.func.grad, and give make_fx(model)(inputs)"
        " (torch.fx.experimental.proxy_tensor), a graph in which it is written out.",
    ),
    Cause(
        _packed,
        "packed sequences take their shape from the lengths, which are data; served is only what"
        " pack_padded_sequence, recurrent layers and pad_packed_sequence do",
        "Run the layer over the padded batch, and read each sample's state at its length"
        " (torch.gather); or explain one sequence at a time without packing.",
    ),
    Cause(
        _says("_sparse", "SparseTensorImpl", "Sparse", "sparse_coo", "sparse_csr"),
        "sparse tensors that the model makes or takes apart cannot be traced",
        "Constant ones may stay, in products with dense ones; store others dense"
        " (tensor.to_dense()), or write the product by index_select, a product with the values and"
        " index_add.",
    ),
    Cause(
        _says("NestedTensor", "nested tensor", "_nested"),
        "nested tensors cannot be traced",
        "Pad them (torch.nested.to_padded_tensor) and mask the padding.",
    ),
    Cause(
        _says(".numpy() is not supported", "numpy() on", "can't convert", "convert a symbol"),
        "the model leaves torch, by .numpy() or a conversion to plain numbers",
        "Compute it with torch ops.",
    ),
    Cause(
        _says("its data is not allocated yet"),
        "the model makes Python numbers or an index out of a list of tensors",
        "Join them (torch.stack) and index with the one tensor, so that no number is read.",
    ),
    Cause(
        _named(
            "GuardOnDataDependentSymNode",
            "DataDependentOutputException",
            "DynamicOutputShapeException",
            "PendingUnbackedSymbolNotFound",
            "UserError",
        ),
        "the model branches, loops or takes a shape by the values of its data",
        "Compute all branches and choose by torch.where, or mask what is not needed, so that the"
        " same ops run for all data.",
    ),
    Cause(
        _named("UnsupportedOperatorException"),
        "torch cannot trace one of its ops",
        "Write it with other torch ops.",
    ),
)


def capture_error(
    faults: Sequence[BaseException], call: Callable[[], object], module: nn.Module
) -> CaptureError:
    """Return the error for a model that no way of capturing serves.

    Args:
        faults: What each way raised, the best way first.
        call: Calls the model itself: if that fails, too, nothing else needs to be said.
        module: The model.
    """
    try:
        with torch.no_grad():
            call()
    except Exception as fault:
        return CaptureError(f"the model itself fails on these inputs: {describe_fault(fault)}")
    chain = [link for fault in faults for link in _chain(fault)]
    if advice := _known_setting(module):
        return CaptureError(f"the model could not be captured: {advice}")
    for cause in CAUSES:
        told = [link for link in chain if cause.test(link)]
        if told:
            place = _place([*told, *chain])
            return CaptureError(
                f"the model could not be captured: {cause.what}{place}. {cause.advice}"
            )
    return CaptureError(f"the model could not be captured{_place(chain)}: {_words(faults)}")


def _known_setting(module: nn.Module) -> str:
    """Return what helps with a setting that is known to fail."""
    config = getattr(module, "config", None)
    if getattr(config, "_attn_implementation", None) != "flex_attention":
        return ""
    return (
        "with FlexAttention, transformers decides by the values of a padding mask what to compute:"
        ' build the model with attn_implementation="sdpa"'
    )


def _chain(fault: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that led to it."""
    seen = set[int]()
    link: BaseException | None = fault
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _place(faults: Sequence[BaseException]) -> str:
    places: Iterator[CodePlace | None] = map(code_place, faults)
    found = next(filter(None, places), None)
    return f" ({found})" if found else ""


def _words(faults: Sequence[BaseException]) -> str:
    """Return the first line of what torch says of the last but one way: sizes are fixed there."""
    fault = faults[min(1, len(faults) - 1)]
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return f"{type(fault).__name__}: {lines[0] if lines else 'torch gives no reason'}"
