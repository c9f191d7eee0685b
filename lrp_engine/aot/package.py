"""Explain with a loaded package; inputs are checked as an engine checks them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor

from ..canonicalise.masks import MaskClaim
from ..capture.ambient import leave_modes
from ..capture.shape_contract import mismatch
from ..capture.signature import Signature, as_call
from ..errors import InputError, NotPackagedError, TargetError
from ..plan.provenance import Provenance
from ..propagate.ledger import Ledger
from ..results.explanation import Explanation
from ..run.finiteness import Finite, ask_if_finite, blame_nobody
from ..run.inputs import check_claims, check_constant, check_shapes, check_tensor
from ..run.program_pairs import seed_in_full, seed_row_and_place
from ..run.target import (
    Position,
    Seed,
    Target,
    is_rows,
    seed_of,
)
from .expression import evaluate, symbols_in
from .manifest import (
    ROW,
    WHOLE,
    Manifest,
    parse_dtype,
)
from .program_set import Slot, fill_slots, only_tensors
from .structure import build

CompiledCall = Callable[[list[Tensor]], Sequence[Tensor]]

_ONLY_IN_ENGINE = {
    "explain_all": "explain_each() serves the same targets one after another",
    "with_preset": "make a package of Engine.with_preset(...)",
    "with_policy": "make a package of Engine.with_policy(...)",
    "program": "Engine.program has the programs that were compiled",
    "plan": "Engine.plan says which rule serves which op; a package keeps `provenance.coverage`",
    "memory": "Engine.memory() foretells what the programs need before they are compiled",
}
_NO_LEDGER = (
    "a package does not hold the programs that compute the ledger: use the Engine that made it,"
    " Engine.explain(..., ledger=True)"
)


@dataclass(frozen=True)
class CompiledPair:
    """A compiled forward program and its relevance program."""

    forward: CompiledCall
    relevance: CompiledCall


@dataclass(frozen=True)
class _PackageRun:
    """The results of one forward pass: the outputs, and the values kept for the relevance pass."""

    start: str
    tensors: list[Tensor]
    outputs: list[object]
    kept: list[Tensor]


@dataclass(frozen=True)
class Package:
    """An engine's compiled programs, which explain without the model's code.

    `explain` takes what `Engine.explain` takes and gives the same, but for outputs in a class of
    the model's own, which come as dictionaries, and the ledger, which a package cannot compute.
    """

    manifest: Manifest
    signature: Signature
    pairs: Mapping[str, CompiledPair]
    masks: tuple[MaskClaim, ...]

    @property
    def provenance(self) -> Provenance:
        """Versions and hashes that every result carries, as of when the package was made."""
        return Provenance.from_dict(self.manifest.provenance)

    def explain(
        self,
        inputs: object,
        target: Target = None,
        *,
        position: Position = None,
        ledger: bool = False,
        create_graph: bool = False,
        full_output: bool | None = None,
    ) -> Explanation:
        """Explain one target per sample, as `Engine.explain` does.

        Args:
            inputs: As for the engine that wrote the package.
            target: As for `Engine.explain`.
            position: As for `Engine.explain`.
            ledger: Must be False: a package cannot compute ledgers.
            create_graph: Must be False: compiled programs cannot be differentiated.
            full_output: Must not be False: the packaged programs compute the whole output.

        Raises:
            InputError: the inputs do not fit the package.
            TargetError: the target does not fit the output.
            NotPackagedError: an option needs the engine.
        """
        if ledger:
            raise NotPackagedError(_NO_LEDGER)
        if create_graph:
            raise NotPackagedError(
                "compiled programs cannot be differentiated: use Engine.explain(create_graph=True)"
            )
        if full_output is False:
            raise NotPackagedError(
                "the packaged programs compute the whole output: use"
                " Engine.explain(full_output=False)"
            )
        run = self._forward(inputs, position)
        return self._explain(run, run.kept, target, position)

    def explain_each(
        self, inputs: object, targets: Iterable[Target], *, position: Position = None
    ) -> Iterator[Explanation]:
        """Run the model once, then yield one explanation per target."""
        run = self._forward(inputs, position)
        for target in targets:
            yield self._explain(run, list(run.kept), target, position)

    def __getattr__(self, name: str) -> NoReturn:
        if name in _ONLY_IN_ENGINE:
            raise NotPackagedError(f"a package has no {name!r}: {_ONLY_IN_ENGINE[name]}")
        raise AttributeError(f"a package has no {name!r}")

    def _forward(self, inputs: object, position: Position) -> _PackageRun:
        leaves, sizes = self._check(inputs)
        start, tensors = self._start(position), only_tensors(leaves)
        slots = [Slot(leaf.kind, leaf.value) for leaf in self.manifest.outputs]
        count = sum(slot.kind == "tensor" for slot in slots)
        with leave_modes(), torch.no_grad():
            values = list(self.pairs[start].forward(list(tensors)))
        outputs = fill_slots(slots, values[:count], sizes)
        return _PackageRun(start, tensors, outputs, values[count:])

    def _explain(
        self, run: _PackageRun, kept: list[Tensor], target: Target, position: Position
    ) -> Explanation:
        """Explain one target. Empties `kept`, so that each value is freed after its last use."""
        with leave_modes(), torch.no_grad():
            output = run.outputs[self.manifest.explained]
            assert isinstance(output, Tensor)
            seed = seed_of(output, target, position)
            values = [*self._seeds(run.start, seed), *run.tensors, *kept]
            kept.clear()
            check = ask_if_finite(seed.explained)
            results = self.pairs[run.start].relevance(values)
        check()
        return self._explanation(run.outputs, seed, results)

    def _start(self, position: Position) -> str:
        """Return the pair that serves the target: at single rows, or anywhere."""
        if is_rows(position) and ROW in self.pairs:
            return ROW
        if WHOLE not in self.pairs:
            raise TargetError(
                "this package serves classes at one position per sample only: give position=..., or"
                " package the engine with start=None"
            )
        return WHOLE

    def _seeds(self, start: str, seed: Seed) -> list[Tensor]:
        return seed_in_full(seed) if start == WHOLE else seed_row_and_place(seed)

    def _explanation(
        self, outputs: Sequence[object], seed: Seed, results: Sequence[Tensor]
    ) -> Explanation:
        names = self.manifest.sources
        return Explanation(
            stored_output=build(self.manifest.output_structure, iter(outputs)),
            explained=seed.explained,
            relevance=dict(zip(names, results, strict=False)),
            coefficient=dict(zip(names, results[len(names) :], strict=False)),
            provenance=self.provenance,
            compute_ledger=_no_ledger,
            require_finite=Finite(list(results[: 2 * len(names)]), blame_nobody),
        )

    def _check(self, inputs: object) -> tuple[list[object], dict[str, int]]:
        """Return the leaves of the inputs and their sizes. Raises InputError if they do not fit."""
        try:
            leaves = self.signature.flatten(*as_call(inputs))
        except ValueError as error:
            raise InputError(str(error)) from error
        sizes: dict[str, int] = {}
        ports = self.manifest.inputs
        broken = mismatch(leaves, [port.shape for port in ports], sizes)
        broken = broken or broken_condition(self.manifest.conditions, sizes)
        check_shapes(broken, [port.name for port in ports])
        check_claims(self.masks, sizes)
        for port, leaf in zip(ports, leaves, strict=True):
            if port.shape is None:
                check_constant(port.name, leaf, port.constant)
            elif isinstance(leaf, Tensor):
                check_tensor(port.name, leaf, parse_dtype(port.dtype), torch.device(port.device))
        self._check_ones(sizes)
        return leaves, sizes

    def _check_ones(self, sizes: Mapping[str, int]) -> None:
        """Raise InputError for untried sizes of 1, which were compiled as "2 or more"."""
        ones = tuple(sorted(name for name, size in sizes.items() if size == 1))
        if ones and ones not in self.manifest.ones:
            raise InputError(
                f"sizes of 1 ({', '.join(ones)}) were not found to be served when the package was"
                " made: the model treats 1 differently, or fails there. Package an Engine made with"
                " dynamic=False at this size."
            )


def broken_condition(conditions: Sequence[str], sizes: Mapping[str, int]) -> str | None:
    """Return the first condition that does not hold, conditions on a size of 1 left out."""
    for condition in conditions:
        relevant = {name: sizes[name] for name in sorted(symbols_in(condition)) if name in sizes}
        if 1 not in relevant.values() and not evaluate(condition, relevant):
            return f"the package holds only where {condition}; here {relevant}"
    return None


def _no_ledger() -> Ledger:
    raise NotPackagedError(_NO_LEDGER)
