"""Capture a torch module: by torch.export, or else by a recorded trace of one call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..errors import CaptureError, InputError
from ..graphs.nodes import value
from ..graphs.randomness import keep_generators
from .admission import admit_inputs, admit_model
from .ambient import Ambient, leave_inference, leave_modes, modes_now
from .attribute_reads import AttributeReads
from .captured import Captured, CaptureMode
from .exported import from_exported, written_buffers
from .failures import capture_error
from .free_lengths import keep_lengths_free
from .functional import Functional, make_functional, retrace
from .held import steering_inputs
from .identities import name_identities
from .marks import preserve_marks
from .module_paths import name_by_all_paths
from .module_view import ModuleView, lend_copies, preserve_attributes, unwrap
from .own_derivatives import note_own_derivatives
from .own_example import require_example_fits
from .packed import keep_padded
from .premises import Premises, premise_notes, premises_of
from .scans import allow_scans, scan_notes
from .selections import export_filled, is_by_data
from .shape_contract import batch_size, dynamic_spec, fixed_batch_notes, with_distinct_batch
from .signature import (
    CallArguments,
    argument_names,
    arguments_by_name,
    as_call,
    clone_inputs,
    require_signature,
)
from .silence import silence_export
from .sparse import take_sparse_for_dense
from .tensor_homes import TensorHome, find_homes

# Torch 2.13 multiplies sizes two at a time where it checks its cache of traced results: a product
# of three, as in FlexAttention's block masks, ends in this error. Without that cache it works.
_PRODUCT = "mul expected 2 arguments"

DynamicShapes = Any  # whatever torch.export takes as `dynamic_shapes`


class Attempt(NamedTuple):
    """One way to capture a model; `run` returns the program and a note for the user."""

    name: str
    mode: CaptureMode
    run: Callable[[], tuple[Functional, str]]


def capture(
    model: nn.Module | ExportedProgram | Callable[..., object],
    inputs: object,
    *,
    dynamic: DynamicShapes = True,
    example: object = None,
) -> Captured:
    """Capture one model as a functional graph of ATen ops, composite ops kept whole.

    The model is not changed.

    Args:
        model: A module in eval mode, an exported program, or a function of tensors.
        inputs: Example inputs: a tensor, a tuple of arguments, a mapping of keywords.
        dynamic: True lets batch and sequence sizes vary, False fixes every size, anything else
            is passed to torch.export as its `dynamic_shapes`.
        example: With `dynamic_shapes` given, the call that torch.export sees. Default: `inputs`.

    Raises:
        CaptureError: Neither torch.export nor a recorded trace works.
        InputError: The model is in training mode.
    """
    if isinstance(model, ExportedProgram):
        return _capture_exported(model)
    admit_model(model)
    admit_inputs(inputs)
    module = unwrap(model) if isinstance(model, nn.Module) else _Function(model)
    _refuse_training(module)
    _refuse_inference_tensors(module)
    with leave_inference(), keep_generators():
        call = clone_inputs(as_call(inputs))
        shown = call if example is None else clone_inputs(as_call(example))
        return _capture_module(module, call, dynamic, shown)


def _capture_exported(program: ExportedProgram) -> Captured:
    """Capture an exported program; it is compared with its own module at the first call."""

    @lru_cache
    def module() -> nn.Module:
        return program.module(check_guards=False)

    def rerun(*args: object, **kwargs: object) -> object:
        with ambient.enter():
            return module()(*args, **kwargs)

    ambient = modes_now()
    with leave_inference(), ambient.enter():
        functional = make_functional(program, retraced=bool(ambient.autocast))
    with leave_modes():
        captured = from_exported(functional, (), CaptureMode.EXPORTED)
    notes = (*captured.notes, *premise_notes(captured.draws, ambient))
    return replace(captured, rerun=rerun, premises=Premises(ambient), notes=notes)


def _capture_module(
    module: nn.Module, call: CallArguments, dynamic: DynamicShapes, shown: CallArguments
) -> Captured:
    faults = list[Exception]()
    names, problems, ambient = argument_names(module), list[str](), modes_now()
    view, held = ModuleView(module, call[1]), dict[str, Tensor]()
    ways = _attempts(view.module, call, dynamic, shown, faults)
    for attempt in chain(ways, [_with_settings_held(view, call, held)]):
        reads = AttributeReads.of(module, view.module)
        try:
            with (
                preserve_attributes(module, view.module),
                preserve_marks((call, shown)),
                view.record_reads(reads),
                note_own_derivatives() as derivatives,
                name_identities() as called,
                take_sparse_for_dense(module, view.module) as dense,
            ):
                own = _own_tensors(view.module)
                program, note = attempt.run()
            notes = tuple(n for n in (*problems, note, view.note()) if n)
            with leave_modes():
                captured = from_exported(program, names, attempt.mode, notes, own)
                require_example_fits(captured, call)
        except Exception as error:
            problems.append(f"{attempt.name}: {_first_line(error)}")
            faults.append(error)
            continue
        if attempt.mode is CaptureMode.EXPORTED and dynamic is True:
            notes = (*captured.notes, *fixed_batch_notes(captured.shapes, call, notes))
        return replace(
            captured,
            modules=name_by_all_paths(captured.modules, module, called.values()),
            homes=_homes(module, captured),
            decided=dense,
            held=held,
            records=tuple(derivatives.records),
            premises=premises_of(module, reads.watched(), ambient),
            rerun=partial(_rerun, module, view.module, ambient, written_buffers(program.program)),
            notes=(
                *captured.notes,
                *scan_notes(captured.graph),
                *derivatives.notes,
                *(f"the sparse tensor {taken.name!r} is taken for a dense one" for taken in dense),
                *premise_notes(captured.draws, ambient, reads.written),
            ),
        )
    args, kwargs = call
    with preserve_attributes(module, view.module):
        raise capture_error(faults, lambda: module(*args, **kwargs), module) from faults[-1]


def _rerun(
    module: nn.Module,
    view: nn.Module,
    ambient: Ambient,
    buffers: Collection[str],
    *args: object,
    **kwargs: object,
) -> object:
    """Call the model itself under the modes of its capture, and undo what it writes to itself.

    `buffers`: those that it writes into.
    """
    with preserve_attributes(module, view), allow_scans(module), ambient.enter():
        lend_copies(module, buffers)
        return view(*args, **kwargs)


def _own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's parameters and buffers by all their paths, as torch.export names them."""
    return {
        **dict(module.named_buffers(remove_duplicate=False)),
        **dict(module.named_parameters(remove_duplicate=False)),
    }


