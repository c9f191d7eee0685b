"""An engine's programs -> a file, compiled, and compared with the engine before it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, fx

from ..canonicalise.masks import MaskClaim
from ..capture import Captured, InputPort
from ..capture.captured import CaptureMode
from ..capture.shapes import axes_of
from ..errors import PackageError
from ..graphs.nodes import value
from ..graphs.precision import half_the_digits
from ..promises.policy import MemoryBudget
from ..results.explanation import Explanation
from ..run.program_pairs import ProgramPair, ProgramPairs
from ..run.target import seed_of
from .archive import beside, write
from .compare_with_engine import Trial, above_one
from .compile import Compiled, compiled
from .expression import text_of
from .load import index_of, load_package
from .load_in_subprocess import hold_loader
from .machine import machine
from .manifest import (
    FORMAT,
    ROW,
    WHOLE,
    Leaf,
    Manifest,
    MaskKind,
    Port,
    dtype_name,
    programs_of,
)
from .program_set import (
    Slot,
    Source,
    mask_device,
    mask_source,
    pair,
)
from .structure import described, described_exactly

Start = Literal["output", "row"] | None
Explain = Callable[..., Explanation]


def write_package(
    path: Path,
    pairs: ProgramPairs,
    explain: Explain,
    leaves: Sequence[Any],
    *,
    start: Start,
    tolerance: float | None,
    settings: Mapping[str, Any],
) -> None:
    """Compiles, tries and writes. `explain` is the engine's own, `leaves` are inputs to try."""
    captured, chosen = pairs.plan.captured, _chosen(pairs, start)
    if tolerance is None:
        tolerance = half_the_digits(pairs.plan.coarsest_dtype())
    trial = Trial(captured, explain, tolerance, tuple(chosen))
    sources, masks = _sources(pairs, chosen, above_one(captured, leaves))
    cases = trial.cases(leaves)
    ones = sorted(case.ones for case in cases if case.ones)
    with beside(path) as file:
        made = {name: compiled(name, source, settings) for name, source in sources.items()}
        manifest = _manifest(pairs, chosen, masks, ones, made)
        write(file, made, manifest)
        hold_loader(file, next(iter(made)), index_of(manifest))
        package = load_package(file)
        trial.hold(package, cases)
        relied = dict.fromkeys(c for program in made.values() for c in program.conditions)
        if needed := trial.needed(package, list(relied), leaves):
            write(file, made, replace(manifest, conditions=(*manifest.conditions, *needed)))


def _chosen(pairs: ProgramPairs, start: Start) -> dict[str, ProgramPair]:
    """The pairs of programs to compile; raises PackageError for what a package cannot hold."""
    captured = pairs.plan.captured
    if captured.mode is CaptureMode.RECORDED:
        raise PackageError(
            "the model's control flow depends on its data, so that the model itself has to run"
            " beside every call: it cannot be packaged"
        )
    if isinstance(pairs.policy, MemoryBudget):
        raise PackageError(
            "a budget is foretold for the engine's own programs, not for compiled ones: package"
            " engine.with_policy('balanced') or ('low_memory')"
        )
    if not all(isinstance(claim, MaskClaim) for claim in captured.claims):
        raise PackageError("a pass relied on something that a package cannot check")
    if start not in (None, WHOLE, ROW):
        raise PackageError(f"start is 'output', 'row' or None for both, not {start!r}")
    found = {WHOLE: pairs.whole} if start != ROW else {}
    if start != WHOLE and pairs.at_row is not None:
        found[ROW] = pairs.at_row
    if not found:
        raise PackageError(
            f"explanations of {pairs.plan.output.name!r} cannot start at a row: leave start=None"
        )
    return found


def _sources(
    pairs: ProgramPairs, chosen: Mapping[str, ProgramPair], leaves: Sequence[Any]
) -> tuple[dict[str, Source], tuple[MaskKind, ...]]:
    """What to compile, by name."""
    sources: dict[str, Source] = {}
    for start, pair_to_run in chosen.items():
        program, shapes = pair_to_run.wanted.program, pairs.plan.captured.shapes
        output = program.forward(*leaves)[pairs.plan.output.position]
        seed = seed_of(output, output) if start == WHOLE else seed_of(output, 0, -1)
        names = programs_of(start)
        sources |= zip(
            names, pair(program, shapes, leaves, pair_to_run.seed_tensors(seed)), strict=True
        )
    masks = []
    for i, claim in enumerate(_masks(pairs.plan.captured)):
        symbols = tuple(str(symbol) for symbol in claim.symbols)
        masks.append(MaskKind(f"mask_{i}", symbols, claim.kind.name, mask_device(claim)))
        sources[f"mask_{i}"] = mask_source(claim)
    return sources, tuple(masks)


def _masks(captured: Captured) -> list[MaskClaim]:
    return [claim for claim in captured.claims if isinstance(claim, MaskClaim)]


def _manifest(
    pairs: ProgramPairs,
    chosen: Mapping[str, ProgramPair],
    masks: tuple[MaskKind, ...],
    ones: Sequence[tuple[str, ...]],
    made: Mapping[str, Compiled],
) -> Manifest:
    plan, captured = pairs.plan, pairs.plan.captured
    free = {f.symbol for f in captured.shapes.free()}
    known = [c for c in captured.shapes.conditions() if c.free_symbols <= free]
    conditions = [text_of(condition) for condition in known]
    device = next((p.device for p in map(_port, captured.inputs) if p.device), "cpu")
    return Manifest(
        format=FORMAT,
        machine=machine(device),
        provenance=pairs.provenance.as_dict(),
        inputs=tuple(map(_port, captured.inputs)),
        input_structure=described_exactly(captured.in_spec),
        argument_names=captured.argument_names,
        conditions=tuple(dict.fromkeys(conditions)),
        ones=tuple(ones),
        masks=masks,
        outputs=_outputs(captured),
        output_structure=described(captured.out_spec),
        explained=plan.output.position,
        sources=next(iter(chosen.values())).wanted.names,
        starts=tuple(chosen),
        held={},
        orders={name: program.orders for name, program in made.items()},
    )


def _port(port: InputPort) -> Port:
    fake = value(port.node)
    if isinstance(fake, Tensor):
        return Port(port.name, axes_of(fake), dtype_name(fake.dtype), str(fake.device))
    return Port(port.name, None, constant=Slot.of(fake).value)


def _outputs(captured: Captured) -> tuple[Leaf, ...]:
    leaves: Any = captured.graph.output_node().args[0]
    slots = [Slot.of(value(leaf) if isinstance(leaf, fx.Node) else leaf) for leaf in leaves]
    return tuple(Leaf(slot.kind, slot.value) for slot in slots)
