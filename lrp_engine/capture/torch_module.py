"""torch.nn.Module -> Captured: torch.export first, a recorded trace of this call where not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..errors import CaptureError, InputError
from ..graphs.nodes import value
from .captured import Captured, CaptureMode
from .exported import from_exported
from .functional import Functional, make_functional, retrace
from .module_view import ModuleView, preserve_attributes
from .scans import allow_scans, scan_notes
from .shapes import batch_size, dynamic_spec, with_distinct_batch
from .signature import argument_names, as_call, clone_repeated
from .silence import silence_export
from .tensor_homes import TensorHome, find_homes

# Torch 2.13 multiplies sizes two at a time where it checks its cache of traced results: a product
# of three, as in FlexAttention's block masks, ends in this error. Without that cache all goes well.
_PRODUCT = "mul expected 2 arguments"

Call = tuple[tuple[Any, ...], dict[str, Any]]


def capture(
    model: nn.Module | ExportedProgram | Callable[..., Any],
    inputs: Any,
    *,
    dynamic: Any = True,
    example: Any = None,
) -> Captured:
    """Captures one model as a functional graph of ATen ops, composite ops kept whole.

    `dynamic`: True lets batch and sequence sizes vary, False fixes every size, anything else
    is handed to torch.export as its `dynamic_shapes`, with `example` (default: the inputs) as the
    call that it looks at. The model is not changed.

    Raises CaptureError if neither export nor a recorded trace works, InputError for a model
    in training mode.
    """
    if isinstance(model, ExportedProgram):
        return from_exported(make_functional(model), (), CaptureMode.EXPORTED)
    if isinstance(model, torch.jit.ScriptModule):
        raise CaptureError("a TorchScript module hides its ops: give the module it was made from")
    module = model if isinstance(model, nn.Module) else _Function(model)
    _refuse_training(module)
    call, names, problems = clone_repeated(as_call(inputs)), argument_names(module), []
    view = ModuleView(module)
    shown = call if example is None else as_call(example)
    for attempt in _attempts(view.module, call, dynamic, shown):
        try:
            with preserve_attributes(module, view.module):
                program, mode, note = attempt()
        except Exception as error:
            problems.append(f"{attempt.__doc__}: {_first_line(error)}")
            continue
        notes = tuple(n for n in (*problems, note, view.note()) if n)
        captured = from_exported(program, names, mode, notes)
        return replace(
            captured,
            homes=_homes(module, captured),
            rerun=partial(_rerun, module, view.module),
            notes=captured.notes + scan_notes(captured.graph),
        )
    tried = "\n  ".join([*problems, *_advice(module)])
    raise CaptureError(f"the model could not be captured:\n  {tried}")


def _advice(module: nn.Module) -> list[str]:
    """What helps where it is known."""
    config = getattr(module, "config", None)
    if getattr(config, "_attn_implementation", None) != "flex_attention":
        return []
    return [
        "with FlexAttention, transformers decides by the values of a padding mask what to compute:"
        ' build the model with attn_implementation="sdpa"'
    ]


def _rerun(module: nn.Module, view: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """The model's own result; what it writes to itself on the way is taken back."""
    with preserve_attributes(module, view), allow_scans(module):
        return view(*args, **kwargs)


def _homes(module: nn.Module, captured: Captured) -> tuple[TensorHome, ...]:
    """Where the model keeps the tensors that the graph reads."""
    nodes = [n for n in captured.graph.find_nodes(op="get_attr") if isinstance(value(n), Tensor)]
    return find_homes(module, {n.meta["tensor_name"]: captured.tensors[str(n.target)] for n in nodes})


def _attempts(
    module: nn.Module, call: Call, dynamic: Any, shown: Call
) -> Iterator[Callable[[], Any]]:
    """Ways to capture, best first; each returns (program, mode, note)."""

    def free_sizes() -> tuple[Functional, CaptureMode, str]:
        """Capture with free sizes"""
        if dynamic is not True:
            return _export(module, shown, dynamic), CaptureMode.EXPORTED, ""
        example = with_distinct_batch(call) if batch_size(call) else call
        return _export(module, example, _by_argument(module, example)), CaptureMode.EXPORTED, ""

    def fixed_sizes() -> tuple[Functional, CaptureMode, str]:
        """Capture with fixed sizes"""
        note = "sizes are fixed to those of the example" if dynamic is not False else ""
        return _export(module, call, None), CaptureMode.EXPORTED, note

    def recorded() -> tuple[Functional, CaptureMode, str]:
        """Recorded trace"""
        with torch.no_grad(), silence_export():
            program = torch.export.draft_export(module, *call, strict=False)
            return retrace(program), CaptureMode.RECORDED, "recorded: one call's control flow"

    if dynamic is not False:
        yield free_sizes
    yield fixed_sizes
    yield recorded


def _export(module: nn.Module, call: Call, dynamic_shapes: Any) -> Functional:
    args, kwargs = call
    export = partial(
        torch.export.export, module, args, kwargs, dynamic_shapes=dynamic_shapes, strict=False
    )
    with torch.no_grad(), silence_export(), allow_scans(module):
        try:
            return make_functional(export())
        except TypeError as error:
            if _PRODUCT not in str(error):
                raise
        with torch._dynamo.config.patch(fake_tensor_cache_enabled=False):
            return make_functional(export())


def _by_argument(module: nn.Module, call: Call) -> dict[str, Any]:
    """torch.export wants the dynamic shapes keyed by forward's argument names."""
    args, kwargs = call
    return dict(zip(argument_names(module), dynamic_spec(args), strict=False)) | dynamic_spec(
        kwargs
    )


def _refuse_training(module: nn.Module) -> None:
    training = [name or "(root)" for name, m in module.named_modules() if m.training]
    if training:
        raise InputError(
            f"the model is in training mode ({training[0]}"
            + (f" and {len(training) - 1} more" if len(training) > 1 else "")
            + "): dropout and batch norm would act. Call model.eval() first."
        )


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"


class _Function(nn.Module):
    """A plain function as a module, so that torch.export takes it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        object.__setattr__(self, "forward", function)
        self.eval()