def _homes(module: nn.Module, captured: Captured) -> tuple[TensorHome, ...]:
    """Find where the model keeps the tensors that the graph reads."""
    nodes = [n for n in captured.graph.find_nodes(op="get_attr") if isinstance(value(n), Tensor)]
    return find_homes(
        module, {n.meta["tensor_name"]: captured.tensors[str(n.target)] for n in nodes}
    )


def _attempts(
    module: nn.Module,
    call: CallArguments,
    dynamic: DynamicShapes,
    shown: CallArguments,
    faults: Sequence[Exception],
) -> Iterator[Attempt]:
    """Yield the ways to capture, best first; `faults` holds why those before failed."""

    def export_free() -> tuple[Functional, str]:
        if dynamic is not True:
            return _export(module, shown, dynamic), ""
        example = with_distinct_batch(call) if batch_size(call) else call
        return _export(module, example, _by_argument(module, example)), ""

    def export_fixed() -> tuple[Functional, str]:
        note = "sizes are fixed to those of the example" if dynamic is not False else ""
        return _export(module, call, None), note

    def record() -> tuple[Functional, str]:
        with torch.no_grad(), silence_export():
            program = torch.export.draft_export(module, *call, strict=False)
            return retrace(program), "recorded: one call's control flow"

    if dynamic is not False:
        yield Attempt("capture with free sizes", CaptureMode.EXPORTED, export_free)
    yield Attempt("capture with fixed sizes", CaptureMode.EXPORTED, export_fixed)
    yield Attempt(
        "capture with selections taken for not empty",
        CaptureMode.RECORDED,
        lambda: _export_filled(module, call, dynamic, faults),
    )
    yield Attempt("recorded trace", CaptureMode.RECORDED, record)


