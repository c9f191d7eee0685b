"""A model and a preset -> a plan: capture, canonicalise, assign, taking apart what has no rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.export import ExportedProgram

from .. import onnx
from ..canonicalise import canonicalise, decompose, fold_batch_norm
from ..capture import Captured, OutputPort, capture
from ..errors import InputError, SourceError, TargetError
from ..method.registry import Registry
from ..presets.preset import Preset
from .assign import Uncovered, assign
from .plan import Plan
from .sources import resolve_sources

Model = nn.Module | ExportedProgram | Callable[..., Any] | str | Path


@dataclass(frozen=True)
class Question:
    """A captured model, and from where to where relevance is wanted: all but the preset."""

    captured: Captured
    registry: Registry
    sources: Sequence[str] | None
    output: str | None

    @classmethod
    def of(
        cls,
        model: Model,
        example: Any,
        *,
        dynamic: Any,
        registry: Registry,
        sources: Sequence[str] | None,
        output: str | None,
    ) -> Question:
        """Captures the model, whatever kind of model it is."""
        captured = canonicalise(_captured(model, example, dynamic, output), registry)
        return cls(captured, registry, sources, output)


def planned(question: Question, preset: Preset) -> Plan:
    """Assigns rules; ops without one are decomposed, a level at a time, until all have one."""
    captured = question.captured
    while True:
        try:
            plan = _assigned(captured, question, preset)
        except Uncovered as gap:
            simpler = decompose(captured, gap.nodes)
            if simpler is None:
                raise
            captured = simpler
            continue
        if not preset.fold_batch_norm:
            return plan
        return _assigned(fold_batch_norm(captured), question, preset)


def _assigned(captured: Captured, question: Question, preset: Preset) -> Plan:
    registry, names = question.registry, question.sources
    sources = resolve_sources(captured, registry, names)
    plan = assign(captured, preset, registry, sources, _output(captured, question.output))
    if names is not None and len(plan.sources) < len(sources):
        lost = [s.name for s in sources if s not in plan.sources]
        raise SourceError(f"no relevance from {plan.output.name!r} reaches {', '.join(lost)}")
    return plan


def _captured(model: Model, example: Any, dynamic: Any, output: str | None) -> Captured:
    """The capture of a model, whatever kind of model it is."""
    if isinstance(model, (str, Path)):
        model = onnx.load(model)
    if isinstance(model, onnx.OnnxModule):
        module = onnx.with_output(model, output) if output else model
        return onnx.capture_onnx(module, example, dynamic=dynamic)
    if example is None and not isinstance(model, ExportedProgram):
        raise InputError("example inputs are needed to capture the model")
    return capture(model, example, dynamic=dynamic)


def _output(captured: Captured, name: str | None) -> OutputPort:
    ports = [p for p in captured.outputs if p.node.meta["val"].dtype.is_floating_point]
    known = [p.name for p in ports]
    if not ports:
        raise TargetError("the model returns no floating-point tensor: there is nothing to explain")
    wanted = name or ("logits" if "logits" in known else known[0])
    for port in ports:
        if port.name == wanted:
            return port
    raise TargetError(
        f"the model has no floating-point output {name!r}; there is {', '.join(known)}"
    )
