"""Compile an engine's programs into a file, and compare it with the engine before keeping it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from torch import Tensor, fx

from ..canonicalise.masks import MaskClaim
from ..capture import Captured, InputPort
from ..capture.captured import CaptureMode
from ..capture.shape_contract import axes_of
from ..errors import PackageError
from ..graphs.nodes import value
from ..graphs.precision import rounding_tolerance
from ..graphs.randomness import describe_draws
from ..graphs.tracing_lock import one_at_a_time
from ..promises.policy import MemoryBudget
from ..results.explanation import Explanation
from ..run.program_pairs import ProgramPair, ProgramPairs
from ..run.target import seed_of
from .archive import replace_when_done, write_archive
from .compare_with_engine import PackageTrial, with_sizes_above_one
from .compile import CompiledProgram, compile_program
from .expression import format_expression
from .load import index_of, load_package
from .load_in_subprocess import try_loader
from .machine import describe_machine
from .manifest import (
    FORMAT,
    ROW,
    WHOLE,
    Manifest,
    PackagedMask,
    PackageInput,
    PackageOutput,
    dtype_name,
    program_names,
)
from .program_set import (
    ProgramSource,
    Slot,
    make_sources,
    mask_device,
    mask_source,
)
from .structure import describe, describe_exactly

PackageStart = Literal["output", "row"] | None
ExplainFunction = Callable[..., Explanation]


@one_at_a_time
def write_package(
    path: Path,
    pairs: ProgramPairs,
    explain: ExplainFunction,
    leaves: Sequence[object],
    *,
    start: PackageStart,
    tolerance: float | None,
    settings: Mapping[str, object],
) -> None:
    """Compile an engine's programs, write them to a file, and compare its results.

    Args:
        path: The .pt2 file.
        pairs: The engine's programs.
        explain: The engine's own `explain`, to compare with.
        leaves: Inputs to compile for and to compare on.
        start: The kind of targets to serve, `output` or `row`; None for both.
        tolerance: Largest relative difference from the engine; default by dtype.
        settings: Options of torch's inductor.

    Raises:
        PackageError: the engine cannot be packaged, torch cannot compile it, or the package
            disagrees with the engine.
    """
    captured = pairs.plan.captured
    if captured.draws:
        raise PackageError(
            f"the model draws random numbers ({describe_draws(captured.draws)}), and compiled"
            " programs would draw others: use the Engine, or give the numbers as an input"
        )
    chosen = _chosen(pairs, start)
    if tolerance is None:
        tolerance = rounding_tolerance(pairs.plan.coarsest_dtype())
    trial = PackageTrial(captured, explain, tolerance, tuple(chosen))
    sources, masks = _sources(pairs, chosen, with_sizes_above_one(captured, leaves))
    cases = trial.cases(leaves)
    ones = sorted(case.ones for case in cases if case.ones)
    with replace_when_done(path) as file:
        made = {name: compile_program(name, source, settings) for name, source in sources.items()}
        manifest = _manifest(pairs, chosen, masks, ones, made)
        write_archive(file, made, manifest)
        try_loader(file, next(iter(made)), index_of(manifest))
        package = load_package(file)
        trial.compare(package, cases)
        relied = dict.fromkeys(c for program in made.values() for c in program.conditions)
        if needed := trial.needed_conditions(package, list(relied), leaves):
            write_archive(file, made, replace(manifest, conditions=(*manifest.conditions, *needed)))


def _chosen(pairs: ProgramPairs, start: PackageStart) -> dict[str, ProgramPair]:
    """Return the pairs of programs to compile. Raises PackageError if they cannot be packaged."""
    captured = pairs.plan.captured
    if pairs.plan.preset.runs == 2:
        raise PackageError(
            f"preset {pairs.plan.preset.name!r} compares every input with a reference, which a"
            " package has no place for: package another preset, or use the Engine"
        )
    if captured.mode is CaptureMode.RECORDED:
        raise PackageError(
            "the model's control flow depends on its data, so that the model itself has to run"
            " beside every call: it cannot be packaged"
        )
    if captured.held:
        raise PackageError(
            f"the model was captured for one value of {', '.join(sorted(captured.held))}, which a"
            " package does not compare: use the Engine"
        )
    if isinstance(pairs.policy, MemoryBudget):
        raise PackageError(
            "a memory budget is predicted for the engine's own programs, not for compiled ones:"
            " package engine.with_policy('balanced') or ('low_memory')"
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
    pairs: ProgramPairs, chosen: Mapping[str, ProgramPair], leaves: Sequence[object]
) -> tuple[dict[str, ProgramSource], tuple[PackagedMask, ...]]:
    """Return the programs to compile by name, and the masks that some of them compute."""
    sources: dict[str, ProgramSource] = {}
    for start, chosen_pair in chosen.items():
        program, shapes = chosen_pair.wanted.program, pairs.plan.captured.shapes
        output = program.forward(*leaves)[pairs.plan.output.position]
        seed = seed_of(output, output) if start == WHOLE else seed_of(output, 0, -1)
        names = program_names(start)
        sources |= zip(
            names,
            make_sources(program, shapes, leaves, chosen_pair.seed_tensors(seed)),
            strict=True,
        )
    masks = []
    for i, claim in enumerate(_masks(pairs.plan.captured)):
        symbols = tuple(str(symbol) for symbol in claim.symbols)
        masks.append(PackagedMask(f"mask_{i}", symbols, claim.kind.name, mask_device(claim)))
        sources[f"mask_{i}"] = mask_source(claim)
    return sources, tuple(masks)


def _masks(captured: Captured) -> list[MaskClaim]:
    return [claim for claim in captured.claims if isinstance(claim, MaskClaim)]


def _manifest(
    pairs: ProgramPairs,
    chosen: Mapping[str, ProgramPair],
    masks: tuple[PackagedMask, ...],
    ones: Sequence[tuple[str, ...]],
    made: Mapping[str, CompiledProgram],
) -> Manifest:
    plan, captured = pairs.plan, pairs.plan.captured
    free = {f.symbol for f in captured.shapes.free()}
    known = [c for c in captured.shapes.conditions() if c.free_symbols <= free]
    conditions = [format_expression(condition) for condition in known]
    device = next((p.device for p in map(_port, captured.inputs) if p.device), "cpu")
    return Manifest(
        format=FORMAT,
        machine=describe_machine(device),
        provenance=pairs.provenance.as_dict(),
        inputs=tuple(map(_port, captured.inputs)),
        input_structure=describe_exactly(captured.in_spec),
        argument_names=captured.argument_names,
        conditions=tuple(dict.fromkeys(conditions)),
        ones=tuple(ones),
        masks=masks,
        outputs=_outputs(captured),
        output_structure=describe(captured.out_spec),
        explained=plan.output.position,
        sources=next(iter(chosen.values())).wanted.source_names,
        starts=tuple(chosen),
        held={},
        orders={name: program.orders for name, program in made.items()},
    )


def _port(port: InputPort) -> PackageInput:
    fake = value(port.node)
    if isinstance(fake, Tensor):
        return PackageInput(port.name, axes_of(fake), dtype_name(fake.dtype), str(fake.device))
    return PackageInput(port.name, None, constant=Slot.of(fake).value)


def _outputs(captured: Captured) -> tuple[PackageOutput, ...]:
    leaves = captured.graph.output_node().args[0]
    assert isinstance(leaves, (tuple, list))
    slots = [Slot.of(value(leaf) if isinstance(leaf, fx.Node) else leaf) for leaf in leaves]
    return tuple(PackageOutput(slot.kind, slot.value) for slot in slots)