def _export_filled(
    module: nn.Module, call: CallArguments, dynamic: DynamicShapes, faults: Sequence[Exception]
) -> tuple[Functional, str]:
    """Export a model that skips what is empty as if nothing were, with free sizes if that works."""
    if not any(map(is_by_data, faults)):
        raise CaptureError("no selection by data was asked about")
    example = with_distinct_batch(call) if batch_size(call) and dynamic is True else call
    spec = _by_argument(module, example) if dynamic is True else dynamic
    ways = [(example, spec, ""), (call, None, "; sizes are fixed to those of the example")]

    def export(way: tuple[CallArguments, DynamicShapes, str]) -> tuple[Functional, str]:
        given, shapes, more = way
        return _export(module, given, shapes), more

    return export_filled(export, ways if dynamic is not False else ways[1:], module, call)


def _with_settings_held(view: ModuleView, call: CallArguments, held: dict[str, Tensor]) -> Attempt:
    """Return the way that takes settings for constants; `held` is filled in with them."""

    def export_held() -> tuple[Functional, str]:
        arguments = arguments_by_name(view.module, call)
        found = steering_inputs(arguments, lambda watched: view.module(**watched))
        if not found:
            raise CaptureError("no input holds integers that steer what is computed")
        with view.hold(found):
            functional = _export(view.module, call, None)
        held.update(found)
        return functional, f"held to the values of the example: {', '.join(sorted(found))}"

    return Attempt("capture with settings held", CaptureMode.EXPORTED, export_held)


def _export(module: nn.Module, call: CallArguments, dynamic_shapes: DynamicShapes) -> Functional:
    args, kwargs = call
    export = partial(
        torch.export.export, module, args, kwargs, dynamic_shapes=dynamic_shapes, strict=False
    )
    retraced = bool(modes_now().autocast)
    as_scans = (allow_scans(module), keep_padded())
    with torch.no_grad(), silence_export(), as_scans[0], as_scans[1], keep_lengths_free():
        try:
            return make_functional(export(), retraced=retraced)
        except TypeError as error:
            if _PRODUCT not in str(error):
                raise
        with torch._dynamo.config.patch(fake_tensor_cache_enabled=False):
            return make_functional(export(), retraced=retraced)


def _by_argument(module: nn.Module, call: CallArguments) -> dict[str, DynamicShapes]:
    """Return a call's dynamic shapes by forward's parameters, as torch.export wants them."""
    return {name: dynamic_spec(v) for name, v in arguments_by_name(module, call).items()}


def _refuse_training(module: nn.Module) -> None:
    training = [name or "(root)" for name, m in module.named_modules() if m.training]
    if training:
        raise InputError(
            f"the model is in training mode ({training[0]}"
            + (f" and {len(training) - 1} more" if len(training) > 1 else "")
            + "): dropout and batch norm would be active. Call model.eval() first."
        )


def _refuse_inference_tensors(module: nn.Module) -> None:
    """Raise CaptureError if parameters were made in inference mode, of which torch keeps no count.

    Neither can they be traced, nor would changes of them be noticed.
    """
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_inference():
            raise CaptureError(
                f"{name!r} was made in torch.inference_mode(), and cannot be traced: build or load"
                " the model outside of it. Explaining inside of it works"
            )


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"


class _Function(nn.Module):
    """A plain function as a module, so that torch.export takes it."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        require_signature(function)
        object.__setattr__(self, "forward", function)
        self.eval()
