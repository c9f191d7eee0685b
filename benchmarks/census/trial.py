"""Try one model: build it, run it twice, capture it, explain one number, check the account."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import lrp_engine as lrp
from lrp_engine.errors import CoverageError, LrpError

Inputs = dict[str, Tensor]
Say = Callable[[dict[str, Any]], None]
LARGEST = 80e6  # parameters


class Stage(Enum):
    """How far a model came; each stage includes those before."""

    TRIED = "tried"
    BUILT = "built"
    RUNS = "runs"
    CAPTURED = "captured"
    COVERED = "covered"
    EXPLAINED = "explained"
    CONSERVED = "conserved"


@dataclass
class Outcome:
    """What became of one model; one line of the census's file."""

    library: str
    family: str
    name: str
    stage: str = Stage.TRIED.value
    error: str = ""
    message: str = ""
    raw: bool = False
    level: str = ""
    inputs: dict[str, list[int]] = field(default_factory=dict)
    parameters: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def reach(self, stage: Stage, say: Say) -> None:
        """Note a stage, and say so at once: the next one may not end."""
        self.stage = stage.value
        say(asdict(self))

    def fail(self, error: BaseException) -> None:
        """Note why it went no further; `raw` if that is no error of ours."""
        self.error = type(error).__name__
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        self.message = " ".join(lines)[:600]
        self.raw = not isinstance(error, LrpError)


class NotRun(Exception):
    """The model could not be built, or does not run in plain torch on what was made up."""


def stir(model: nn.Module) -> nn.Module:
    """Return the model in eval mode, with some noise in all weights: many start with zeros."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter += 0.02 * torch.randn_like(parameter)
    return model.eval().requires_grad_(False)


def runs(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    """Return the floating-point outputs; raises NotRun if there is none that is finite."""
    with torch.no_grad():
        out = model(**inputs)
    found = [t for t in pytree.tree_leaves(out) if isinstance(t, Tensor) and t.is_floating_point()]
    if not found or not found[0].numel():
        raise NotRun("no floating-point output")
    return found


def largest_entry(output: Tensor) -> Tensor:
    """Return the coefficient that takes the largest finite entry of every sample."""
    flat = output.detach().float().reshape(len(output), -1).abs()
    flat = flat.masked_fill(~flat.isfinite() | (flat > 1e6), -1)
    return torch.zeros_like(flat).scatter_(1, flat.argmax(1, keepdim=True), 1).view(output.shape)


def plan(
    outcome: Outcome, model: nn.Module, example: Inputs, preset: str, say: Say
) -> lrp.Engine | None:
    """Return the engine of a model that runs; None if it cannot be captured or covered."""
    start = time.perf_counter()
    try:
        engine = lrp.Engine(model, example, preset=preset)
        outcome.notes = [n[:200] for n in engine.captured.notes]
        outcome.seconds = round(time.perf_counter() - start, 1)
        outcome.reach(Stage.COVERED, say)
        return engine
    except CoverageError as error:
        outcome.reach(Stage.CAPTURED, say)
        outcome.fail(error)
    except Exception as error:
        outcome.fail(error)
    return None


def explain(outcome: Outcome, engine: lrp.Engine, inputs: Inputs, say: Say) -> None:
    """Explain one number of other inputs than the example, and check the account."""
    start = time.perf_counter()
    try:
        found = engine.explain(inputs, _one_number, ledger=True)
        assert all(r.isfinite().all() for r in found.relevance.values())
        outcome.reach(Stage.EXPLAINED, say)
        found.check()
        outcome.reach(Stage.CONSERVED, say)
    except Exception as error:
        outcome.fail(error)
    outcome.seconds += round(time.perf_counter() - start, 1)


def _one_number(output: Tensor) -> Tensor:
    return (output * largest_entry(output)).sum()
