"""What a package gives once it is loaded: explanations, checked as an engine checks them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from ..canonicalise.masks import MaskClaim
from ..capture.shapes import mismatch
from ..capture.signature import Signature, as_call
from ..errors import InputError, NotPackagedError, TargetError
from ..plan.provenance import Provenance
from ..propagate.ledger import Ledger
from ..results.explanation import Explanation
from ..run.finite import ask_if_finite
from ..run.inputs import check_claims, check_constant, check_shapes, check_tensor
from ..run.program_pairs import seed_in_full, seed_row_and_place
from ..run.target import (
    Position,
    Seed,
    Target,
    is_rows,
    seed_of,
)
from .expression import evaluate, names_in
from .manifest import (
    ROW,
    WHOLE,
    Manifest,
    dtype_of,
)
from .program_set import Slot, filled, tensors_of
from .structure import built

Run = Callable[[list[Tensor]], Sequence[Tensor]]

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
class Pair:
    """A forward and a relevance program."""

    forward: Run
    relevance: Run


@dataclass(frozen=True)
class _Forward:
    """One forward pass with its promises kept."""

    start: str
    tensors: list[Tensor]
    outputs: list[Any]
    kept: list[Tensor]


@dataclass(frozen=True)
class Package:
    """An engine's compiled programs, which explain without the model's code.

    `explain` takes what `Engine.explain` takes and gives the same, but for outputs in a class of
    the model's own, which come as dictionaries, and the ledger, which a package cannot compute.
    """

    manifest: Manifest
    signature: Signature
    pairs: Mapping[str, Pair]
    masks: tuple[MaskClaim, ...]

    @property
    def provenance(self) -> Provenance:
        """Versions and hashes that every result carries, as of when the package was made."""
        data = dict(self.manifest.provenance)
        return Provenance(**{**data, "notes": tuple(data["notes"])})

    def explain(
        self,
        inputs: Any,
        target: Target = None,
        *,
        position: Position = None,
        ledger: bool = False,
        create_graph: bool = False,
        full_output: bool | None = None,
    ) -> Explanation:
        """Explains one target per sample, as `Engine.explain` does.

        Raises InputError and TargetError; NotPackagedError for `ledger`, `create_graph` and
        `full_output=False`.
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
        self, inputs: Any, targets: Iterable[Target], *, position: Position = None
    ) -> Iterator[Explanation]:
        """One forward pass, then one explanation per target."""
        run = self._forward(inputs, position)
        for target in targets:
            yield self._explain(run, list(run.kept), target, position)

    def __getattr__(self, name: str) -> NoReturn:
        if name in _ONLY_IN_ENGINE:
            raise NotPackagedError(f"a package has no {name!r}: {_ONLY_IN_ENGINE[name]}")
        raise AttributeError(f"a package has no {name!r}")

    def _forward(self, inputs: Any, position: Position) -> _Forward:
        leaves, sizes = self._checked(inputs)
        start, tensors = self._start(position), tensors_of(leaves)
        slots = [Slot(leaf.kind, leaf.value) for leaf in self.manifest.outputs]
        count = sum(slot.kind == "tensor" for slot in slots)
        with torch.no_grad():
            values = list(self.pairs[start].forward(list(tensors)))
        outputs = filled(slots, values[:count], sizes)
        return _Forward(start, tensors, outputs, values[count:])

    def _explain(
        self, run: _Forward, kept: list[Tensor], target: Target, position: Position
    ) -> Explanation:
        """Empties `kept`, so that each value is let go after its last use."""
        with torch.no_grad():
            seed = seed_of(run.outputs[self.manifest.explained], target, position)
            values = [*self._seeds(run.start, seed), *run.tensors, *kept]
            kept.clear()
            check = ask_if_finite(seed.explained)
            results = self.pairs[run.start].relevance(values)
        found = self._explanation(run.outputs, seed, results)
        check()
        return found

    def _start(self, position: Position) -> str:
        """The pair that serves targets at single rows, or anywhere."""
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
        self, outputs: Sequence[Any], seed: Seed, results: Sequence[Tensor]
    ) -> Explanation:
        names = self.manifest.sources
        return Explanation(
            known_output=built(self.manifest.output_structure, iter(outputs)),
            explained=seed.explained,
            relevance=dict(zip(names, results, strict=False)),
            coefficient=dict(zip(names, results[len(names) :], strict=False)),
            provenance=self.provenance,
            recount=_no_ledger,
        )

    def _checked(self, inputs: Any) -> tuple[list[Any], dict[str, int]]:
        """The leaves of the inputs and their sizes; raises InputError if they do not fit."""
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
            else:
                check_tensor(port.name, leaf, dtype_of(port.dtype), torch.device(port.device))
        self._tried(sizes)
        return leaves, sizes

    def _tried(self, sizes: Mapping[str, int]) -> None:
        """A size of 1 was compiled as "2 or more": it is served where that was tried."""
        ones = tuple(sorted(name for name, size in sizes.items() if size == 1))
        if ones and ones not in self.manifest.ones:
            raise InputError(
                f"sizes of 1 ({', '.join(ones)}) were not found to be served when the package was"
                " made: the model treats 1 differently, or fails there. Package an Engine made with"
                " dynamic=False at this size."
            )


def broken_condition(conditions: Sequence[str], sizes: Mapping[str, int]) -> str | None:
    """The first condition that does not hold; those on a size of 1 are left to what was tried."""
    for condition in conditions:
        relevant = {name: sizes[name] for name in sorted(names_in(condition)) if name in sizes}
        if 1 not in relevant.values() and not evaluate(condition, relevant):
            return f"the package holds only where {condition}; here {relevant}"
    return None


def _no_ledger() -> Ledger:
    raise NotPackagedError(_NO_LEDGER)
